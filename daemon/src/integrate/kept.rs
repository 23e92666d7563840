//! What was replaced: a record for each program in /var/lib/onward/integrate, written before the first change, so that
//! everything can be taken back, also after a crash in between.
//!
//! The directory above belongs to the service's user, which must not be able to have root write files by it: a record
//! counts only where it and its directory belong to root and nobody else may write them.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

use super::lines;
use super::plan::{Change, Content, Restart};
use crate::discovery::Root;
use crate::durable;

/// Where the records are, in the service's own directory; and the service's user.
pub(crate) const DIRECTORY: &str = "/var/lib/onward/integrate";
const STATE: &str = "/var/lib/onward";
const SERVICE_USER: &str = "onward";
/// The version of a record's form.
const FORMAT: u32 = 1;
/// Maximum size of a record, in bytes: some configuration files, twice each.
const LONGEST: u64 = 16 << 20;

/// What was done for one program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    format: u32,
    /// What became of which path; `before` is what was there before the first change.
    pub(super) changes: Vec<Change>,
    /// The directories that were made for it.
    pub(super) made: Vec<PathBuf>,
    /// What makes a change take effect.
    pub(super) restarts: Vec<Restart>,
    /// The process that ran then, which knows nothing of the change.
    pub(super) process: Option<Started>,
}

/// A process, told from later ones that have its number by when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    id: u32,
    /// In ticks since the boot (proc_pid_stat(5), field 22).
    ticks: u64,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// Another user than root could have written it.
    #[error(
        "{0} does not belong to root alone, so it is not used: look at what it says, then chown -R root: {DIRECTORY}"
    )]
    Foreign(PathBuf),
    /// It is of another version, or damaged.
    #[error("{0} is not understood ({1}): put back by hand what it has as \"before\", then remove it")]
    Form(PathBuf, String),
}

impl Kept {
    /// Reads the record of a program; `None` where nothing was done for it.
    ///
    /// # Errors
    /// Where it cannot be read, or must not be believed.
    pub(crate) fn read(root: &Root, program: &str) -> Result<Option<Self>, Unusable> {
        let path = path(program);
        let Some(directory) = open_directory(root)? else { return Ok(None) };
        let failed = |error| Unusable::Io(path.clone(), error);
        let file = match open(&within(&directory).join(name(program)), OFlag::O_NONBLOCK) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() || !is_ours_alone(&found) {
            return Err(Unusable::Foreign(path));
        }
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
        let kept: Self =
            serde_json::from_str(&text).map_err(|error| Unusable::Form(path.clone(), error.to_string()))?;
        if kept.format != FORMAT {
            return Err(Unusable::Form(path, format!("its format is {}, not {FORMAT}", kept.format)));
        }
        Ok(Some(kept))
    }

    /// What is to be kept of `changes`, in addition to what was kept before.
    pub(super) fn with(before: Option<Self>, changes: &[Change], made: Vec<PathBuf>) -> Self {
        let mut kept = before.unwrap_or_else(|| Self {
            format: FORMAT,
            changes: Vec::new(),
            made: Vec::new(),
            restarts: Vec::new(),
            process: None,
        });
        for change in changes {
            match kept.changes.iter_mut().find(|known| known.path == change.path) {
                // It is as we left it: what was there before us stays kept.
                Some(known) if known.after == change.before => known.after.clone_from(&change.after),
                Some(known) => known.clone_from(change),
                None => kept.changes.push(change.clone()),
            }
        }
        for path in made {
            if !kept.made.contains(&path) {
                kept.made.push(path);
            }
        }
        kept
    }

    /// Writes the record, readable by root alone: configuration files may have secrets.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn save(&self, root: &Root, program: &str) -> Result<(), Unusable> {
        let path = path(program);
        let failed = |error| Unusable::Io(path.clone(), error);
        make_state_directory(&root.path(STATE)).map_err(failed)?;
        match DirBuilder::new().mode(0o700).create(root.path(DIRECTORY)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let gone = || failed(io::ErrorKind::NotFound.into());
        let directory = open_directory(root)?.ok_or_else(gone)?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        durable::save(&within(&directory), &name(program), &text).map_err(failed)
    }

    /// Forgets what was kept for a program, whose changes are taken back.
    ///
    /// # Errors
    /// Where the record cannot be removed.
    pub(super) fn forget(root: &Root, program: &str) -> Result<(), Unusable> {
        let path = path(program);
        fs::remove_file(root.path(&path)).map_err(|error| Unusable::Io(path, error))?;
        let _ = fs::remove_dir(root.path(DIRECTORY)); // unless it has more records
        Ok(())
    }

    /// What takes everything back, and the paths at which the same lines were changed since. With `force` those are
    /// put back as well.
    pub(super) fn undo(&self, root: &Root, force: bool) -> (Vec<Change>, Vec<PathBuf>) {
        let (mut changes, mut changed) = (Vec::new(), Vec::new());
        for done in self.changes.iter().rev() {
            let Change { path, before: now, after } = match Content::read(root, &done.path) {
                Ok(now) => Change { before: now, ..done.reversed() },
                Err(_) => {
                    changed.push(done.path.clone());
                    continue;
                }
            };
            let before = match (&now, &done.before, &done.after) {
                _ if now == after => continue, // it was taken back already, or never done
                _ if now == done.after || force => Some(after),
                (Content::Text(now), Content::Text(before), Content::Text(after)) => {
                    lines::undo(before, after, now).map(Content::Text)
                }
                (Content::Absent, ..) => continue, // it was removed meanwhile
                _ => None,
            };
            match before {
                Some(after) => changes.push(Change { path, before: now, after }),
                None => changed.push(path),
            }
        }
        (changes, changed)
    }

    /// Whether the process that knows nothing of the change still runs.
    pub(super) fn is_awaited(&self, root: &Root) -> bool {
        self.process.is_some_and(|process| Started::read(root, process.id) == Some(process))
    }
}

impl Started {
    /// Looks when a process was started; `None` where it is gone.
    pub(super) fn read(root: &Root, id: u32) -> Option<Self> {
        let stat = root.read_text(format!("/proc/{id}/stat")).ok().flatten()?;
        // The second field is a name in parentheses, which may have blanks and parentheses in it.
        let (_, after) = stat.rsplit_once(')')?;
        let mut fields = after.split_ascii_whitespace();
        // One that has ended stays in the table until its parent has taken note (proc(5)).
        let _running = fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
        let ticks = fields.nth(18)?.parse().ok()?;
        Some(Self { id, ticks })
    }
}

fn name(program: &str) -> String {
    format!("{program}.json")
}

/// Where the record of a program is.
pub(crate) fn path(program: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name(program))
}

/// Opens the directory of records, once: whatever its name leads to later, what is opened by way of the handle is in
/// the directory that was looked at.
fn open_directory(root: &Root) -> Result<Option<File>, Unusable> {
    let failed = |error| Unusable::Io(DIRECTORY.into(), error);
    match open(&root.path(DIRECTORY), OFlag::O_DIRECTORY) {
        Ok(directory) if is_ours_alone(&directory.metadata().map_err(failed)?) => Ok(Some(directory)),
        Ok(_) => Err(Unusable::Foreign(DIRECTORY.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // A link, or a file.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Unusable::Foreign(DIRECTORY.into())),
        Err(error) => Err(failed(error)),
    }
}

/// The path by which the kernel leads to what is open (proc_pid_fd(5)).
fn within(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// Opens what is at the end of a path for reading, and no link there.
fn open(path: &Path, flags: OFlag) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OFlag::O_NOFOLLOW | flags).bits()).open(path)
}

/// Whether it belongs to this process's user, which is root, and nobody else may write it.
fn is_ours_alone(found: &Metadata) -> bool {
    found.uid() == Uid::effective().as_raw() && found.mode() & 0o022 == 0
}

/// Makes the service's directory where there is none. systemd hands a `StateDirectory=` of another owner to the service
/// with all that is in it (systemd.exec(5)), so it is the service's from the beginning.
fn make_state_directory(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    match User::from_name(SERVICE_USER) {
        Ok(Some(user)) if Uid::effective().is_root() => chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
        _ => Ok(()),
    }
}
