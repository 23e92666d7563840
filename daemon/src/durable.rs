//! Files that are read at the next start: written whole or not at all, and on disk before anyone counts on them.

use std::io::{self, Write};
use std::path::Path;

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
