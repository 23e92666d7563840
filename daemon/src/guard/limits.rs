//! How many probes a stranger can provoke. Pure.
//!
//! Witnesses can be provoked at will, so what they cause is counted, and each kind by itself, lest one delay another:
//! marks can be replayed, silence made by a slow zone, and CoreDNS's question asked by any client. Of each kind an
//! upstream is probed for six suspicions in any twenty seconds at most. And since a stranger makes up names under the
//! few domains that are his own, suspicions about names of one domain are at least a second apart, and after each
//! acquittal twice as far, up to half a minute, until ten quiet minutes have passed. A real loop is soon seen at
//! another domain. And twenty probes a second in all, whatever they are for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::suffix;
use super::verdict::Witness;
use crate::wire::name;

/// Minimum time between two suspicions about one domain that are looked into, before any acquittal.
const BETWEEN: Duration = Duration::from_secs(1);
/// Maximum number of times that it is doubled: 32 s.
const DOUBLINGS: u32 = 5;
/// Time without a suspicion after which acquittals are forgotten.
const FORGIVEN: Duration = Duration::from_secs(600);
/// Maximum number of domains remembered, of each kind.
const DOMAINS: usize = 64;
/// Maximum number of suspicions of one kind that are looked into, and the time that they are counted in.
const EACH_KIND: (usize, Duration) = (6, Duration::from_secs(20));

/// At most `most` events in any `span`.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    most: usize,
    span: Duration,
    recent: VecDeque<Instant>,
}

/// What makes us look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provocation<'n> {
    /// A witness speaks of this name.
    Witness(Witness, &'n [u8]),
    /// CoreDNS's `loop` plugin asked its question.
    LoopPlugin,
}

/// The provoked probes of one upstream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Provoked {
    marks: Kind,
    silence: Kind,
    loop_plugin: Kind,
}

/// Provocations of one kind.
#[derive(Debug, Clone)]
struct Kind {
    all: Window,
    domains: VecDeque<Domain>,
}

#[derive(Debug, Clone)]
struct Domain {
    name: Box<[u8]>,
    last: Instant,
    acquittals: u32,
}

impl Window {
    /// A window that lets `most` events pass in `span`.
    #[must_use]
    pub(crate) fn new(most: usize, span: Duration) -> Self {
        Self { most, span, recent: VecDeque::with_capacity(most) }
    }

    /// Counts an event, if there is room for it now.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) >= self.span) {
            self.recent.pop_front();
        }
        let room = self.recent.len() < self.most;
        if room {
            self.recent.push_back(now);
        }
        room
    }

    /// When there is room again, if there is none now.
    #[must_use]
    pub(crate) fn room_at(&self) -> Option<Instant> {
        (self.recent.len() >= self.most).then(|| self.recent.front().map(|at| *at + self.span)).flatten()
    }
}

impl Provoked {
    /// Counts a probe that is provoked, if it may be sent now.
    pub(crate) fn take(&mut self, provocation: Provocation<'_>, now: Instant) -> bool {
        if self.room_at(provocation).is_some_and(|at| at > now) {
            return false;
        }
        let (kind, domain) = self.of(provocation);
        if !kind.all.take(now) {
            return false;
        }
        kind.seen(domain, now);
        true
    }

    /// When the next probe may be sent for such a provocation; none where nothing is in its way.
    #[must_use]
    pub(crate) fn room_at(&mut self, provocation: Provocation<'_>) -> Option<Instant> {
        let (kind, domain) = self.of(provocation);
        let after_last = kind.domains.iter().find(|known| *known.name == *domain).map(Domain::free_at);
        after_last.into_iter().chain(kind.all.room_at()).max()
    }

    /// The upstream was found healthy: the next one of this kind and domain has to wait longer.
    pub(crate) fn acquitted(&mut self, provocation: Provocation<'_>) {
        let (kind, domain) = self.of(provocation);
        if let Some(known) = kind.domains.iter_mut().find(|known| *known.name == *domain) {
            known.acquittals = known.acquittals.saturating_add(1);
        }
    }

    /// The witness was right: the next one is believed at once.
    pub(crate) fn convicted(&mut self, name: &[u8]) {
        let domain = suffix::domain(name);
        for kind in [&mut self.marks, &mut self.silence] {
            kind.domains.retain(|known| *known.name != *domain);
        }
    }

    fn of<'n>(&mut self, provocation: Provocation<'n>) -> (&mut Kind, &'n [u8]) {
        match provocation {
            Provocation::Witness(Witness::Tag | Witness::Spelling, name) => (&mut self.marks, suffix::domain(name)),
            Provocation::Witness(Witness::Silence, name) => (&mut self.silence, suffix::domain(name)),
            Provocation::LoopPlugin => (&mut self.loop_plugin, name::ROOT),
        }
    }
}

impl Default for Kind {
    fn default() -> Self {
        let (most, span) = EACH_KIND;
        Self { all: Window::new(most, span), domains: VecDeque::new() }
    }
}

impl Kind {
    /// Remembers that a domain was looked at; the one that was not looked at for longest makes room.
    fn seen(&mut self, domain: &[u8], now: Instant) {
        let before = self.domains.iter().position(|known| *known.name == *domain);
        let before = before.and_then(|at| self.domains.remove(at));
        let before = before.filter(|known| now.saturating_duration_since(known.last) < FORGIVEN);
        if self.domains.len() >= DOMAINS {
            self.domains.pop_front();
        }
        let acquittals = before.map_or(0, |known| known.acquittals);
        self.domains.push_back(Domain { name: domain.into(), last: now, acquittals });
    }
}

impl Domain {
    fn free_at(&self) -> Instant {
        self.last + BETWEEN * (1 << self.acquittals.min(DOUBLINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::wire;

    fn by(witness: Witness, name: &[u8]) -> Provocation<'_> {
        Provocation::Witness(witness, name)
    }

    /// How many of 1000 replayed marks a second are looked into in `seconds`, all of names under one domain.
    fn granted(seconds: u64, acquit: bool) -> usize {
        let (mut provoked, start) = (Provoked::default(), crate::clock::now());
        let mut count = 0;
        for ms in 0..seconds * 1000 {
            let name = wire(&format!("n{ms}.evil.example"));
            if provoked.take(by(Witness::Tag, &name), start + Duration::from_millis(ms)) {
                count += 1;
                if acquit {
                    provoked.acquitted(by(Witness::Tag, &name));
                }
            }
        }
        count
    }

    #[test]
    fn suspicions_about_one_domain_are_limited() {
        assert_eq!(granted(1, false), 1);
        assert_eq!(granted(3, false), 3);
        assert_eq!(granted(60, false), 18);
        assert_eq!(granted(60, true), 5); // at 0, 2, 6, 14, 30 s
        assert!(granted(600, true) < 25);
    }

    #[test]
    fn suspicions_about_many_domains_are_limited() {
        let (mut provoked, start) = (Provoked::default(), crate::clock::now());
        let granted = (0..60_000_u64).filter(|ms| {
            let name = wire(&format!("www.evil{ms}.example"));
            provoked.take(by(Witness::Silence, &name), start + Duration::from_millis(*ms))
        });
        assert_eq!(granted.count(), 18);
        assert!(provoked.silence.domains.len() <= DOMAINS);
    }

    #[test]
    fn acquittals_are_forgotten() {
        let (mut provoked, start) = (Provoked::default(), crate::clock::now());
        let name = wire("www.example");
        let mark = by(Witness::Tag, &name);
        for n in 0..5 {
            assert!(provoked.take(mark, start + Duration::from_secs(40 * n)));
            provoked.acquitted(mark);
        }
        assert!(!provoked.take(mark, start + Duration::from_secs(170)));
        assert!(provoked.take(mark, start + Duration::from_secs(800)));
        assert!(provoked.take(mark, start + Duration::from_secs(802)));
    }

    #[test]
    fn what_a_stranger_provokes_does_not_delay_what_a_loop_does() {
        let (mut provoked, start) = (Provoked::default(), crate::clock::now());
        let (evil, good) = (wire("www.evil.example"), wire("www.corp.example"));
        for ms in (0..60_000_u64).step_by(10) {
            let now = start + Duration::from_millis(ms);
            let _ = provoked.take(Provocation::LoopPlugin, now);
            for witness in [Witness::Tag, Witness::Silence] {
                if provoked.take(by(witness, &evil), now) {
                    provoked.acquitted(by(witness, &evil));
                }
            }
        }
        for witness in [Witness::Tag, Witness::Silence] {
            assert!(provoked.take(by(witness, &good), start + Duration::from_secs(60)), "{witness}");
        }
    }

    #[test]
    fn a_window_tells_when_there_is_room() {
        let (mut window, start) = (Window::new(2, Duration::from_secs(1)), crate::clock::now());
        assert!(window.take(start) && window.room_at().is_none() && window.take(start));
        assert!(!window.take(start + Duration::from_millis(999)));
        assert_eq!(window.room_at(), Some(start + Duration::from_secs(1)));
        assert!(window.take(start + Duration::from_secs(1)));
    }
}
