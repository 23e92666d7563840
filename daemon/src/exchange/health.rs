//! How an upstream is doing: how fast it answers, and whether it answers at all. Pure; fed by the engine.
//!
//! Latency is kept as TCP keeps it (RFC 6298): a smoothed mean and deviation. An upstream is *slow by its own standards*
//! when an answer takes longer than mean plus four deviations. It is *down* when several attempts in a row, with not one answer
//! between, were late; then it is asked last, but for one trial question a second, whose answer brings it back.

use std::time::{Duration, Instant};

/// Before anything was measured.
const FIRST_GUESS: Duration = Duration::from_millis(400);
/// An answer is never late before this: a busy machine alone can take so long.
const LATE_MIN: Duration = Duration::from_millis(25);
/// And always late after this.
const LATE_MAX: Duration = Duration::from_millis(400);
/// As many late attempts in a row make it down.
const DOWN_AFTER: u32 = 3;
/// How often one that is down is tried.
const TRIAL_EVERY: Duration = Duration::from_secs(1);

/// The health of one upstream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    mean: Option<Duration>,
    deviation: Duration,
    failed_in_a_row: u32,
    last_failure: Option<Instant>,
    last_answer: Option<Instant>,
    last_trial: Option<Instant>,
}

impl Health {
    /// It answered, `after` the question was first sent.
    pub fn answered(&mut self, after: Duration, now: Instant) {
        self.failed_in_a_row = 0;
        self.last_answer = Some(now);
        let Some(mean) = self.mean else {
            self.mean = Some(after);
            self.deviation = after / 2;
            return;
        };
        self.deviation = (self.deviation * 3 + mean.abs_diff(after)) / 4;
        self.mean = Some((mean * 7 + after) / 8);
    }

    /// It let an ask that was sent at `sent` wait too long.
    ///
    /// Asks that were under way together count once: a hiccup of the network is one failure, however busy the moment.
    pub fn failed(&mut self, sent: Instant, now: Instant) {
        if self.last_failure.is_some_and(|last| sent < last) {
            return;
        }
        self.last_failure = Some(now);
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        if self.failed_in_a_row == DOWN_AFTER {
            self.last_trial = Some(now);
        }
    }

    /// Nothing answers at its address (ICMP says so): no need to find out three times.
    pub fn refused(&mut self, now: Instant) {
        if !self.is_down() {
            (self.failed_in_a_row, self.last_trial) = (DOWN_AFTER, Some(now));
        }
    }

    /// Whether it should be asked only after those that are not.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.failed_in_a_row >= DOWN_AFTER
    }

    /// Returns when it answered last.
    #[must_use]
    pub fn last_answer(&self) -> Option<Instant> {
        self.last_answer
    }

    /// Returns the mean time of its answers.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.mean
    }

    /// Whether an upstream that is down should be tried with a copy of a question now; if so, the next time is a second away.
    pub fn try_again(&mut self, now: Instant) -> bool {
        let due = self.is_down() && self.last_trial.is_none_or(|last| now.duration_since(last) >= TRIAL_EVERY);
        if due {
            self.last_trial = Some(now);
        }
        due
    }

    /// How long an answer may take before it is late.
    #[must_use]
    pub fn late_after(&self) -> Duration {
        let Some(mean) = self.mean else { return FIRST_GUESS };
        (mean + self.deviation * 4).clamp(LATE_MIN, LATE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn late_is_measured_by_its_own_standards() {
        let (mut health, now) = (Health::default(), crate::clock::now());
        assert_eq!(health.late_after(), FIRST_GUESS);
        for _ in 0..50 {
            health.answered(ms(1), now);
        }
        assert_eq!(health.late_after(), LATE_MIN);
        for i in 0..200 {
            health.answered(ms(if i % 2 == 0 { 40 } else { 120 }), now);
        }
        assert!((ms(200)..ms(300)).contains(&health.late_after()), "{:?}", health.late_after());
    }

    #[test]
    fn asks_that_were_under_way_together_count_once() {
        let (mut health, now) = (Health::default(), crate::clock::now());
        for _ in 0..100 {
            health.failed(now, now + ms(25));
        }
        assert!(!health.is_down());
        health.failed(now + ms(25), now + ms(50));
        health.failed(now + ms(50), now + ms(75));
        assert!(health.is_down());
    }

    #[test]
    fn three_failures_in_a_row_make_it_down_and_one_answer_brings_it_back() {
        let (mut health, now) = (Health::default(), crate::clock::now());
        health.failed(now, now);
        health.failed(now, now);
        health.answered(ms(1), now);
        health.failed(now, now);
        health.failed(now, now);
        assert!(!health.is_down());
        health.failed(now, now);
        assert!(health.is_down());
        assert!(!health.try_again(now));
        assert!(health.try_again(now + ms(1000)));
        assert!(!health.try_again(now + ms(1500)));
        health.answered(ms(1), now);
        assert!(!health.is_down() && !health.try_again(now + ms(9000)));
    }
}
