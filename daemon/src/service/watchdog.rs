//! Tells systemd that the workers work, for the unit's `WatchdogSec=` (sd_watchdog_enabled(3)); without it nothing
//! happens.
//!
//! Only a worker that reads no mail keeps the word back. A flood does not, since a worker reads its mail between
//! batches; nor does anything that the node lacks, a clock that jumps, or a suspend, in which the monotonic clock
//! stands still.

use std::time::Duration;

use super::notify;
use super::workers::Workers;
use crate::logging::LogEvent;
use crate::server::mailbox::Mailboxes;

/// Number of times that systemd is told within its limit, so that one word that is late is no reason to end the
/// service.
const WORDS: u32 = 4;

/// Tells systemd at a quarter of its limit, each time that all workers have answered, until the runtime ends.
pub(super) fn start(mailboxes: Mailboxes) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    tokio::spawn(tell(mailboxes, limit));
}

async fn tell(mailboxes: Mailboxes, limit: Duration) {
    let pause = limit / WORDS;
    let mut rounds = tokio::time::interval(pause);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        rounds.tick().await;
        let answered = Workers::report(&mailboxes, pause).await.len();
        match watch.learn(answered, mailboxes.all().len()) {
            Verdict::Well => {}
            Verdict::Mended => log::info!(event = LogEvent::WorkerStuck; "all workers answer again"),
            Verdict::Stuck(silent) => log::error!(
                event = LogEvent::WorkerStuck;
                "{silent} of the workers did not answer for {pause:?}; systemd replaces the service where that lasts {limit:?}"
            ),
            Verdict::StillStuck => {}
        }
        if watch.is_well() {
            notify::watchdog();
        }
    }
}

/// What is known of the workers.
#[derive(Debug, Default)]
struct Watch {
    silent: usize,
}

/// What a round has shown.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All answered, as before.
    Well,
    /// All answered, which they did not before.
    Mended,
    /// So many workers did not answer, which they did before.
    Stuck(usize),
    /// Some do not answer, as before.
    StillStuck,
}

impl Watch {
    /// Learns how many of all workers answered in a round.
    fn learn(&mut self, answered: usize, all: usize) -> Verdict {
        let before = std::mem::replace(&mut self.silent, all.saturating_sub(answered));
        match (before, self.silent) {
            (0, 0) => Verdict::Well,
            (_, 0) => Verdict::Mended,
            (0, silent) => Verdict::Stuck(silent),
            _ => Verdict::StillStuck,
        }
    }

    /// Returns whether all answered in the last round.
    fn is_well(&self) -> bool {
        self.silent == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_silent_is_told_of_once_and_keeps_the_word_back() {
        let mut watch = Watch::default();
        for (answered, expected, is_well) in [
            (2, Verdict::Well, true),
            (1, Verdict::Stuck(1), false),
            (0, Verdict::StillStuck, false),
            (2, Verdict::Mended, true),
            (2, Verdict::Well, true),
        ] {
            assert_eq!(watch.learn(answered, 2), expected);
            assert_eq!(watch.is_well(), is_well, "after {answered} of 2");
        }
    }
}
