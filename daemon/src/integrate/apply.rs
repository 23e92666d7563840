//! Does a change: a file is written beside the old one and renamed over it, with the old one's mode and owner, so that
//! no program reads half of it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use super::plan::{Change, Content};
use crate::discovery::Root;

/// Modes of files and directories that were not there: configuration, which everybody may read.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// How temporary files begin. Programs that read a directory of drop-ins go by the end of the name, so that none reads
/// these.
const TEMPORARY: &str = ".onward-";

/// What could not be done; all before it is done, and what it was about is as it was.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub(crate) struct NotDone {
    /// The path.
    path: PathBuf,
    /// What the kernel said.
    source: io::Error,
}

/// The directories that have to be made for a change, the outermost first.
#[must_use]
pub(super) fn missing_directories(root: &Root, change: &Change) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = match change.after {
        Content::Absent => Vec::new(),
        _ => change.path.ancestors().skip(1).take_while(|path| !root.path(path).exists()).map(Path::to_owned).collect(),
    };
    missing.reverse();
    missing
}

/// Does a change.
///
/// # Errors
/// Where the file or its directory cannot be written: read-only, full, busy.
pub(super) fn apply(root: &Root, change: &Change) -> Result<(), NotDone> {
    let done = match &change.after {
        Content::Absent => remove(&root.path(&change.path)),
        Content::Text(text) => write(&root.path(&change.path), text),
        Content::Link(target) => link(&root.path(&change.path), target),
    };
    done.map_err(|source| NotDone { path: change.path.clone(), source })
}

/// Removes directories that were made for changes, the innermost first, as far as they are empty.
pub(super) fn remove_directories(root: &Root, made: &[PathBuf]) {
    for path in made.iter().rev() {
        let _ = fs::remove_dir(root.path(path)); // what has become of use to others stays
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map(|()| sync_directory(path)),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = make_directory_of(path)?;
    let old = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let mut temporary = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(directory)?;
    temporary.write_all(text.as_bytes())?;
    if let Some(old) = &old {
        chown(temporary.path(), Some(old.uid()), Some(old.gid()))?;
    }
    let mode = old.map_or(FILE_MODE, |old| old.mode() & 0o7777);
    temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    sync_directory(path);
    Ok(())
}

fn link(path: &Path, target: &Path) -> io::Result<()> {
    let directory = make_directory_of(path)?;
    let made = tempfile::Builder::new().prefix(TEMPORARY).make_in(directory, |path| symlink(target, path))?;
    made.into_temp_path().persist(path)?;
    sync_directory(path);
    Ok(())
}

fn make_directory_of(path: &Path) -> io::Result<&Path> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    Ok(directory)
}

/// Brings the new name to disk. It is in place already: that it outlives a power cut is beyond what an error could
/// mend.
fn sync_directory(path: &Path) {
    let _ = path.parent().map(|directory| File::open(directory).and_then(|directory| directory.sync_all()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, after: Content) -> Change {
        Change { path: path.into(), before: Content::Absent, after }
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_new_one_has_its_directories() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let new = change("/etc/a/b/c.conf", Content::Text("x\n".to_owned()));
        let made = missing_directories(&root, &new);
        assert_eq!(made, ["/etc", "/etc/a", "/etc/a/b"].map(PathBuf::from));
        apply(&root, &new).unwrap();
        let file = root.path("/etc/a/b/c.conf");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o644);
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        apply(&root, &change("/etc/a/b/c.conf", Content::Text("y\n".to_owned()))).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "y\n");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
        assert!(missing_directories(&root, &new).is_empty());

        // What others have put there stays.
        fs::write(root.path("/etc/a/other"), "").unwrap();
        apply(&root, &change("/etc/a/b/c.conf", Content::Absent)).unwrap();
        apply(&root, &change("/etc/a/b/c.conf", Content::Absent)).unwrap();
        remove_directories(&root, &made);
        assert!(!root.path("/etc/a/b").exists() && root.path("/etc/a/other").exists());
    }

    #[test]
    fn a_link_takes_the_place_of_a_file_and_a_file_that_of_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let path = "/etc/resolv.conf";
        for content in [
            Content::Text("nameserver 10.0.0.1\n".to_owned()),
            Content::Link("/run/onward/resolv.conf".into()),
            Content::Text("nameserver 10.0.0.2\n".to_owned()),
        ] {
            apply(&root, &change(path, content.clone())).unwrap();
            assert_eq!(Content::read(&root, Path::new(path)).unwrap(), content);
        }
        assert_eq!(root.list("/etc").unwrap(), ["resolv.conf"], "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_done_is_told_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        fs::write(root.path("/etc"), "").unwrap();
        let error = apply(&root, &change("/etc/a.conf", Content::Text(String::new()))).unwrap_err();
        assert!(error.to_string().starts_with("/etc/a.conf: "), "{error}");
    }
}
