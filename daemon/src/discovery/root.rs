//! The tree that files are read from: `/` in life, a temporary directory in tests.
//!
//! Reading is bounded and never blocks on something that is no plain file. What a file means is for its reader.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The most that is read of one file, in bytes. Real ones have a few hundred.
const LIMIT: u64 = 1 << 20;

/// Maximum number of links in a row that are followed, as the kernel does (path_resolution(7)).
pub(super) const LINKS_MAX: usize = 40;

/// The directory that stands for `/`.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// The machine's own tree.
    #[must_use]
    pub(crate) fn machine() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A tree that lies in `directory`.
    #[must_use]
    pub(crate) fn at(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// Where `path`, an absolute path, lies in this tree.
    #[must_use]
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The machine's id (machine-id(5)); empty where it has none, which then is its mark.
    #[must_use]
    pub(crate) fn machine_id(&self) -> String {
        self.read_text("/etc/machine-id").ok().flatten().unwrap_or_default().trim().to_owned()
    }

    /// Follows the symbolic links on the way to `path`, within this tree. Returns each path that a link leads to, the
    /// last of which is where the file lies, existing or not; none where there is no link.
    #[must_use]
    pub(crate) fn links(&self, path: impl AsRef<Path>) -> Vec<PathBuf> {
        let mut here = PathBuf::from("/");
        let mut names = names_of(path.as_ref());
        let mut passed = Vec::new();
        while let Some(name) = names.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            here.push(&name);
            let Ok(target) = std::fs::read_link(self.path(&here)) else { continue };
            if passed.len() == LINKS_MAX {
                break;
            }
            here.pop();
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            for name in names_of(&target).into_iter().rev() {
                names.push_front(name);
            }
            passed.push(joined(&here, &names));
        }
        passed
    }

    /// Where the file of `path` lies in this tree, its links followed: those of a tree that is not the machine's own
    /// must not lead out of it. `/proc/net` is a link that a sandbox may lack (`ProcSubset=pid`, systemd.exec(5)), and
    /// `/etc/resolv.conf` may lead there.
    fn real_path(&self, path: &Path) -> PathBuf {
        let end = self.links(path).pop().unwrap_or_else(|| path.to_owned());
        match end.strip_prefix("/proc/net") {
            Ok(table) => self.path(Path::new("/proc/self/net").join(table)),
            Err(_) if self.0 == Path::new("/") => self.path(path),
            Err(_) => self.path(end),
        }
    }

    /// The content of a file; nothing where it does not exist.
    ///
    /// # Errors
    /// Where the file is there and cannot be read, is no plain file, or is larger than 1 MiB.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> io::Result<Option<Vec<u8>>> {
        match read_bounded(&self.real_path(path.as_ref())) {
            Ok(content) => Ok(Some(content)),
            // A process that ends between listing and reading of /proc gives ESRCH.
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Root::read`], as text: what is no UTF-8 is replaced, since one odd byte must not hide the rest.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub(crate) fn read_text(&self, path: impl AsRef<Path>) -> io::Result<Option<String>> {
        Ok(self.read(path)?.map(|content| String::from_utf8_lossy(&content).into_owned()))
    }

    /// The names of a directory's entries, sorted by bytes; nothing where it does not exist.
    ///
    /// # Errors
    /// Where the directory is there and cannot be listed.
    pub(crate) fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.real_path(path.as_ref())) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// The names on a path, `..` among them.
pub(super) fn names_of(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// `names` as seen from `here`, without a look at what is there.
fn joined(here: &Path, names: &VecDeque<OsString>) -> PathBuf {
    let mut path = here.to_owned();
    for name in names {
        if name == ".." {
            path.pop();
        } else {
            path.push(name);
        }
    }
    path
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before opening: to open a FIFO would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a plain file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LIMIT {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_one_by_one_and_within_the_tree() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        for path in ["etc", "run/systemd/resolve", "run/other"] {
            std::fs::create_dir_all(root.path(path)).unwrap();
        }
        std::fs::write(root.path("/run/systemd/resolve/resolv.conf"), "x").unwrap();
        symlink("/etc/alternatives", root.path("/etc/resolv.conf")).unwrap();
        symlink("../var/run/systemd/resolve/resolv.conf", root.path("/etc/alternatives")).unwrap();
        std::fs::create_dir_all(root.path("/var")).unwrap();
        symlink("/run", root.path("/var/run")).unwrap();
        let passed = ["/etc/alternatives", "/var/run/systemd/resolve/resolv.conf", "/run/systemd/resolve/resolv.conf"];
        assert_eq!(root.links("/etc/resolv.conf"), passed.map(PathBuf::from));
        assert_eq!(root.read("/etc/resolv.conf").unwrap().as_deref(), Some(&b"x"[..]));
        assert_eq!(root.links("/run/other"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_circle_of_links_ends_and_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        symlink("b", root.path("/a")).unwrap();
        symlink("a", root.path("/b")).unwrap();
        assert_eq!(root.links("/a").len(), LINKS_MAX);
        assert!(root.read("/a").is_err());
    }
}
