//! Tells when a file that names servers may have changed.
//!
//! Directories are watched, not files: files are replaced by rename, links swapped, and whole directories come late.
//! For each path every directory on the way is watched for the one name that leads on, through symbolic links too, as
//! far as the way exists (`plan.rs`); so whatever else happens in /run or /etc is no news. What changed is not told:
//! everything is read again.

mod plan;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use inotify::{Event, EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};

use crate::clock;
use crate::logging::LogEvent;
use plan::{Names, plan};

/// Time without a further change after which a change is told, ...
const QUIET: Duration = Duration::from_millis(100);
/// ... and time after the first change at which it is told at the latest.
const LATEST: Duration = Duration::from_millis(500);
/// Size of the buffer for events, in bytes; a single one has up to 272.
const BUFFER: usize = 4096;

/// Watches the ways to some paths.
#[derive(Debug)]
pub(crate) struct ChangeWatch {
    /// Nothing once it has failed.
    events: Option<EventStream<[u8; BUFFER]>>,
    paths: Vec<PathBuf>,
    watched: HashMap<WatchDescriptor, (PathBuf, Names)>,
    /// The first and the latest change that has not been told.
    pending: Option<(Instant, Instant)>,
}

impl ChangeWatch {
    /// Watches files, and directories with all that is directly in them. Paths must be absolute; those in /proc are
    /// passed over, since nothing tells of changes there. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the system gives no inotify instance (`fs.inotify.max_user_instances`).
    pub(crate) fn subscribe(paths: Vec<PathBuf>) -> io::Result<Self> {
        let paths = paths.into_iter().filter(|path| !path.starts_with("/proc")).collect();
        let events = Inotify::init()?.into_event_stream([0; BUFFER])?;
        let mut watch = Self { events: Some(events), paths, watched: HashMap::new(), pending: None };
        watch.arm();
        Ok(watch)
    }

    /// Waits until something has changed; for ever, once inotify fails, which it has no reason to. Dropping the future
    /// loses nothing.
    pub(crate) async fn changed(&mut self) {
        loop {
            let due = self.pending.map(|(first, latest)| (latest + QUIET).min(first + LATEST));
            tokio::select! {
                biased;
                () = clock::reached(due) => {
                    self.clear();
                    return;
                }
                event = next(&mut self.events) => self.take(event),
            }
        }
    }

    /// Forgets the changes that have not been told, as after a look that saw them.
    pub(crate) fn clear(&mut self) {
        self.pending = None;
    }

    fn take(&mut self, event: io::Result<Event<OsString>>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                log::error!(event = LogEvent::SourcesUnwatched, error:%; "files are no longer watched: {error}; changes are seen at the next reload or restart");
                self.events = None;
                return;
            }
        };
        let matters = event.mask.contains(EventMask::Q_OVERFLOW)
            || self.watched.get(&event.wd).is_some_and(|(_, names)| names.matter(event.name.as_deref()));
        if event.mask.contains(EventMask::IGNORED) {
            self.watched.remove(&event.wd);
        }
        if matters {
            self.arm();
            let now = clock::now();
            self.pending = Some((self.pending.map_or(now, |(first, _)| first), now));
        }
    }

    /// Watches what is on the way now, and no more. Done again if the way changed meanwhile.
    fn arm(&mut self) {
        let Some(events) = &self.events else { return };
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        // A way that changes faster than this is looked at again when the next event comes.
        for _ in 0..8 {
            let planned = plan(&self.paths);
            let mut watched = HashMap::new();
            for (directory, names) in &planned {
                // One that may not be watched, or is gone, leaves the rest.
                if let Ok(descriptor) = events.watches().add(directory, mask) {
                    watched.insert(descriptor, (directory.clone(), names.clone()));
                }
            }
            for descriptor in self.watched.keys().filter(|descriptor| !watched.contains_key(descriptor)) {
                // Fails where the directory is gone, and the watch with it.
                let _ = events.watches().remove(descriptor.clone());
            }
            self.watched = watched;
            if planned == plan(&self.paths) {
                return;
            }
        }
    }
}

async fn next(events: &mut Option<EventStream<[u8; BUFFER]>>) -> io::Result<Event<OsString>> {
    match events {
        Some(events) => events.next().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into())),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
