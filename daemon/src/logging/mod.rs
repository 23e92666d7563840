//! The log: to the journal with fields when systemd started us, else to stderr in a form that people read.
//!
//! ```text
//! log::info!(…) ──► filter by target ──► bounded queue ──► writer thread ──► journal | stderr
//! ```
//!
//! Writing can block (the journal's socket does, when journald is slow), so callers never write: they put a record of
//! its own into the queue (`queue.rs`, `record.rs`), and a full queue drops and counts. `sink.rs` writes. Lines of
//! other crates are kept out below warnings. What a stranger on the network can trigger is told at debug, or at a rate
//! that its caller limits.
//!
//! Fields are given with the line: `info!(event = LogEvent::UpstreamInUse, upstream:% = server; "asking {server}")`.
//! The journal has them as `ONWARD_EVENT` and `ONWARD_UPSTREAM`; stderr shows those that the message does not hold
//! already. Each line at info and above has the [`LogEvent`] that it tells of, by which the journal gets its
//! `MESSAGE_ID`, too.

mod event;
mod queue;
mod record;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};

pub(crate) use event::LogEvent;

use queue::Queue;
use record::Owned;
use sink::Sink;

/// Records that wait for the writer; at a few hundred bytes each well below a megabyte.
const QUEUED: usize = 1024;

/// How long the end of the program waits for the log.
const PATIENCE: Duration = Duration::from_millis(500);

/// The crate whose lines are ours; the daemon's modules are all below it.
const OURS: &str = "onward";

/// How much is logged; each level holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// `error`: what stops Onward from doing its work.
    Error,
    /// `warn`: what a person should look at.
    Warn,
    /// `info`: what changed: addresses, upstreams, verdicts.
    Info,
    /// `debug`: everything, for a search of causes.
    Debug,
}

/// Writes what is still queued when it is dropped, for half a second at most.
#[derive(Debug)]
#[must_use = "the lines still queued are written when this is dropped"]
pub(crate) struct Guard {
    queue: Arc<Queue>,
}

/// Starts the log of this process; once.
///
/// # Errors
/// Where no thread can be started, or a log was started before.
pub(crate) fn start(level: Level) -> std::io::Result<Guard> {
    let queue = Arc::new(Queue::new(QUEUED));
    let logger = Logger { queue: Arc::clone(&queue) };
    log::set_boxed_logger(Box::new(logger)).map_err(std::io::Error::other)?;
    let writer = Arc::clone(&queue);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&writer, &Sink::choose()))?;
    set_level(level);
    Ok(Guard { queue })
}

/// Returns whether systemd has connected us to the journal (`$JOURNAL_STREAM`, systemd.exec(5)).
#[must_use]
pub(crate) fn goes_to_journal() -> bool {
    systemd_journal_logger::connected_to_journal()
}

/// Logs more or less from now on.
pub(crate) fn set_level(level: Level) {
    log::set_max_level(match level {
        Level::Error => LevelFilter::Error,
        Level::Warn => LevelFilter::Warn,
        Level::Info => LevelFilter::Info,
        Level::Debug => LevelFilter::Debug,
    });
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.queue.wait_until_written(PATIENCE);
    }
}

fn write_all(queue: &Queue, sink: &Sink) {
    loop {
        let (record, lost) = queue.take();
        if lost > 0 {
            sink.write(&Owned::lost(lost));
        }
        sink.write(&record);
        queue.written();
    }
}

struct Logger {
    queue: Arc<Queue>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= most(metadata.target(), log::max_level())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.queue.put(Owned::from(record));
        }
    }

    fn flush(&self) {
        self.queue.wait_until_written(PATIENCE);
    }
}

/// The most that a target may say: others than ours (hickory has lines for each answer) speak in warnings only.
fn most(target: &str, level: LevelFilter) -> LevelFilter {
    let root = target.split("::").next().unwrap_or_default();
    if root == OURS { level } else { level.min(LevelFilter::Warn) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_speak_in_warnings_only() {
        for (target, level, expected) in [
            ("onward", LevelFilter::Debug, LevelFilter::Debug),
            ("onward::guard", LevelFilter::Info, LevelFilter::Info),
            ("onwards", LevelFilter::Debug, LevelFilter::Warn),
            ("hickory_server::server", LevelFilter::Info, LevelFilter::Warn),
            ("hickory_net", LevelFilter::Error, LevelFilter::Error),
            ("", LevelFilter::Debug, LevelFilter::Warn),
        ] {
            assert_eq!(most(target, level), expected, "{target}");
        }
    }
}
