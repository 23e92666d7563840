//! What the judge keeps of one upstream over one transport: probes that are wanted, verdicts that hold. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::probe::Nonce;
use super::verdict::{Evidence, Standing, Verdict, Witness};
use crate::upstream::{Transport, UpstreamId};
use crate::wire::name;

/// Probes of one upstream that wait to be sent.
const WANTED: usize = 8;
/// Suffixes that one upstream is convicted for. Names under further ones are still freed by the witnesses.
const CASES: usize = 32;
/// Pause before a quarantined upstream is asked again: this, doubled each time, up to the next.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// So many probes are sent at once to one that was convicted while nobody else was left: half a loop answers one of them.
const BURST: u8 = 4;
/// They begin after this: the question that told of the loop is over by then.
const BEFORE_BURST: Duration = super::HOLD;
/// So long after a question or a probe came back and yet it answered by itself, an upstream is held to waver.
const WAVERS: Duration = Duration::from_secs(60);
/// Convicted again within this time of own answers, an upstream is half a loop.
const HALF_LOOP: Duration = Duration::from_secs(600);
/// Half a loop whose probes have not come home for this long, but were answered, is none any more.
const HEALED: Duration = Duration::from_secs(60);
/// An upstream that knows no name outside its own zones fails every probe by itself. One that has answered so for this
/// long, while none of our probes came home, is asked again; less could be a part of the loop that is restarting.
const FAILS_BY_ITSELF: Duration = Duration::from_secs(300);

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Is there a loop?
    Check,
    /// The one before came home; does this one too, without marks?
    Confirm,
    /// Has the loop ended?
    Release,
    /// Which marks does the upstream bear?
    Learn,
}

/// Who made us look, and at what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) witness: Witness,
    /// The parent of the suspected name.
    pub(super) parent: Box<[u8]>,
}

/// What a probe met on its way home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbeReturn {
    pub(super) from: std::net::IpAddr,
    pub(super) over: Transport,
    pub(super) onwards: usize,
}

/// A probe that is to be sent, and, once it is sent, what it is about.
#[derive(Debug, Clone)]
pub(super) struct ProbeRequest {
    pub(super) purpose: Purpose,
    pub(super) suffix: Box<[u8]>,
    pub(super) cause: Option<Cause>,
    /// How the probe before came home, where this one is to confirm it.
    pub(super) first: Option<ProbeReturn>,
}

/// A verdict that holds.
#[derive(Debug, Clone)]
struct Case {
    verdict: Verdict,
    next: Instant,
    pause: Duration,
    burst: u8,
    last_home: Instant,
    fails_since: Option<Instant>,
}

/// How a probe for the end of a loop went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// It came home.
    pub(super) home: bool,
    /// The upstream answered by itself.
    pub(super) own: bool,
    /// There was an answer of some kind.
    pub(super) heard: bool,
}

/// One upstream over one transport.
#[derive(Debug, Clone, Default)]
pub(super) struct UpstreamState {
    /// The probe under way; never more than one.
    pub(super) asked: Option<Nonce>,
    /// When the next probe of routine is due.
    pub(super) routine: Option<Instant>,
    /// Until when a witness's word stands.
    pub(super) suspect_until: Option<Instant>,
    /// Until when it is held to waver.
    pub(super) wavers_until: Option<Instant>,
    /// A witness who has to wait: until when, who, and the suspected name.
    pub(super) late: Option<(Instant, Witness, Box<[u8]>)>,
    /// A parent under which a question met silence, and when: the second time it is taken seriously.
    pub(super) silent: Option<(Box<[u8]>, Instant)>,
    wanted: VecDeque<ProbeRequest>,
    cases: Vec<Case>,
    released: VecDeque<(Box<[u8]>, Instant)>,
}

impl ProbeRequest {
    pub(super) fn check(suffix: &[u8], cause: Option<Cause>) -> Self {
        Self { purpose: Purpose::Check, suffix: suffix.into(), cause, first: None }
    }

    pub(super) fn learn() -> Self {
        Self { purpose: Purpose::Learn, suffix: name::ROOT.into(), cause: None, first: None }
    }

    /// Whether this is about every name.
    pub(super) fn of_all(&self) -> bool {
        &*self.suffix == name::ROOT
    }
}

impl UpstreamState {
    /// Queues a probe. One for the same thing that waits already is enough, and takes over the cause.
    pub(super) fn want(&mut self, want: ProbeRequest) {
        let same = |other: &&mut ProbeRequest| (other.purpose, &other.suffix) == (want.purpose, &want.suffix);
        if let Some(waiting) = self.wanted.iter_mut().find(same) {
            waiting.cause = waiting.cause.take().or(want.cause);
        } else if self.wanted.len() < WANTED {
            match want.purpose {
                Purpose::Confirm => self.wanted.push_front(want),
                _ => self.wanted.push_back(want),
            }
        }
    }

    /// The probe that is due, if there is one and none is under way.
    pub(super) fn next(&mut self, now: Instant) -> Option<ProbeRequest> {
        if self.asked.is_some() {
            return None;
        }
        if let Some(want) = self.wanted.pop_front() {
            return Some(want);
        }
        if let Some(case) = self.cases.iter().filter(|case| case.next <= now).min_by_key(|case| case.next) {
            let suffix = case.verdict.suffix.clone();
            return Some(ProbeRequest { purpose: Purpose::Release, suffix, cause: None, first: None });
        }
        if self.routine.is_some_and(|at| at <= now) {
            self.routine = None;
            return Some(ProbeRequest::check(name::ROOT, None));
        }
        None
    }

    /// When [`UpstreamState::next`] has something to say, if not before by an event.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.asked.is_some() {
            return None;
        }
        self.cases.iter().map(|case| case.next).chain(self.routine).min()
    }

    /// Whether a probe waits to be sent at once.
    pub(super) fn is_waiting(&self) -> bool {
        self.asked.is_none() && !self.wanted.is_empty()
    }

    /// Whether a verdict holds for `name`.
    pub(super) fn covers(&self, name: &[u8]) -> bool {
        self.cases.iter().any(|case| name::is_within(name, &case.verdict.suffix))
    }

    /// The verdicts that hold.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.cases.iter().map(|case| &case.verdict)
    }

    pub(super) fn is_wavering(&self, now: Instant) -> bool {
        self.wavers_until.is_some_and(|until| now < until)
    }

    /// It was seen to send something back, and to answer by itself.
    pub(super) fn waver(&mut self, now: Instant) {
        self.wavers_until = Some(now + WAVERS);
    }

    pub(super) fn is_suspect(&self, now: Instant) -> bool {
        self.suspect_until.is_some_and(|until| now < until)
    }

    /// Convicts; returns the verdict if it is a new one. Narrower ones end in it. Where it is the last, it is asked a few
    /// times more at once: should it be half a loop, nobody else would answer meanwhile.
    pub(super) fn convict(
        &mut self,
        whom: (UpstreamId, Transport),
        suffix: &[u8],
        (evidence, is_last): (Evidence, bool),
        now: Instant,
    ) -> Option<Verdict> {
        if self.covers(suffix) || self.cases.len() >= CASES {
            return None;
        }
        self.released.retain(|(_, at)| now.saturating_duration_since(*at) < HALF_LOOP);
        let again = self.released.iter().any(|(released, _)| **released == *suffix);
        let standing = if again { Standing::LastResort } else { Standing::Quarantined };
        let (upstream, transport) = whom;
        let verdict = Verdict { upstream, transport, suffix: suffix.into(), standing, since: now, evidence };
        self.cases.retain(|case| !name::is_within(&case.verdict.suffix, suffix));
        self.wanted.retain(|want| want.purpose != Purpose::Check || !name::is_within(&want.suffix, suffix));
        let pause = if again { PAUSE_MAX } else { PAUSE_MIN };
        let burst = if is_last && !again { BURST } else { 0 };
        let next = now + if burst > 0 { BEFORE_BURST } else { pause };
        self.cases.push(Case { verdict: verdict.clone(), next, pause, burst, last_home: now, fails_since: None });
        Some(verdict)
    }

    /// Takes how a probe for the end of a loop went; returns the verdict that it ended or softened.
    pub(super) fn asked_for_release(&mut self, suffix: &[u8], outcome: Outcome, now: Instant) -> Option<Softened> {
        let at = self.cases.iter().position(|case| *case.verdict.suffix == *suffix)?;
        let case = self.cases.get_mut(at)?;
        if case.burst > 0 {
            case.burst = if outcome.home { case.burst - 1 } else { 0 };
            if outcome.own {
                (case.verdict.standing, case.pause, case.next) = (Standing::LastResort, PAUSE_MAX, now + PAUSE_MAX);
                return Some(Softened::Halved(case.verdict.clone()));
            }
            case.next = if case.burst > 0 { now } else { now + case.pause };
            return None;
        }
        if case.is_over(outcome, now) {
            if self.released.len() >= CASES {
                self.released.pop_front();
            }
            self.released.push_back((suffix.into(), now));
            return Some(Softened::Ended(self.cases.swap_remove(at).verdict));
        }
        case.pause = (case.pause * 2).min(PAUSE_MAX);
        case.next = now + case.pause;
        None
    }
}

/// What the end of a probe made of a verdict.
#[derive(Debug)]
pub(super) enum Softened {
    /// It holds no longer.
    Ended(Verdict),
    /// It answers by itself, too: half a loop.
    Halved(Verdict),
}

impl Case {
    fn is_over(&mut self, outcome: Outcome, now: Instant) -> bool {
        if outcome.home {
            self.last_home = now;
        }
        if outcome.home || !outcome.heard {
            self.fails_since = None;
        }
        if !outcome.own {
            let fails = outcome.heard && !outcome.home;
            let since = fails.then(|| *self.fails_since.get_or_insert(now));
            return since.is_some_and(|since| now.saturating_duration_since(since) >= FAILS_BY_ITSELF);
        }
        // A quarantine ends with the first own answer. Half a loop gives those too: it must also have stopped sending
        // our probes home.
        self.verdict.standing != Standing::LastResort || now.saturating_duration_since(self.last_home) >= HEALED
    }
}
