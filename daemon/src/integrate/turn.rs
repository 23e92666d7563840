//! One run of `onward integrate` or `onward revert` at a time: two at once would each keep as "what was there before"
//! what the other has half done.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::clock;
use crate::discovery::Root;

/// The file that whoever has the turn has locked. It stays, empty; the lock ends with the process.
const PATH: &str = "/run/onward-integrate.lock";
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// The turn of this process, as long as it is held.
#[derive(Debug)]
pub(crate) struct Turn {
    _locked: Flock<File>,
}

/// Why it cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTurn {
    /// Another run has it, and is not done in time.
    #[error("another `onward integrate` or `onward revert` is at work (it holds {}); wait for its end, then run this again", .0.display())]
    Taken(PathBuf),
    /// The file cannot be opened or locked.
    #[error("{}: {}", .0.display(), .1)]
    Failed(PathBuf, io::Error),
}

impl Turn {
    /// Takes the turn, as soon as it is free; gives up after `patience`.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(crate) fn take(root: &Root, patience: Duration) -> Result<Self, NoTurn> {
        let path = root.path(PATH);
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let mut file = open.map_err(|error| NoTurn::Failed(path.clone(), error))?;
        let until: Instant = clock::now() + patience;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => return Ok(Self { _locked: locked }),
                Err((_, Errno::EWOULDBLOCK)) if clock::now() >= until => return Err(NoTurn::Taken(path)),
                Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => file = back,
                Err((_, error)) => return Err(NoTurn::Failed(path, error.into())),
            }
            std::thread::park_timeout(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_has_its_turn_when_the_first_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        std::fs::create_dir(root.path("/run")).unwrap();
        let first = Turn::take(&root, Duration::ZERO).unwrap();
        let told = Turn::take(&root, Duration::ZERO).unwrap_err().to_string();
        assert!(told.starts_with("another `onward integrate` or `onward revert` is at work (it holds /"), "{told}");
        drop(first);
        assert!(Turn::take(&root, Duration::ZERO).is_ok());
    }

    #[test]
    fn a_place_that_is_not_there_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let told = Turn::take(&Root::at(directory.path()), Duration::ZERO).unwrap_err().to_string();
        assert!(told.contains("onward-integrate.lock: No such file"), "{told}");
    }
}
