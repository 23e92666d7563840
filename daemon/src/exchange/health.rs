//! What a worker sees of an upstream over one transport: how fast it answers, and when it last did. Pure; fed by the
//! upstream's own responses alone.
//!
//! Latency is kept as TCP keeps it (RFC 6298): a smoothed mean and deviation. An upstream is *slow by its own
//! standards* when a response takes longer than mean plus four deviations. Whether it is down is not for this to say:
//! silence about names is no silence of a server. A worker only tells when it has reason to ask, and
//! [`guard`](crate::guard) sends health probes.

use std::time::{Duration, Instant};

/// Time until a response is late before anything was measured.
const FIRST_GUESS: Duration = Duration::from_millis(400);
/// Minimum time until a response is late: a busy machine alone can take so much.
const LATE_MIN: Duration = Duration::from_millis(25);
/// Maximum time until a response is late.
const LATE_MAX: Duration = Duration::from_millis(400);
/// Minimum time between two suspicions of one worker.
const BETWEEN: Duration = Duration::from_secs(1);
/// Minimum time between two queries that try an upstream which is down.
const TRIAL_EVERY: Duration = Duration::from_secs(1);

/// The health of one upstream over one transport, as one worker sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Health {
    mean: Option<Duration>,
    deviation: Duration,
    heard: Option<Instant>,
    suspected: Option<Instant>,
    tried: Option<Instant>,
}

impl Health {
    /// Takes a response. `after` is how long it took, where that is known: whoever was asked twice does not say to
    /// which query it responds (RFC 6298, section 3). Returns whether it ends a suspicion of this worker.
    pub(crate) fn heard(&mut self, after: Option<Duration>, now: Instant) -> bool {
        self.heard = Some(now);
        let was_suspected = self.suspected.take().is_some();
        if let Some(after) = after {
            self.measure(after);
        }
        was_suspected
    }

    fn measure(&mut self, after: Duration) {
        let Some(mean) = self.mean else {
            self.mean = Some(after);
            self.deviation = after / 2;
            return;
        };
        self.deviation = (self.deviation * 3 + mean.abs_diff(after)) / 4;
        self.mean = Some((mean * 7 + after) / 8);
    }

    /// Whether something was heard at `since` or later.
    #[must_use]
    pub(crate) fn was_heard_since(&self, since: Instant) -> bool {
        self.heard.is_some_and(|heard| heard >= since)
    }

    /// Takes a query that was sent at `sent` and is late. Returns whether that is a reason to ask if the upstream is
    /// down: it has said nothing since, to any query, and was not suspected a moment ago.
    pub(crate) fn suspect(&mut self, sent: Instant, now: Instant) -> bool {
        let lately = self.suspected.is_some_and(|at| now.saturating_duration_since(at) < BETWEEN);
        if lately || self.was_heard_since(sent) {
            return false;
        }
        self.suspected = Some(now);
        true
    }

    /// Returns when it said something last.
    #[must_use]
    pub(crate) fn last_answer(&self) -> Option<Instant> {
        self.heard
    }

    /// Returns the mean time of its answers.
    #[must_use]
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.mean
    }

    /// Whether an upstream that is down may be tried now; if so, the next time is a second away.
    pub(crate) fn may_be_tried(&mut self, now: Instant) -> bool {
        let due = self.tried.is_none_or(|last| now.saturating_duration_since(last) >= TRIAL_EVERY);
        if due {
            self.tried = Some(now);
        }
        due
    }

    /// How long a response may take before it is late.
    #[must_use]
    pub(crate) fn late_after(&self) -> Duration {
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
            health.heard(Some(ms(1)), now);
        }
        assert_eq!(health.late_after(), LATE_MIN);
        for i in 0..200 {
            health.heard(Some(ms(if i % 2 == 0 { 40 } else { 120 })), now);
        }
        assert!((ms(200)..ms(300)).contains(&health.late_after()), "{:?}", health.late_after());
        let before = health.late_after();
        health.heard(None, now);
        assert_eq!(health.late_after(), before);
    }

    #[test]
    fn one_that_has_said_anything_since_is_not_suspected() {
        let (mut health, now) = (Health::default(), crate::clock::now());
        health.heard(Some(ms(1)), now + ms(10));
        assert!(!health.suspect(now, now + ms(400)), "it was silent about a name only");
        assert!(health.suspect(now + ms(20), now + ms(420)));
        assert!(!health.suspect(now + ms(30), now + ms(430)), "asked for a moment ago");
        assert!(health.suspect(now + ms(1_100), now + ms(1_420)));
        assert!(health.heard(None, now + ms(1_500)), "what is said then is news");
        assert!(!health.heard(None, now + ms(1_501)));
    }
}
