//! What the judge keeps of one upstream over one transport: probes that are wanted, verdicts that hold. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::case::{Case, Outcome, Place, Softened};
use super::probe::Nonce;
use super::suffix;
use super::verdict::{Asked, Evidence, Standing, Verdict, Witness};
use crate::upstream::{Transport, UpstreamId};
use crate::wire::{name, rtype};

/// Maximum number of probes of one upstream that wait to be sent.
const WANTED: usize = 8;
/// Maximum number of suffixes that one upstream is convicted for. The narrowest and oldest makes room for a further
/// one.
const CASES: usize = 32;
/// Number of names below one suffix that must loop, each under a parent of its own, to convict the suffix though no
/// probe under it comes home.
const UNRELATED: usize = 3;
/// Maximum number of names remembered that the upstream answered by itself while it was convicted for others.
const ANSWERS: usize = 16;
/// Time for which an upstream is held to be intermittent, after something came back and yet it answered by itself.
const WAVERS: Duration = Duration::from_secs(60);
/// Time within which an upstream that is convicted again after own answers may be half a loop.
const HALF_LOOP: Duration = Duration::from_secs(600);

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The suspected name.
    pub(super) name: Box<[u8]>,
    /// The suspected type.
    pub(super) qtype: u16,
}

/// What a probe met on its way home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbeReturn {
    pub(super) from: std::net::IpAddr,
    pub(super) over: Transport,
    pub(super) onwards: usize,
    pub(super) at: Instant,
}

/// A probe that is to be sent, and, once it is sent, what it is about.
#[derive(Debug, Clone)]
pub(super) struct ProbeRequest {
    pub(super) purpose: Purpose,
    /// Where it goes.
    pub(super) place: Place,
    /// The suffix that it speaks for: the place's, but where it is to release a wider verdict.
    pub(super) suffix: Box<[u8]>,
    /// The only type that it speaks for, if not for all.
    pub(super) of_type: Option<u16>,
    pub(super) cause: Option<Cause>,
    /// How the probe before came home, where this one is to confirm it.
    pub(super) first: Option<ProbeReturn>,
}

/// What is to be held against an upstream.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) suffix: Box<[u8]>,
    pub(super) of_type: Option<u16>,
    pub(super) places: Vec<Place>,
    pub(super) evidence: Evidence,
    /// No other upstream is left for these names.
    pub(super) is_last: bool,
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
    /// Until when it is held to be intermittent.
    pub(super) wavers_until: Option<Instant>,
    /// Until when its own answers are waited for in full: it has given one long after a probe came home.
    pub(super) answers_late_until: Option<Instant>,
    /// When it was last looked at for what a mark said of the other transport.
    pub(super) looked_at: Option<Instant>,
    /// A suspicion that has to wait, and until when.
    pub(super) late: Option<(Instant, Cause)>,
    wanted: VecDeque<ProbeRequest>,
    cases: Vec<Case>,
    released: VecDeque<Released>,
    answers: VecDeque<(Instant, Box<[u8]>)>,
}

/// A verdict that ended by own answers.
#[derive(Debug, Clone)]
struct Released {
    suffix: Box<[u8]>,
    of_type: Option<u16>,
    at: Instant,
    relapses: u16,
}

impl ProbeRequest {
    /// A probe that asks whether names under `suffix` loop.
    pub(super) fn check(suffix: &[u8], cause: Option<Cause>) -> Self {
        Self::of(Purpose::Check, Place { suffix: suffix.into(), qtype: rtype::A, begins: None }, cause)
    }

    pub(super) fn learn() -> Self {
        Self::of(Purpose::Learn, Place { suffix: name::ROOT.into(), qtype: rtype::A, begins: None }, None)
    }

    pub(super) fn of(purpose: Purpose, place: Place, cause: Option<Cause>) -> Self {
        Self { purpose, suffix: place.suffix.clone(), place, of_type: None, cause, first: None }
    }

    /// Whether this is about every name.
    pub(super) fn of_all(&self) -> bool {
        &*self.suffix == name::ROOT
    }
}

impl UpstreamState {
    /// Queues a probe. One for the same thing that waits already is enough, and takes over the cause.
    pub(super) fn want(&mut self, want: ProbeRequest) {
        let same = |other: &&mut ProbeRequest| (other.purpose, &other.place) == (want.purpose, &want.place);
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
        if let Some(case) = self.cases.iter_mut().filter(|case| case.next() <= now).min_by_key(|case| case.next())
            && let Some(place) = case.place()
        {
            let (suffix, of_type) = (case.verdict.suffix.clone(), case.verdict.qtype);
            return Some(ProbeRequest { suffix, of_type, ..ProbeRequest::of(Purpose::Release, place, None) });
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
        self.cases.iter().map(Case::next).chain(self.routine).min()
    }

    /// Whether a probe waits to be sent at once.
    pub(super) fn is_waiting(&self) -> bool {
        self.asked.is_none() && !self.wanted.is_empty()
    }

    /// Forgets a probe that was to confirm that names under `suffix` loop.
    pub(super) fn forget_confirmation(&mut self, suffix: &[u8]) {
        self.wanted.retain(|want| want.purpose != Purpose::Confirm || *want.suffix != *suffix);
    }

    /// Whether a verdict holds for all types of the names under `suffix`.
    pub(super) fn covers(&self, suffix: &[u8]) -> bool {
        self.covers_all(suffix, None)
    }

    /// Whether a verdict holds for a question.
    pub(super) fn covers_question(&self, asked: Asked<'_>) -> bool {
        self.cases.iter().any(|case| case.verdict.is_about(asked))
    }

    fn covers_all(&self, suffix: &[u8], of_type: Option<u16>) -> bool {
        let is_wider = |verdict: &Verdict| verdict.qtype.is_none() || verdict.qtype == of_type;
        self.verdicts().any(|verdict| is_wider(verdict) && name::is_within(suffix, &verdict.suffix))
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

    /// Remembers a name that it answered by itself. A no-op while nothing is held against it.
    pub(super) fn answered(&mut self, name: &[u8], now: Instant) {
        if self.cases.is_empty() {
            return;
        }
        if self.answers.len() >= ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back((now, name.into()));
    }

    /// Convicts; returns the verdict if it is a new one. Narrower ones end in it. Where no other upstream is left, it
    /// is asked a few times more at once: should it be half a loop, nobody else would answer meanwhile.
    pub(super) fn convict(
        &mut self,
        (upstream, transport): (UpstreamId, Transport),
        finding: Finding,
        now: Instant,
    ) -> Option<Verdict> {
        let Finding { suffix, of_type, places, evidence, is_last } = finding;
        if self.covers_all(&suffix, of_type) {
            return None;
        }
        self.released.retain(|old| now.saturating_duration_since(old.at) < HALF_LOOP);
        let before = self.released.iter().rfind(|old| (&old.suffix, old.of_type) == (&suffix, of_type));
        let relapses = before.map_or(0, |before| before.relapses.saturating_add(1));
        let standing = if relapses > 0 { Standing::LastResort } else { Standing::Quarantined };
        let is_narrower = |one: &[u8], its_type: Option<u16>| {
            name::is_within(one, &suffix) && (of_type.is_none() || of_type == its_type)
        };
        self.cases.retain(|case| !is_narrower(&case.verdict.suffix, case.verdict.qtype));
        self.wanted.retain(|want| want.purpose != Purpose::Check || !is_narrower(&want.suffix, Some(want.place.qtype)));
        self.make_room();
        let since = now;
        let verdict = Verdict { upstream, transport, suffix, qtype: of_type, standing, since, evidence };
        self.cases.push(Case::new(verdict.clone(), places, (relapses, is_last), now));
        Some(verdict)
    }

    /// Drops the narrowest verdict, and of those the oldest, where the table is full: names under it are still freed by
    /// the witnesses.
    fn make_room(&mut self) {
        if self.cases.len() < CASES {
            return;
        }
        let narrowest =
            |(_, case): &(usize, &Case)| (std::cmp::Reverse(suffix::labels(&case.verdict.suffix)), case.verdict.since);
        if let Some((at, _)) = self.cases.iter().enumerate().min_by_key(narrowest) {
            self.cases.remove(at);
        }
    }

    /// The suffix that perhaps loops as a whole where `name` does: the longest that it shares with a verdict, and that
    /// is none yet. None where they share the root only.
    pub(super) fn shared<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let others = self.verdicts().filter(|verdict| *verdict.suffix != *name && verdict.qtype.is_none());
        let shared = others.map(|verdict| suffix::common(name, &verdict.suffix)).max_by_key(|shared| shared.len())?;
        (shared != name::ROOT && !self.covers(shared)).then_some(shared)
    }

    /// Returns the widest suffix above `suffix` under which all names are held to loop, and the places that their
    /// probes came home from. That takes verdicts under at least `UNRELATED` children of it, and more such children
    /// than answers to other names below it since the first of those verdicts. No probe of that suffix itself need
    /// come home, since hops can deny those.
    pub(super) fn all_loop(&self, suffix: &[u8]) -> Option<(Box<[u8]>, Vec<Place>)> {
        let above = std::iter::successors(Some(suffix), |at| (*at != name::ROOT).then(|| name::parent(at))).skip(1);
        let mut found = None;
        for above in above {
            let within = || {
                let whole = self.cases.iter().filter(|case| case.verdict.qtype.is_none());
                whole.filter(|case| name::is_within(&case.verdict.suffix, above))
            };
            let mut children: Vec<_> =
                within().filter_map(|case| suffix::child_of(&case.verdict.suffix, above)).collect();
            children.sort_unstable();
            children.dedup();
            let since = within().map(|case| case.verdict.since).min();
            let answers = self.answers.iter().filter(|(at, name)| {
                since.is_some_and(|since| *at >= since) && name::is_within(name, above) && !self.covers(name)
            });
            if children.len() >= UNRELATED.max(answers.count() + 1) {
                found = Some((above.into(), within().flat_map(Case::places).cloned().collect()));
            }
        }
        found
    }

    /// Takes how a release probe went; returns the verdict that it ended or softened, and how.
    pub(super) fn asked_for_release(
        &mut self,
        (suffix, of_type): (&[u8], Option<u16>),
        outcome: Outcome,
        now: Instant,
    ) -> Option<(Softened, Verdict)> {
        let at = self.position(suffix, of_type)?;
        let case = self.cases.get_mut(at)?;
        let softened = case.take(outcome, now)?;
        match softened {
            Softened::Halved => return Some((softened, case.verdict.clone())),
            Softened::Ended => {
                if self.released.len() >= CASES {
                    self.released.pop_front();
                }
                self.released.push_back(Released { suffix: suffix.into(), of_type, at: now, relapses: case.relapses });
            }
            Softened::Faded => {}
        }
        Some((softened, self.cases.remove(at).verdict))
    }

    /// The case for exactly these names.
    pub(super) fn case_mut(&mut self, suffix: &[u8], of_type: Option<u16>) -> Option<&mut Case> {
        let at = self.position(suffix, of_type)?;
        self.cases.get_mut(at)
    }

    fn position(&self, suffix: &[u8], of_type: Option<u16>) -> Option<usize> {
        self.verdicts().position(|verdict| (&*verdict.suffix, verdict.qtype) == (suffix, of_type))
    }
}
