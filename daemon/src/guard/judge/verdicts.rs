//! What the judge makes of a probe's outcome: another probe, a verdict, or the end of one. Pure.
//!
//! **Where it looks.** The root first. An NXDOMAIN there proves nothing: hops that validate make it of cached NSEC
//! records (RFC 8198), whatever the type, with CD and with any marks (tried with Unbound 1.17 and BIND 9.18, a signed
//! root, and twenty kinds of queries). What no such cache can deny are names like the suspected one, since that was
//! passed on a moment ago. So where a witness has spoken, the judge asks on: for the suspected type, under the
//! suspected name's parent, and where a mark was seen under the very name. What comes home there convicts for those
//! names, or for that type, only. Where two such suffixes loop, what they share is probed; and where three loop that
//! share nothing below a suffix, and nothing else under it was answered meanwhile, it is the suffix that loops, which
//! may be the root.
//!
//! **When it has waited enough.** The upstream's own answer outweighs a probe that came home, and some forwarders get
//! one from their next server only when they have heard our SERVFAIL. That is waited for, up to two seconds. But
//! dnsmasq with `strict-order` and no further server says nothing more, while clients wait whom nobody else can answer.
//! So where a witness has spoken against the last upstream, and a probe came home at once, its end is awaited for a few
//! milliseconds only; an own answer after that makes the upstream half a loop, and is waited for in full from then on.

use std::time::{Duration, Instant};

use super::{Judge, ProbeInFlight, UNSURE, Whom};
use crate::guard::PROBE_HOLD;
use crate::guard::case::{Outcome, Place, Softened};
use crate::guard::limits::Provocation;
use crate::guard::probe::{self, Nonce, ProbeReply};
use crate::guard::report::Kind;
use crate::guard::upstream_state::{Cause, Finding, ProbeRequest, ProbeReturn, Purpose};
use crate::guard::verdict::{Evidence, Standing, Verdict, Witness};
use crate::upstream::Transport;
use crate::wire::{name, rtype};

/// Time until a release probe counts as missing.
const RELEASE: Duration = Duration::from_millis(600);
/// Time until a probe that a witness asked for counts as unanswered, where it did not come home.
const NOT_HOME: Duration = Duration::from_millis(400);
/// Time within which a probe comes home through a hop that asks nobody else first.
const AT_ONCE: Duration = Duration::from_millis(60);
/// Time that the upstream has for its own answer after our SERVFAIL, where clients wait whom nobody else can answer.
const NO_MORE: Duration = Duration::from_millis(12);
/// Minimum time between two looks at the stream of an upstream for what marks said of its datagrams.
const OTHER_TRANSPORT: Duration = Duration::from_secs(10);
/// Time for which own answers are waited for in full after one came late.
const ANSWERS_LATE: Duration = Duration::from_secs(600);

impl Judge {
    /// When a probe counts as over though the upstream has said nothing; none where its full time is waited for.
    pub(super) fn patience_ends(&self, flying: &ProbeInFlight, now: Instant) -> Option<Instant> {
        match (flying.want.purpose, flying.home) {
            (Purpose::Learn, _) => None,
            (Purpose::Release, None) => Some(flying.sent + RELEASE),
            (Purpose::Release, Some(home)) => Some(home.at + PROBE_HOLD + RELEASE),
            (Purpose::Check | Purpose::Confirm, _) if flying.want.cause.is_none() => None,
            (Purpose::Check, None) => Some(flying.sent + NOT_HOME),
            (Purpose::Confirm, None) => None,
            (Purpose::Check | Purpose::Confirm, Some(home)) => {
                let track = self.tracks.get(&flying.whom);
                let answers_late = track.is_some_and(|track| {
                    track.is_wavering(now) || track.answers_late_until.is_some_and(|until| now < until)
                });
                let at_once = home.at.saturating_duration_since(flying.sent) <= AT_ONCE;
                let is_urgent = at_once && !answers_late && self.is_last(flying.whom.0, &flying.want.suffix);
                is_urgent.then(|| home.at + PROBE_HOLD + NO_MORE)
            }
        }
    }

    /// Ends the probes whose time is over. Their answers are still welcome.
    pub(super) fn end_overdue(&mut self, now: Instant) {
        let is_over = |flying: &ProbeInFlight| self.patience_ends(flying, now).is_some_and(|at| at <= now);
        let over: Vec<Nonce> =
            self.asked.iter().filter(|(_, flying)| is_over(flying)).map(|(nonce, _)| *nonce).collect();
        for nonce in over {
            if let Some(flying) = self.asked.get(&nonce).cloned() {
                let given_up_home = flying.home.is_some();
                self.overdue.insert(nonce, ProbeInFlight { given_up_home, ..flying });
            }
            self.over(nonce, None, now);
        }
    }

    /// A probe has ended that was given up before.
    fn ended_late(&mut self, nonce: Nonce, flying: &ProbeInFlight, heard: Option<ProbeReply>, now: Instant) {
        let own = heard.is_some_and(|heard| heard.own);
        match (flying.want.purpose, flying.home) {
            (Purpose::Release, None) if own => return self.release(flying, Outcome::Own, now),
            (Purpose::Check, Some(home)) if !own && !flying.given_up_home => return self.confirm(flying, home, nonce),
            (Purpose::Check | Purpose::Confirm, _) if own => {}
            _ => return,
        }
        let Some(track) = self.tracks.get_mut(&flying.whom) else { return };
        track.forget_confirmation(&flying.want.suffix);
        if let Some(nonce) = track.asked
            && let Some(confirming) = self.asked.get_mut(&nonce)
            && confirming.want.purpose == Purpose::Confirm
        {
            confirming.answered_late = true;
        }
        if flying.home.is_none() {
            return;
        }
        track.answers_late_until = Some(now + ANSWERS_LATE);
        let case = track.case_mut(&flying.want.suffix, flying.want.of_type);
        let halved = case.and_then(|case| case.halve(now).map(|_| case.verdict.clone()));
        match halved {
            Some(verdict) => self.tell_verdict(Kind::Halved, &verdict),
            None => track.waver(now),
        }
    }

    /// A probe has come home that was given up before: no loop has ended.
    pub(super) fn came_home_late(&mut self, nonce: Nonce, home: ProbeReturn) {
        let Some(flying) = self.overdue.get_mut(&nonce) else { return };
        flying.home = Some(home);
        let case = self.tracks.get_mut(&flying.whom);
        if let Some(case) = case.and_then(|track| track.case_mut(&flying.want.suffix, flying.want.of_type)) {
            case.came_home_late();
        }
    }

    /// Takes the end of a probe.
    pub(super) fn over(&mut self, nonce: Nonce, heard: Option<ProbeReply>, now: Instant) {
        let Some(asked) = self.asked.remove(&nonce) else {
            if let Some(flying) = self.overdue.remove(&nonce) {
                self.ended_late(nonce, &flying, heard, now);
            }
            return;
        };
        let Some(track) = self.tracks.get_mut(&asked.whom) else { return };
        track.asked = None;
        let own = heard.is_some_and(|heard| heard.own);
        let kept = heard.is_some_and(|heard| heard.spelling_kept);
        let near = self.set.get(asked.whom.0).is_some_and(|upstream| upstream.is_near());
        match (asked.want.purpose, asked.home) {
            (Purpose::Learn, _) => self.learn(asked.whom, own, kept, now),
            (Purpose::Release, home) => {
                let outcome = match (home.is_some(), own) {
                    (true, true) => Outcome::Both,
                    (true, false) => Outcome::Home,
                    (false, true) => Outcome::Own,
                    (false, false) => Outcome::Missing,
                };
                self.release(&asked, outcome, now);
            }
            (Purpose::Check, _) if own => self.answered(&asked, kept, now),
            (Purpose::Check, Some(home)) => {
                track.wavers_until = None;
                self.confirm(&asked, home, nonce);
            }
            (Purpose::Check, None) => {
                self.begin_lesson(&asked, now);
                self.look_further(&asked, now);
            }
            (Purpose::Confirm, _) if own || asked.answered_late => {
                // It answers without marks what it did not answer with them, or it is half a loop by chance.
                if !self.confirm_type(&asked, nonce) {
                    self.begin_lesson(&asked, now);
                    self.answered(&asked, kept, now);
                }
            }
            (Purpose::Confirm, Some(home)) => self.convict(&asked, home, nonce, now),
            (Purpose::Confirm, None) if self.confirm_type(&asked, nonce) => {}
            (Purpose::Confirm, None) if near => track_routine(self, asked.whom, now),
            (Purpose::Confirm, None) => {}
        }
    }

    fn release(&mut self, asked: &ProbeInFlight, outcome: Outcome, now: Instant) {
        let Some(track) = self.tracks.get_mut(&asked.whom) else { return };
        let about = (&*asked.want.suffix, asked.want.of_type);
        if let Some((softened, verdict)) = track.asked_for_release(about, outcome, now) {
            let kind = match softened {
                Softened::Ended => Kind::Released,
                Softened::Faded => Kind::Faded,
                Softened::Halved => Kind::Halved,
            };
            self.tell_verdict(kind, &verdict);
        }
    }

    /// The upstream's own answer: it is no loop, for the names that were asked for; unless a cache has made it.
    fn answered(&mut self, asked: &ProbeInFlight, kept: bool, now: Instant) {
        let known = self.known.entry(asked.whom.0).or_default();
        let learnt = known.answered(asked.marks, kept, now);
        if known.is_old(now) {
            self.begin_lesson(asked, now);
        }
        if let Some(bears) = learnt {
            self.tell(Kind::Learnt(bears), asked.whom, name::ROOT, None);
        }
        if let Some(track) = self.tracks.get_mut(&asked.whom) {
            track.forget_confirmation(&asked.want.suffix);
        }
        if asked.want.purpose == Purpose::Check && asked.home.is_none() && self.look_further(asked, now) {
            return;
        }
        if let Some(cause) = &asked.want.cause {
            let provoked = self.provoked.entry(asked.whom.0).or_default();
            provoked.acquitted(Provocation::Witness(cause.witness, &cause.name));
        }
        if let Some(track) = self.tracks.get_mut(&asked.whom) {
            track.suspect_until = None;
            let seen = asked.want.cause.as_ref().is_some_and(|cause| cause.witness != Witness::Silence);
            if seen || asked.want.purpose == Purpose::Confirm {
                track.waver(now);
            }
        }
    }

    /// Wants the next probe that a witness's word is worth. Returns whether there is one.
    fn look_further(&mut self, asked: &ProbeInFlight, now: Instant) -> bool {
        let Some(cause) = &asked.want.cause else { return false };
        let here = (&*asked.want.place.suffix, asked.want.place.qtype);
        let shared = self.tracks.get(&asked.whom).and_then(|track| track.shared(name::parent(&cause.name)));
        let mut steps = places(cause, shared).into_iter();
        if !steps.any(|step| step == here) {
            return false;
        }
        let next = steps.next();
        let is_mark = cause.witness != Witness::Silence;
        let whom = match next {
            Some(_) => asked.whom,
            // What came back may have been asked over the other transport: marks do not tell.
            None if is_mark && asked.whom.1 == Transport::Udp => (asked.whom.0, Transport::Tcp),
            None => return false,
        };
        let (suffix, qtype) = next.unwrap_or((name::ROOT, rtype::A));
        let place = Place { suffix: suffix.into(), qtype, begins: None };
        let track = self.tracks.entry(whom).or_default();
        if next.is_none() {
            if track.looked_at.is_some_and(|at| now.saturating_duration_since(at) < OTHER_TRANSPORT) {
                return false;
            }
            track.looked_at = Some(now);
        }
        if !track.covers(suffix) {
            track.want(ProbeRequest::of(Purpose::Check, place, Some(cause.clone())));
        }
        next.is_some()
    }

    /// Wants a second probe after one that came home. One for a type of its own is repeated as the common type, which
    /// tells whether it is that type only that loops.
    fn confirm(&mut self, asked: &ProbeInFlight, home: ProbeReturn, nonce: Nonce) {
        let want = &asked.want;
        let is_common = want.place.qtype == rtype::A;
        let place = Place { begins: Some(nonce.beginning()), ..want.place.clone() };
        let (place, of_type) = match (is_common, want.of_all()) {
            (true, _) => (place, want.of_type),
            (false, true) => (place, Some(want.place.qtype)), // the root was asked for the common type already
            (false, false) => (Place { qtype: rtype::A, ..place }, None),
        };
        let request = ProbeRequest {
            of_type,
            first: Some(home),
            ..ProbeRequest::of(Purpose::Confirm, place, want.cause.clone())
        };
        if let Some(track) = self.tracks.get_mut(&asked.whom) {
            track.want(request);
        }
    }

    /// The common type does not loop where the suspected one does: wants the probe that confirms it for that type only.
    /// Returns false where there is no such type.
    fn confirm_type(&mut self, asked: &ProbeInFlight, nonce: Nonce) -> bool {
        let want = &asked.want;
        let suspected = want.cause.as_ref().map(type_of).filter(|qtype| *qtype != rtype::A);
        let (Some(qtype), rtype::A, false, false) = (suspected, want.place.qtype, want.of_all(), asked.answered_late)
        else {
            return false;
        };
        let place = Place { qtype, begins: Some(nonce.beginning()), ..want.place.clone() };
        let again = ProbeRequest::of(Purpose::Confirm, place, want.cause.clone());
        if let Some(track) = self.tracks.get_mut(&asked.whom) {
            track.want(ProbeRequest { of_type: Some(qtype), first: want.first, ..again });
        }
        true
    }

    fn convict(&mut self, asked: &ProbeInFlight, home: ProbeReturn, nonce: Nonce, now: Instant) {
        let want = &asked.want;
        let witness = want.cause.as_ref().map(|cause| cause.witness);
        let onwards = want.first.map_or(0, |first| first.onwards).max(home.onwards);
        let evidence = Evidence { witness, from: home.from, over: home.over, onwards };
        let place = Place { begins: Some(nonce.beginning()), ..want.place.clone() };
        if let Some(cause) = &want.cause {
            self.provoked.entry(asked.whom.0).or_default().convicted(&cause.name);
        }
        let finding = |suffix: &[u8], of_type, places, is_last| Finding {
            suffix: suffix.into(),
            of_type,
            places,
            evidence: evidence.clone(),
            is_last,
        };
        let is_last = self.is_last_over_the_first(asked.whom, &want.suffix);
        let Some(track) = self.tracks.get_mut(&asked.whom) else { return };
        track.suspect_until = None;
        let one = finding(&want.suffix, want.of_type, vec![place], is_last);
        let Some(verdict) = track.convict(asked.whom, one, now) else { return };
        match track.all_loop(&want.suffix) {
            Some((suffix, places)) => {
                let is_last = self.is_last_over_the_first(asked.whom, &suffix);
                let all = finding(&suffix, None, places, is_last);
                let wider = self.tracks.get_mut(&asked.whom).and_then(|track| track.convict(asked.whom, all, now));
                self.tell_given(&wider.unwrap_or(verdict));
            }
            None => {
                if let Some(shared) = track.shared(&want.suffix) {
                    let cause = want.cause.clone().map(|cause| Cause { qtype: rtype::A, ..cause });
                    track.want(ProbeRequest::check(shared, cause));
                }
                self.tell_given(&verdict);
            }
        }
        self.look_over_the_other(asked);
    }

    fn tell_given(&mut self, verdict: &Verdict) {
        let kind = match verdict.standing {
            Standing::LastResort => Kind::HalfLooping,
            _ => Kind::Looping,
        };
        self.tell_verdict(kind, verdict);
    }

    /// What bends one transport mostly bends the other; the probe will tell.
    fn look_over_the_other(&mut self, asked: &ProbeInFlight) {
        let other = match asked.whom.1 {
            Transport::Udp => Transport::Tcp,
            Transport::Tcp => Transport::Udp,
            Transport::Tls => return,
        };
        let track = self.tracks.entry((asked.whom.0, other)).or_default();
        if !track.covers(&asked.want.suffix) {
            let place = Place { begins: None, ..asked.want.place.clone() };
            track.want(ProbeRequest::of(Purpose::Check, place, asked.want.cause.clone()));
        }
    }

    fn is_last_over_the_first(&self, whom: Whom, suffix: &[u8]) -> bool {
        whom.1 != Transport::Tcp && self.is_last(whom.0, suffix)
    }
}

/// Has an unconfirmed loop looked at again soon.
fn track_routine(judge: &mut Judge, whom: Whom, now: Instant) {
    if let Some(track) = judge.tracks.get_mut(&whom) {
        track.routine = Some(now + UNSURE);
    }
}

/// The type to probe for: the suspected one, but for those that are no type of a record.
fn type_of(cause: &Cause) -> u16 {
    match cause.qtype {
        0 | rtype::OPT | 128..=255 => rtype::A,
        qtype => qtype,
    }
}

/// Where a suspicion is looked into, in this order. `shared` is what the name shares with one that is convicted.
fn places<'n>(cause: &'n Cause, shared: Option<&'n [u8]>) -> Vec<(&'n [u8], u16)> {
    let (parent, qtype) = (name::parent(&cause.name), type_of(cause));
    let mut places = vec![(name::ROOT, rtype::A), (name::ROOT, qtype)];
    places.extend(shared.map(|shared| (shared, rtype::A)));
    places.push((parent, qtype));
    if cause.witness != Witness::Silence {
        places.push((&cause.name, qtype));
    }
    places.retain(|(suffix, _)| probe::fits(suffix));
    places.dedup();
    places
}
