//! Whether an upstream is there at all, over one transport: only its silence to probes says that it is not. Pure.
//!
//! Silence about *names* says nothing of a server: zones are dead, and some servers drop what they do not know. So an
//! upstream that let queries wait is only *suspected* to be down; then it is probed at once, [`TRIES`] times. Any
//! response is life, an error too, and so is any response to a query ([`Guard::is_alive`](super::Guard::is_alive)). The
//! last of these probes asks for a name that the upstream has answered before, where the caller knows one: a server
//! that is silent for all but its own zone is not down. One that is silent to all of them is down until it says
//! something, and is probed on, less and less often.
//!
//! The probes are those of the judge, but do not wait for its own and do not count against its limits.

use std::time::{Duration, Instant};

/// Time until a health probe counts as met by silence. A response after that is still welcome.
const PATIENCE: Duration = Duration::from_millis(300);
/// Health probes that must meet silence in a row before an upstream is down: packets are lost.
const TRIES: u8 = 3;
/// Minimum time between two suspicions that are looked into.
const BETWEEN: Duration = Duration::from_secs(1);
/// Minimum and maximum time between two probes of an upstream that is down; doubled from one to the other.
const PAUSE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(4);

/// The health of one upstream over one transport.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    state: State,
    last_suspicion: Option<Instant>,
    /// A name that it has answered, in lower-cased wire form.
    answered: Option<Box<[u8]>>,
}

#[derive(Debug, Clone, Default)]
enum State {
    /// Nothing says that it is down.
    #[default]
    Up,
    /// It is being probed: since when, how often, and when the next step is due.
    Suspected { since: Instant, sent: u8, next: Instant },
    /// It said nothing since then.
    Down { since: Instant, pause: Duration, next: Instant },
}

/// What a health probe asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// A name that nobody has.
    Nonce,
    /// A name that the upstream has answered.
    Answered(Box<[u8]>),
}

impl Health {
    /// Takes a suspicion, and a name that the upstream has answered before. A no-op where it is being probed, or was
    /// lately.
    ///
    /// A worker suspects one that is down where it has had a response since: one that was on its way when the upstream
    /// went down, and came before the worker heard of that. It went down after that response, so the time moves on; by
    /// the former one that worker would hold it to be up for good.
    pub(super) fn suspect(&mut self, answered: Option<Box<[u8]>>, now: Instant) {
        let lately = self.last_suspicion.is_some_and(|at| now.saturating_duration_since(at) < BETWEEN);
        if answered.is_some() {
            self.answered = answered;
        }
        match &mut self.state {
            State::Up if !lately => {
                self.last_suspicion = Some(now);
                self.state = State::Suspected { since: now, sent: 0, next: now };
            }
            State::Down { since, .. } => *since = now,
            State::Up | State::Suspected { .. } => {}
        }
    }

    /// Takes a probe that another has just sent for the first one. A no-op where one was sent.
    pub(super) fn is_probed(&mut self, now: Instant) {
        if let State::Suspected { sent, next, .. } = &mut self.state
            && *sent == 0
        {
            (*sent, *next) = (1, now + PATIENCE);
        }
    }

    /// Takes a sign of life.
    pub(super) fn heard(&mut self) {
        self.state = State::Up;
    }

    /// Takes the early end of a probe: nothing listens there. The next one need not wait.
    pub(super) fn unreachable(&mut self, now: Instant) {
        if let State::Suspected { next, .. } = &mut self.state {
            *next = now.min(*next);
        }
    }

    /// Since when nothing was heard of it, where it is down.
    pub(super) fn down_since(&self) -> Option<Instant> {
        match self.state {
            State::Down { since, .. } => Some(since),
            State::Up | State::Suspected { .. } => None,
        }
    }

    /// When [`Health::step`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Up => None,
            State::Suspected { next, .. } | State::Down { next, .. } => Some(next),
        }
    }

    /// Goes on in time. Returns the probe that is to be sent now.
    pub(super) fn step(&mut self, now: Instant) -> Option<Ask> {
        match &mut self.state {
            State::Suspected { sent, next, .. } if *next <= now && *sent < TRIES => {
                (*sent, *next) = (*sent + 1, now + PATIENCE);
                let is_last = *sent == TRIES;
                Some(self.answered.clone().filter(|_| is_last).map_or(Ask::Nonce, Ask::Answered))
            }
            State::Suspected { since, next, .. } if *next <= now => {
                let (since, pause) = (*since, *PAUSE.start());
                self.state = State::Down { since, pause, next: now + pause };
                None
            }
            State::Down { pause, next, .. } if *next <= now => {
                *pause = (*pause * 2).min(*PAUSE.end());
                *next = now + *pause;
                Some(Ask::Nonce)
            }
            State::Up | State::Suspected { .. } | State::Down { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Lets `span` go by from `now` on, without a word from the upstream; returns what was sent, and after how long.
    fn silence(health: &mut Health, now: &mut Instant, span: Duration) -> Vec<(u128, Ask)> {
        let (began, end) = (*now, *now + span);
        let mut sent = Vec::new();
        while let Some(due) = health.due().filter(|due| *due <= end) {
            *now = due.max(*now);
            sent.extend(health.step(*now).map(|ask| ((*now - began).as_millis(), ask)));
        }
        *now = end;
        sent
    }

    #[test]
    fn one_that_is_silent_to_three_probes_is_down_within_a_second() {
        let (mut health, mut now) = (Health::default(), crate::clock::now());
        let began = now;
        health.suspect(None, now);
        let sent = silence(&mut health, &mut now, ms(899));
        assert_eq!(sent, [(0, Ask::Nonce), (300, Ask::Nonce), (600, Ask::Nonce)]);
        assert_eq!(health.down_since(), None);
        silence(&mut health, &mut now, ms(1));
        assert_eq!(health.down_since(), Some(began));
    }

    #[test]
    fn one_that_is_down_is_probed_less_and_less_often_and_any_word_brings_it_back() {
        let (mut health, mut now) = (Health::default(), crate::clock::now());
        health.suspect(None, now);
        silence(&mut health, &mut now, ms(900));
        let sent = silence(&mut health, &mut now, ms(15_000));
        assert_eq!(sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1_000, 3_000, 7_000, 11_000, 15_000]);
        health.heard();
        assert_eq!((health.down_since(), health.due()), (None, None));
    }

    #[test]
    fn a_worker_that_had_a_late_response_learns_that_it_is_down_too() {
        let (mut health, mut now) = (Health::default(), crate::clock::now());
        health.suspect(None, now);
        silence(&mut health, &mut now, ms(900));
        now += ms(2_000);
        health.suspect(None, now); // of a worker that heard it after the first suspicion, and hears nothing any more
        assert_eq!(health.down_since(), Some(now));
    }

    #[test]
    fn one_that_says_anything_is_never_down_and_is_not_probed_more_than_once_a_second() {
        let (mut health, mut now) = (Health::default(), crate::clock::now());
        let mut sent = 0;
        for _ in 0..1_000 {
            health.suspect(None, now);
            sent += silence(&mut health, &mut now, ms(10)).len();
            health.heard();
            assert_eq!(health.down_since(), None);
        }
        assert_eq!(sent, 10);
    }

    #[test]
    fn one_that_drops_all_but_its_own_names_is_asked_for_one_of_these() {
        let (mut health, mut now) = (Health::default(), crate::clock::now());
        health.suspect(Some((*b"\x04corp\0").into()), now);
        let sent = silence(&mut health, &mut now, ms(899));
        assert_eq!(sent.last(), Some(&(600, Ask::Answered((*b"\x04corp\0").into()))));
    }

    #[test]
    fn where_nothing_listens_the_next_probe_does_not_wait() {
        let (mut health, now) = (Health::default(), crate::clock::now());
        health.suspect(None, now);
        for _ in 0..3 {
            assert_eq!(health.step(now), Some(Ask::Nonce));
            health.unreachable(now);
        }
        assert_eq!(health.step(now), None);
        assert_eq!(health.down_since(), Some(now));
    }
}
