//! What a user may read and write, by owner, group and mode of what is there. Access lists (acl(5)) are not looked at.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Group, User, geteuid, getgrouplist, getgroups};

use super::unit::Unit;

const READ: u32 = 4;
const WRITE: u32 = 2;
const PASS: u32 = 1;

/// Who reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// As people know the user.
    pub(super) name: String,
    uid: u32,
    gids: Vec<u32>,
}

impl Identity {
    /// This process.
    pub(super) fn own() -> Self {
        let uid = geteuid();
        let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        let mut gids: Vec<u32> = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
        gids.push(nix::unistd::getegid().as_raw());
        Self { name, uid: uid.as_raw(), gids }
    }

    /// The user that systemd would start the unit as.
    ///
    /// # Errors
    /// What is missing, for people.
    pub(super) fn of(unit: &Unit) -> Result<Self, String> {
        let Some(name) = &unit.user else { return Ok(Self { name: "root".to_owned(), uid: 0, gids: vec![0] }) };
        let user = match name.parse() {
            Ok(uid) => User::from_uid(nix::unistd::Uid::from_raw(uid)),
            Err(_) => User::from_name(name),
        };
        let user = user
            .ok()
            .flatten()
            .ok_or_else(|| format!("the user {name} of onward.service does not exist; `systemd-sysusers` makes it"))?;
        let group = |name: &String| match name.parse() {
            Ok(gid) => Some(gid),
            Err(_) => Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()),
        };
        let main = unit.group.as_ref().and_then(group).unwrap_or(user.gid.as_raw());
        let mut gids = vec![main];
        gids.extend(unit.groups.iter().filter_map(group));
        let name = CString::new(user.name.as_str()).unwrap_or_default();
        gids.extend(getgrouplist(&name, user.gid).unwrap_or_default().into_iter().map(Gid::as_raw));
        Ok(Self { name: user.name, uid: user.uid.as_raw(), gids })
    }

    /// A user that owns nothing.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        Self { name: "onward".to_owned(), uid: 64_999, gids: vec![64_999] }
    }

    fn may(&self, metadata: &Metadata, want: u32) -> bool {
        let shift = if metadata.uid() == self.uid {
            6
        } else if self.gids.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || metadata.mode() >> shift & want == want
    }

    /// Whether the user may pass all directories above `path`, which has no links in it.
    fn reaches(&self, path: &Path) -> Result<(), String> {
        for directory in path.ancestors().skip(1) {
            match fs::metadata(directory) {
                Ok(metadata) if self.may(&metadata, PASS) => {}
                Ok(_) => return Err(format!("the user {} may not enter {}", self.name, directory.display())),
                Err(error) => return Err(format!("{}: {error}", directory.display())),
            }
        }
        Ok(())
    }

    /// Whether the user may read the file.
    ///
    /// # Errors
    /// What is in the way, for people.
    pub(super) fn reads(&self, file: &Path) -> Result<(), String> {
        self.has_read_permission(file, "read", "o+r")
    }

    /// Whether the user may list the directory.
    ///
    /// # Errors
    /// What is in the way, for people.
    pub(super) fn lists(&self, directory: &Path) -> Result<(), String> {
        self.has_read_permission(directory, "list", "o+rx")
    }

    /// Whether the user reaches the path and has the permission to read there. `verb` and `mode` tell people what the
    /// user may not do, and what chmod is to add.
    fn has_read_permission(&self, path: &Path, verb: &str, mode: &str) -> Result<(), String> {
        let Ok(real) = fs::canonicalize(path) else { return Ok(()) };
        self.reaches(&real)?;
        match fs::metadata(&real) {
            Ok(metadata) if !self.may(&metadata, READ) => {
                Err(format!("the user {} may not {verb} it; run: chmod {mode} {}", self.name, real.display()))
            }
            _ => Ok(()),
        }
    }

    /// Whether the user may make files in the directory, or make the directory where it is missing.
    ///
    /// # Errors
    /// What is in the way, for people.
    pub(super) fn writes_into(&self, directory: &Path) -> Result<(), String> {
        let Some(there) = directory.ancestors().find_map(|ancestor| fs::canonicalize(ancestor).ok()) else {
            return Ok(());
        };
        let shown = there.display();
        let metadata = fs::metadata(&there).map_err(|error| format!("{shown}: {error}"))?;
        if !metadata.is_dir() {
            return Err(format!("{shown} is not a directory"));
        }
        self.reaches(&there)?;
        let is_read_only = statvfs(&there).is_ok_and(|system| system.flags().contains(FsFlags::ST_RDONLY));
        if is_read_only || there.starts_with("/proc") || there.starts_with("/sys") {
            return Err(format!("{shown} is on a file system that cannot be written to"));
        }
        match self.may(&metadata, WRITE | PASS) {
            true => Ok(()),
            false => Err(format!("the user {} may not write to {shown}", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn somebody() -> Identity {
        Identity::nobody()
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_is_read_only_where_mode_and_directories_let_it() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o755);
        let file = folder.path().join("onward.toml");
        fs::write(&file, "").unwrap();
        set(&file, 0o644);
        assert_eq!(somebody().reads(&file), Ok(()));
        set(&file, 0o640);
        let told = format!("the user onward may not read it; run: chmod o+r {}", file.display());
        assert_eq!(somebody().reads(&file), Err(told));
        let group = Identity { gids: vec![fs::metadata(&file).unwrap().gid()], ..somebody() };
        assert_eq!(group.reads(&file), Ok(()));
        let root = Identity { uid: 0, ..somebody() };
        assert_eq!(root.reads(&file), Ok(()));
        set(folder.path(), 0o700);
        assert_eq!(somebody().reads(&file), Err(format!("the user onward may not enter {}", folder.path().display())));
    }

    #[test]
    fn a_directory_is_listed_only_where_it_lets_it() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o755);
        assert_eq!(somebody().lists(folder.path()), Ok(()));
        assert_eq!(somebody().lists(&folder.path().join("missing")), Ok(()));
        set(folder.path(), 0o700);
        let told = format!("the user onward may not list it; run: chmod o+rx {}", folder.path().display());
        assert_eq!(somebody().lists(folder.path()), Err(told));
        assert_eq!(Identity { uid: 0, ..somebody() }.lists(folder.path()), Ok(()));
    }

    #[test]
    fn a_directory_is_written_to_only_where_it_lets_it() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o755);
        let missing = folder.path().join("a/b");
        assert_eq!(
            somebody().writes_into(&missing),
            Err(format!("the user onward may not write to {}", folder.path().display()))
        );
        set(folder.path(), 0o777);
        assert_eq!(somebody().writes_into(&missing), Ok(()));
        fs::write(folder.path().join("a"), "").unwrap();
        let told = somebody().writes_into(&missing).unwrap_err();
        assert!(told.ends_with("/a is not a directory"), "{told}");
        let root = Identity { uid: 0, ..somebody() };
        assert!(root.writes_into(Path::new("/proc/x")).unwrap_err().contains("cannot be written to"));
    }
}
