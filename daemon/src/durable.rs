//! Files that are read at the next start: written whole or not at all, and on disk before anyone counts on them.
//!
//! And the directories that systemd makes for the service.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Returns the first directory that systemd made for this service, as the variable names it: `STATE_DIRECTORY`,
/// `RUNTIME_DIRECTORY` (systemd.exec(5)). `None` for a process that systemd did not start.
pub(crate) fn of_service(variable: &str) -> Option<PathBuf> {
    let directories = std::env::var_os(variable)?;
    std::env::split_paths(&directories).next().filter(|first| !first.as_os_str().is_empty())
}

/// Writes a file in `directory`, which is made if it must be. Until the last step the former one stays.
///
/// # Errors
/// Where the directory cannot be made or written.
pub(crate) fn save(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    // Synced, since a power cut, which leaves what is not synced empty, is followed by the very start that it is for.
    file.as_file().sync_data()?;
    file.persist(directory.join(name))?;
    Ok(())
}
