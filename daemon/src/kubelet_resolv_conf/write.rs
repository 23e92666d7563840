//! Puts the file on disk: by a temporary file beside it and a rename, so that kubelet never reads half of one.
//!
//! A failure leaves the old file as it was. What stands in it is for [`mod@super::render`].

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Everybody may read it: kubelet, and pods that mount it.
const FILE_MODE: u32 = 0o644;
/// Maximum size of a file that may be ours, in bytes: its search list has 1,792 characters, its options far fewer.
const LONGEST: u64 = 16 << 10;
/// Everybody may pass through, should the directory have to be made.
const DIRECTORY_MODE: u32 = 0o755;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The file is new, or was replaced.
    Replaced,
    /// It was there, equal, and was left alone.
    Unchanged,
}

/// Why the file was not written; the old one, if any, is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The path has no directory or no name.
    #[error("cannot write {path}: it is not the path of a file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A step failed.
    #[error("cannot write {path}: {step}: {source}; {}", advice(source.kind()))]
    Failed {
        /// The path.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Writes the file, unless it is there with this text already. A missing directory is made.
///
/// # Errors
/// Where the directory cannot be made or written to (read-only, full, no permission).
pub(crate) fn write(path: &Path, text: &str) -> Result<Written, WriteError> {
    let (Some(directory), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(WriteError::NotAFile { path: path.to_owned() });
    };
    // A bare name is in the working directory.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    if read(path).as_deref() == Some(text) {
        return Ok(Written::Unchanged);
    }
    let failed = |step: &'static str| move |source| WriteError::Failed { path: path.to_owned(), step, source };
    make_directory(directory).map_err(failed("making its directory"))?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".onward-")
        .tempfile_in(directory)
        .map_err(failed("making a temporary file beside it"))?;
    temporary.write_all(text.as_bytes()).map_err(failed("writing a temporary file beside it"))?;
    // Set afterwards, since what is asked for at creation is subject to the umask.
    let file = temporary.as_file();
    file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed("letting everybody read it"))?;
    file.sync_all().map_err(failed("bringing it to disk"))?;
    temporary.persist(path).map_err(|error| failed("renaming a temporary file to it")(error.error))?;
    // The new file is in place; that its name outlives a power cut is beyond what an error could mend.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(Written::Replaced)
}

/// Reads the file, where it is there as we would have written it: a plain file with the right mode. Nothing otherwise,
/// also for a link: what it leads to may change behind our back.
#[must_use]
pub(crate) fn read(path: &Path) -> Option<String> {
    let found = fs::symlink_metadata(path).ok()?;
    if !found.is_file() || found.len() > LONGEST || found.mode() & 0o7777 != FILE_MODE {
        return None;
    }
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text)).ok()?;
    Some(text)
}

fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "run as the user that owns the directory, or name another file with `--resolv-conf PATH`"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "name a file on a file system that can be written with `--resolv-conf PATH`, or allow the directory with \
             `ReadWritePaths=` in the unit"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room there; Onward tries again every few seconds"
        }
        _ => "the old file, if there is one, is as it was",
    }
}
