//! Sockets in the file system, for processes of this machine.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::{fs, io};

use tokio::net::UnixListener;

/// Who may open one: its owner and its group.
const MODE: u32 = 0o660;

/// Listens at `path`, in the place of a socket that a process left behind. Its directory is made if it must be. It gets
/// its rights before it is moved there, so that nobody finds it missing, or open to others.
///
/// # Errors
/// Where the file cannot be made, or a process answers there.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there"));
    }
    if fs::symlink_metadata(path).is_ok_and(|there| !is_socket(&there)) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there"));
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = Path::new(&aside);
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(aside)?;
    fs::set_permissions(aside, fs::Permissions::from_mode(MODE))?;
    fs::rename(aside, path)?;
    Ok(listener)
}

fn is_socket(there: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&there.file_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_left_behind_gives_way_and_one_in_use_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(listen(&path).unwrap());
        assert!(path.exists(), "as a process that was killed leaves it");
        let there = listen(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(there);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file of somebody's").unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(listen(&folder.path().join("new/folder/socket")).is_ok());
        assert!(listen(&path.join("socket")).is_err(), "below a file");
    }
}
