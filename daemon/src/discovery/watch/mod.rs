//! A bell that rings when a file that names servers may have changed.
//!
//! Directories are watched, not files: files are replaced by rename, links swapped, and whole directories come late. For
//! each path every directory on the way is watched for the one name that leads on, through symbolic links too, as far as
//! the way exists (`plan.rs`); so the bell is quiet about whatever else happens in /run or /etc. What changed is not
//! told: everything is read anew.
//!
//! A thread waits for inotify, since nothing safe joins an inotify descriptor to the runtime; it ends with the [`Watch`].

mod plan;

use crate::logging::LogEvent;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::mpsc;

use plan::{Names, plan};

/// The bell rings when nothing has changed for this long, ...
const QUIET: Duration = Duration::from_millis(100);
/// ... and at the latest this long after the first change.
const LATEST: Duration = Duration::from_millis(500);

/// Watches the ways to some paths.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<()>,
    stop: Arc<EventFd>,
    /// The first and the latest change that the bell has not rung for.
    pending: Option<(Instant, Instant)>,
}

/// The thread's side.
struct Watcher {
    inotify: Inotify,
    paths: Vec<PathBuf>,
    watched: HashMap<WatchDescriptor, (PathBuf, Names)>,
}

impl Watch {
    /// Watches files, and directories with all that is directly in them. Paths must be absolute; those in /proc are passed
    /// over, since nothing tells of changes there.
    ///
    /// # Errors
    /// Where the system gives no inotify instance (`fs.inotify.max_user_instances`) or no thread.
    pub fn new(paths: Vec<PathBuf>) -> io::Result<Self> {
        let paths = paths.into_iter().filter(|path| !path.starts_with("/proc")).collect();
        let mut watcher = Watcher { inotify: Inotify::init()?, paths, watched: HashMap::new() };
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        // One is enough to say that something changed.
        let (change, changes) = mpsc::channel(1);
        watcher.arm();
        let until = Arc::clone(&stop);
        std::thread::Builder::new().name("watch".into()).spawn(move || watcher.run(&until, &change))?;
        Ok(Self { changes, stop, pending: None })
    }

    /// Waits until something has changed; for ever, once inotify fails, which it has no reason to. Dropping the future
    /// loses nothing.
    pub async fn changed(&mut self) {
        loop {
            let due = self.pending.map(|(first, latest)| (latest + QUIET).min(first + LATEST));
            tokio::select! {
                biased;
                () = at(due) => {
                    self.pending = None;
                    return;
                }
                change = self.changes.recv() => match change {
                    Some(()) => {
                        let now = crate::clock::now();
                        self.pending = Some((self.pending.map_or(now, |(first, _)| first), now));
                    }
                    None if self.pending.is_some() => at(due).await,
                    None => std::future::pending().await,
                },
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Fails only where the counter is full, and then the thread is awake.
        let _ = self.stop.write(1);
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

impl Watcher {
    fn run(mut self, until: &EventFd, change: &mpsc::Sender<()>) {
        loop {
            let mut ready =
                [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN), PollFd::new(until.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(_) => return,
            }
            let [_, stop] = ready;
            if stop.any().unwrap_or(true) {
                return;
            }
            match self.take_events() {
                Ok(true) => {
                    self.arm();
                    // Where it is full, the bell has not been heard yet.
                    let _ = change.try_send(());
                }
                Ok(false) => {}
                Err(error) => {
                    log::error!(event = LogEvent::SourcesUnwatched; "files are no longer watched: {error}");
                    return;
                }
            }
        }
    }

    /// Reads what there is; whether any of it matters.
    fn take_events(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let mut matters = false;
        loop {
            match self.inotify.read_events(&mut buffer) {
                Ok(events) => {
                    for event in events {
                        matters |= event.mask.contains(EventMask::Q_OVERFLOW)
                            || self.watched.get(&event.wd).is_some_and(|(_, names)| names.matter(event.name));
                        if event.mask.contains(EventMask::IGNORED) {
                            self.watched.remove(&event.wd);
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(matters),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Watches what is on the way now, and no more. Done again if the way changed meanwhile.
    fn arm(&mut self) {
        // A way that changes faster than this is looked at again when the next event comes.
        for _ in 0..8 {
            let planned = plan(&self.paths);
            let mask = WatchMask::CREATE
                | WatchMask::DELETE
                | WatchMask::MOVE
                | WatchMask::CLOSE_WRITE
                | WatchMask::ATTRIB
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::ONLYDIR;
            let mut watched = HashMap::new();
            for (directory, names) in &planned {
                // One that may not be watched, or is gone, leaves the rest.
                if let Ok(descriptor) = self.inotify.watches().add(directory, mask) {
                    watched.insert(descriptor, (directory.clone(), names.clone()));
                }
            }
            for descriptor in self.watched.keys().filter(|descriptor| !watched.contains_key(descriptor)) {
                // Fails where the directory is gone, and the watch with it.
                let _ = self.inotify.watches().remove(descriptor.clone());
            }
            self.watched = watched;
            if planned == plan(&self.paths) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
