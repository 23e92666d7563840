//! A verdict that holds, and the probes that find out whether it still should. Pure.
//!
//! What shows that a loop has ended must not come from a cache. Hops that validate make NXDOMAIN of cached NSEC records
//! (RFC 8198), for all names between two that exist; so a release probe goes where a probe has come home from, and its
//! nonce begins as that one's: what could deny it could have denied that one. Then the upstream's **own answer** ends
//! the verdict at once. One that answers no probe by itself (it knows one zone only, or drops odd names) is given up as
//! well where no probe has come home for a while: should it loop after all, the next query that it gets says so.
//!
//! One that was released and looped again may be half a loop (a forwarder with us among its servers): asked last, and
//! released only by own answers **in a row**, more of them each time; so a second real loop ends as soon as the first.

use std::time::{Duration, Instant};

use super::verdict::{Standing, Verdict};

/// Time until a quarantined upstream is probed again: the first, doubled each time, up to the second.
const PAUSE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(4);
/// Time until the next probe while own answers in a row are counted.
const CLOSELY: Duration = Duration::from_millis(200);
/// Time until the next probe while no probe comes home and none is answered.
const MISSING: Duration = Duration::from_secs(1);
/// Minimum number of probes that must be missing, and time that they must be missing for, to end a verdict.
const GONE: (u8, Duration) = (3, Duration::from_secs(3));
/// Number of probes sent at once to an upstream that was convicted while no other was left: half a loop answers one.
const BURST: u8 = 4;
/// Time until that burst begins: the query that told of the loop is over by then.
const BEFORE_BURST: Duration = super::HOLD;
/// Number of own answers in a row that release half a loop: by chance one in 2^24 tries has them.
const OWN_OF_HALF: u16 = 24;
/// Number of own answers in a row that release an upstream that looped again after a release; doubled with each further
/// loop, up to [`OWN_OF_HALF`].
const OWN_OF_SECOND: u16 = 6;

/// Where a probe has come home from, and where the next ones of its kind go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The name that the probe is under.
    pub(super) suffix: Box<[u8]>,
    /// The type that it asks for.
    pub(super) qtype: u16,
    /// How its nonce begins; anyhow where no probe has come home yet.
    pub(super) begins: Option<u16>,
}

/// A verdict that holds.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) verdict: Verdict,
    /// How often it was released by own answers and looped again.
    pub(super) relapses: u16,
    places: Vec<Place>,
    next: Instant,
    pause: Duration,
    burst: u8,
    own_in_a_row: u16,
    own_needed: u16,
    missing: Option<(Instant, u8)>,
}

/// How a release probe went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It came home, and the upstream said nothing of its own.
    Home,
    /// It came home, and the upstream answered by itself as well.
    Both,
    /// The upstream answered by itself.
    Own,
    /// Neither: an error of the upstream's own, or silence.
    Missing,
}

/// What a release probe made of a verdict.
#[derive(Debug)]
pub(super) enum Softened {
    /// It ended, by the upstream's own answers.
    Ended,
    /// It ended, since no probe comes home any more.
    Faded,
    /// The upstream answers by itself, too: half a loop.
    Halved,
}

impl Case {
    /// A verdict that is given now. `is_last`: no other upstream is left.
    pub(super) fn new(verdict: Verdict, places: Vec<Place>, (relapses, is_last): (u16, bool), now: Instant) -> Self {
        let own_needed = match relapses {
            0 => 1,
            more => OWN_OF_SECOND.saturating_mul(1 << (more - 1).min(8)).min(OWN_OF_HALF),
        };
        let burst = if is_last { BURST } else { 0 };
        let next = now + if is_last { BEFORE_BURST } else { *PAUSE.start() };
        let pause = *PAUSE.start();
        Self { verdict, relapses, places, next, pause, burst, own_in_a_row: 0, own_needed, missing: None }
    }

    /// When the next release probe is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Where the next release probe goes; each place in turn.
    pub(super) fn place(&mut self) -> Option<Place> {
        if self.places.len() > 1 {
            self.places.rotate_left(1);
        }
        self.places.last().cloned()
    }

    /// The places that its probes came home from.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Takes how a release probe went. Returns what that makes of the verdict, if anything.
    pub(super) fn take(&mut self, outcome: Outcome, now: Instant) -> Option<Softened> {
        if self.burst > 0 {
            return self.take_of_burst(outcome, now);
        }
        match outcome {
            Outcome::Both if self.own_needed == 1 => Some(Softened::Ended),
            Outcome::Home | Outcome::Both => {
                (self.own_in_a_row, self.missing) = (0, None);
                self.pause = (self.pause * 2).min(*PAUSE.end());
                self.next = now + self.pause;
                None
            }
            Outcome::Own => {
                (self.own_in_a_row, self.missing) = (self.own_in_a_row + 1, None);
                self.next = now + CLOSELY;
                (self.own_in_a_row >= self.own_needed).then_some(Softened::Ended)
            }
            Outcome::Missing => {
                let (since, count) = self.missing.get_or_insert((now, 0));
                *count = count.saturating_add(1);
                let gone = *count >= GONE.0 && now.saturating_duration_since(*since) >= GONE.1;
                self.next = now + MISSING;
                gone.then_some(Softened::Faded)
            }
        }
    }

    /// Four more at once: one that answers any of them is half a loop, and one that answers none is a whole one.
    fn take_of_burst(&mut self, outcome: Outcome, now: Instant) -> Option<Softened> {
        self.burst = if outcome == Outcome::Home { self.burst - 1 } else { 0 };
        self.next = now + if self.burst > 0 { Duration::ZERO } else { self.pause };
        match outcome {
            Outcome::Own | Outcome::Both => self.halve(now),
            Outcome::Home if self.burst == 0 => {
                self.verdict.standing = Standing::Quarantined;
                None
            }
            Outcome::Home | Outcome::Missing => None,
        }
    }

    /// It was seen to answer by itself while it loops. Returns what is to be told.
    pub(super) fn halve(&mut self, now: Instant) -> Option<Softened> {
        let is_news = self.verdict.standing != Standing::LastResort;
        (self.verdict.standing, self.burst, self.own_needed) = (Standing::LastResort, 0, OWN_OF_HALF);
        (self.pause, self.next) = (*PAUSE.end(), now + *PAUSE.end());
        is_news.then_some(Softened::Halved)
    }

    /// A probe that was held to be missing has come home after all.
    pub(super) fn came_home_late(&mut self) {
        (self.missing, self.own_in_a_row) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::verdict::Evidence;
    use crate::upstream::{Transport, UpstreamId};

    fn case(relapses: u16, is_last: bool, now: Instant) -> Case {
        let evidence = Evidence { witness: None, from: [10, 0, 0, 9].into(), over: Transport::Udp, onwards: 0 };
        let standing = if relapses == 0 { Standing::Quarantined } else { Standing::LastResort };
        let verdict = Verdict {
            upstream: UpstreamId(0),
            transport: Transport::Udp,
            suffix: [0].into(),
            qtype: None,
            standing,
            since: now,
            evidence,
        };
        Case::new(verdict, Vec::new(), (relapses, is_last), now)
    }

    /// Lets probes go as `outcome` says until the verdict softens; returns how, and after how many seconds.
    fn play(case: &mut Case, outcome: Outcome, now: &mut Instant) -> Option<(Softened, f32)> {
        let began = *now;
        for _ in 0..200 {
            *now = case.next().max(*now);
            if outcome == Outcome::Missing {
                *now += Duration::from_millis(600); // silence is waited for
            }
            if let Some(softened) = case.take(outcome, *now) {
                return Some((softened, (*now - began).as_secs_f32()));
            }
        }
        None
    }

    #[test]
    fn whatever_follows_a_loop_ends_its_verdict_within_ten_seconds() {
        for relapses in 0..5 {
            for outcome in [Outcome::Own, Outcome::Missing] {
                let mut now = crate::clock::now();
                let mut case = case(relapses, false, now);
                assert!(play(&mut case, Outcome::Home, &mut now).is_none(), "a loop is one for as long as it lasts");
                let (_, after) = play(&mut case, outcome, &mut now).unwrap();
                assert!(after < 10.0 - 0.1, "{relapses}, {outcome:?}: {after}");
            }
        }
    }

    #[test]
    fn one_own_answer_ends_a_first_loop_and_one_alone_no_second() {
        let mut now = crate::clock::now();
        assert!(matches!(case(0, false, now).take(Outcome::Own, now), Some(Softened::Ended)));
        let mut second = case(1, false, now);
        for outcome in [Outcome::Own, Outcome::Home].into_iter().cycle().take(100) {
            now += Duration::from_secs(1);
            assert!(second.take(outcome, now).is_none());
        }
    }

    #[test]
    fn a_short_restart_of_a_hop_ends_nothing() {
        let mut now = crate::clock::now();
        let mut case = case(0, false, now);
        for _ in 0..20 {
            for outcome in [Outcome::Missing, Outcome::Missing, Outcome::Home] {
                now = case.next();
                assert!(case.take(outcome, now).is_none());
            }
        }
    }

    #[test]
    fn a_loop_that_formed_again_with_no_other_left_is_a_whole_one_where_no_probe_is_answered() {
        let mut now = crate::clock::now();
        let mut whole = case(1, true, now);
        for _ in 0..BURST {
            now = whole.next();
            assert!(whole.take(Outcome::Home, now).is_none());
        }
        assert_eq!(whole.verdict.standing, Standing::Quarantined);
    }
}
