//! What is counted of each upstream: plain numbers that belong to one engine, raised where the event happens.

use std::time::{Duration, Instant};

use super::histogram::Histogram;

/// Length of the windows that tell how things are of late.
const WINDOW: Duration = Duration::from_secs(60);

/// The numbers of one upstream over some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamCounters {
    /// Queries that it was asked, without those that were sent again.
    pub asked: u64,
    /// Queries that it answered, whatever it said.
    pub answered: u64,
    /// Of them, those to which it said that it failed or would not tell, as by SERVFAIL and REFUSED.
    pub failed: u64,
    /// Queries that it left without an answer until their lookup ended.
    pub timed_out: u64,
    /// How long its answers took, where that is known.
    pub latency: Histogram,
}

/// The numbers of one upstream since the start, and of late.
#[derive(Debug, Default)]
pub(super) struct Counting {
    total: UpstreamCounters,
    /// The window that is being counted, and the one before it.
    current: UpstreamCounters,
    before: UpstreamCounters,
    /// When the current window began.
    began: Option<Instant>,
}

impl Counting {
    /// Counts a query to it.
    pub(super) fn has_been_asked(&mut self, now: Instant) {
        self.both(now).into_iter().for_each(|counters| counters.asked += 1);
    }

    /// Counts an answer, perhaps one that says that it failed. `after` is how long it took, where that is known.
    pub(super) fn has_answered(&mut self, after: Option<Duration>, is_failure: bool, now: Instant) {
        for counters in self.both(now) {
            counters.answered += 1;
            counters.failed += u64::from(is_failure);
            if let Some(after) = after {
                counters.latency.record(after);
            }
        }
    }

    /// Counts a query that got no answer.
    pub(super) fn has_timed_out(&mut self, now: Instant) {
        self.both(now).into_iter().for_each(|counters| counters.timed_out += 1);
    }

    /// The numbers since the start.
    pub(super) fn total(&self) -> &UpstreamCounters {
        &self.total
    }

    /// The numbers of the last one to two minutes.
    pub(super) fn of_late(&self, now: Instant) -> UpstreamCounters {
        let age = self.began.map_or(Duration::MAX, |began| now.saturating_duration_since(began));
        let mut counters = UpstreamCounters::default();
        if age < WINDOW {
            counters.add(&self.before);
        }
        if age < 2 * WINDOW {
            counters.add(&self.current);
        }
        counters
    }

    /// The counters that an event at `now` belongs to.
    fn both(&mut self, now: Instant) -> [&mut UpstreamCounters; 2] {
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age >= WINDOW {
            let current = std::mem::take(&mut self.current);
            self.before = if age < 2 * WINDOW { current } else { UpstreamCounters::default() };
            self.began = Some(now);
        }
        [&mut self.total, &mut self.current]
    }
}

impl UpstreamCounters {
    /// Adds what another engine has counted.
    pub fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        self.latency.add(&other.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_late_forgets_what_was_long_ago_and_the_total_does_not() {
        let (mut counting, start) = (Counting::default(), crate::clock::now());
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(counting.of_late(start), UpstreamCounters::default());
        counting.has_been_asked(at(0));
        counting.has_answered(Some(Duration::from_millis(3)), true, at(1));
        counting.has_been_asked(at(30));
        counting.has_timed_out(at(36));
        let seen = |counting: &Counting, second| {
            let UpstreamCounters { asked, answered, failed, timed_out, latency } = counting.of_late(at(second));
            [asked, answered, failed, timed_out, latency.count()]
        };
        assert_eq!(seen(&counting, 40), [2, 1, 1, 1, 1]);
        counting.has_been_asked(at(70));
        assert_eq!(seen(&counting, 100), [3, 1, 1, 1, 1], "of two windows");
        assert_eq!(seen(&counting, 131), [1, 0, 0, 0, 0]);
        assert_eq!(seen(&counting, 191), [0, 0, 0, 0, 0]);
        counting.has_been_asked(at(1_000));
        assert_eq!((seen(&counting, 1_000), counting.total().asked), ([1, 0, 0, 0, 0], 4));
    }
}
