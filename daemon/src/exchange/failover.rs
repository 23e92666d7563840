//! What follows what in a lookup: the rules that [`super`] tells in words, as they apply when an answer or a time
//! comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lookup::{Attempt, AttemptId, CLIENT_BUDGET, DUE, Kept, Lookup, LookupId, SentOver, Stage};
use super::{Action, Certainty, Engine, SENDS, Worth};
use crate::guard::Standing;
use crate::upstream::{Transport, UpstreamId};
use crate::wire::QuestionKey;

/// What came back to us is refused after [`crate::guard::HOLD`], and the hops pass that on: by then a loop has ended.
const RETURNS: Duration = Duration::from_millis(100);

impl Engine {
    /// Event: a client waits for `key`, whose lookup was for other Onwards alone: from now on it is hedged as any
    /// other.
    pub fn widen(&mut self, key: &QuestionKey, now: Instant) {
        let Some(id) = self.find(key) else { return };
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        lookup.relayed = false;
        self.go_on(id, now);
        self.set_timer(id);
    }

    /// Event: our own question came back through `upstream`. The lookup goes on to the next at once; where there is
    /// none and that upstream is known to answer some questions, to itself.
    pub fn returned(&mut self, key: &QuestionKey, upstream: UpstreamId, now: Instant) {
        let Some(id) = self.find(key) else { return };
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        lookup.returned_through = Some(upstream);
        let suspects = lookup.attempts.clone();
        for attempt_id in suspects {
            if let Some(attempt) = self.attempts.get_mut(attempt_id.0)
                && attempt.upstream.id == upstream
                && attempt.stage < Stage::Passed
            {
                // It is not sent again. A negative answer of the next waits a moment for it even so: whoever saw our
                // marks can replay them, and would have a public server say of a name of the company that there is
                // none.
                (attempt.stage, attempt.sends, attempt.step) = (Stage::Passed, SENDS, Some(now + RETURNS));
                attempt.returned = true;
            }
        }
        self.go_on(id, now);
        self.ask_again(id, upstream, now);
        self.set_timer(id);
    }

    /// A message came to an attempt, or the attempt failed. Returns the question where that very message is its answer.
    pub(super) fn came(
        &mut self,
        attempt_id: AttemptId,
        worth: Worth,
        message: &[u8],
        now: Instant,
    ) -> Option<(QuestionKey, Certainty)> {
        let attempt = self.end_attempt(attempt_id)?;
        let id = attempt.lookup;
        if !message.is_empty() {
            self.heard(&attempt, (worth, message), now);
        }
        if self.asks_unspelled(&attempt, worth, now) {
            return None;
        }
        if self.is_answered_by(&attempt, worth) {
            return self.close_with(id, (attempt.upstream.id, attempt.rank), worth, now);
        }
        if self.is_late_truth(&attempt, worth) {
            let key = self.lookups.get_mut(id.0).map(|lookup| {
                lookup.provisional = None;
                lookup.key.clone()
            })?;
            self.go_on(id, now);
            let certainty = self.certainty(&key, attempt.upstream.id, worth);
            return Some((key, certainty));
        }
        let lookup = self.lookups.get_mut(id.0)?;
        let kept = || Kept { upstream: attempt.upstream.id, rank: attempt.rank, message: message.to_vec() };
        match worth {
            _ if lookup.done.is_some() => self.go_on(id, now),
            Worth::Good => {}
            Worth::Negative => {
                if lookup.negative.as_ref().is_none_or(|held| attempt.rank < held.rank) {
                    lookup.negative = Some(kept());
                }
                self.go_on(id, now);
            }
            Worth::PerhapsEdns => self.ask_without_edns(&attempt, now),
            Worth::Truncated => {
                lookup.truncated.get_or_insert_with(kept);
                self.send_over_stream(attempt, now);
            }
            Worth::Lame => {
                let (first, count) = &mut lookup.lame;
                first.get_or_insert_with(kept);
                *count += 1;
                self.go_on(id, now);
            }
            Worth::Failure => {
                if !message.is_empty() {
                    lookup.failure.get_or_insert_with(kept);
                }
                if !lookup.relayed {
                    let silent = Action::Silent(attempt.upstream.id, attempt.transport(), lookup.key.clone());
                    self.actions.push_back(silent);
                }
                self.go_on(id, now);
            }
        }
        self.set_timer(id);
        None
    }

    /// Whether what came to `attempt` is the answer to its lookup: it is good, or it is negative and nobody who could
    /// know better is still due.
    fn is_answered_by(&self, attempt: &Attempt, worth: Worth) -> bool {
        let Some(lookup) = self.lookups.get(attempt.lookup.0).filter(|lookup| lookup.done.is_none()) else {
            return false;
        };
        match worth {
            Worth::Good => true,
            Worth::Negative => {
                let is_before = |held: &Option<Kept>| held.as_ref().is_none_or(|held| attempt.rank < held.rank);
                let is_first = is_before(&lookup.negative) && is_before(&lookup.truncated);
                is_first && !self.is_awaited(lookup, Stage::GivenUp, attempt.rank)
            }
            Worth::Truncated | Worth::PerhapsEdns | Worth::Lame | Worth::Failure => false,
        }
    }

    /// Whether what came to `attempt` is worth more than the provisional response that the clients got already: an
    /// upstream before that one took its time, and is to be believed next time.
    fn is_late_truth(&self, attempt: &Attempt, worth: Worth) -> bool {
        let told = self.lookups.get(attempt.lookup.0).and_then(|lookup| lookup.provisional);
        matches!(worth, Worth::Good | Worth::Negative) && told.is_some_and(|rank| attempt.rank < rank)
    }

    /// Whether an attempt that is not as far as `stage`, of an upstream before `rank` in the route, is still awaited.
    fn is_awaited(&self, lookup: &Lookup, stage: Stage, rank: usize) -> bool {
        let mut attempts = lookup.attempts.iter().filter_map(|attempt| self.attempts.get(attempt.0));
        attempts.any(|attempt| attempt.stage < stage && attempt.rank < rank)
    }

    /// Asks the same upstream the same over a stream.
    fn send_over_stream(&mut self, attempt: Attempt, now: Instant) {
        let key = self.lookups.get(attempt.lookup.0).map(|lookup| lookup.key.clone());
        let loops =
            |key: &QuestionKey| self.standing(attempt.upstream.id, Transport::Tcp, key) == Standing::Quarantined;
        if key.as_ref().is_some_and(loops) {
            if let Some(lookup) = self.lookups.get_mut(attempt.lookup.0) {
                lookup.returned_through.get_or_insert(attempt.upstream.id);
            }
            return self.go_on(attempt.lookup, now);
        }
        let Some(lookup) = self.lookups.get_mut(attempt.lookup.0) else { return };
        let step = Some((attempt.begun + lookup.patience(CLIENT_BUDGET)).max(now));
        let upstream = Arc::clone(&attempt.upstream);
        let attempt = Attempt {
            sent_over: SentOver::Stream(Transport::Tcp),
            extra: false,
            told_early: false,
            copies_due: false,
            sent: now,
            sends: SENDS,
            stage: Stage::Fresh,
            step,
            ..attempt
        };
        let attempt_id = AttemptId(self.attempts.insert(attempt));
        lookup.attempts.push(attempt_id);
        if let Some(peer) = self.peers.get_mut(upstream.id) {
            peer.counters.has_been_asked(now);
        }
        self.actions.push_back(Action::Stream(attempt_id, upstream, lookup.ends));
    }

    /// Something changed for a lookup: is it decided, or whom to ask now?
    pub(super) fn go_on(&mut self, id: LookupId, now: Instant) {
        let Some(lookup) = self.lookups.get(id.0) else { return };
        if lookup.done.is_some() {
            if lookup.attempts.is_empty() {
                self.remove(id);
            }
            return;
        }
        if let Some(rank) = lookup.negative.as_ref().map(|held| held.rank) {
            if self.is_awaited(lookup, Stage::GivenUp, rank) {
                return;
            }
            // An earlier upstream has what a later one denies, too much of it for a datagram.
            if lookup.truncated.as_ref().is_some_and(|held| held.rank < rank) {
                return self.end_without_answer(id, now);
            }
            return self.finish_with_negative(id, now);
        }
        if self.is_awaited(lookup, Stage::Passed, usize::MAX) || self.ask_next(id, now) {
            return;
        }
        let is_extra = |attempt: &AttemptId| self.attempts.get(attempt.0).is_none_or(|attempt| attempt.extra);
        if self.lookups.get(id.0).is_some_and(|lookup| lookup.attempts.iter().all(is_extra)) {
            self.end_without_answer(id, now);
        }
    }

    /// A time of the lookup has come.
    pub(super) fn step(&mut self, id: LookupId, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        if now >= lookup.ends {
            if lookup.done.is_none() {
                self.end_without_answer(id, now);
            }
            self.remove(id);
            return;
        }
        if now >= lookup.overdue && lookup.done.is_none() {
            lookup.overdue = now + CLIENT_BUDGET;
            let truncated = lookup.truncated.as_ref().map(|kept| kept.said(&lookup.key));
            self.actions.push_back(Action::Overdue(lookup.key.clone(), truncated));
        }
        for attempt_id in lookup.attempts.clone() {
            if self.attempts.get(attempt_id.0).is_some_and(|attempt| attempt.step.is_some_and(|at| at <= now)) {
                self.step_ask(attempt_id, now);
            }
        }
    }

    /// An attempt is late, or our patience with it is over.
    fn step_ask(&mut self, attempt_id: AttemptId, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(attempt_id.0) else { return };
        let (id, sent) = (attempt.lookup, attempt.sent);
        let Some(lookup) = self.lookups.get(id.0) else { return };
        let Some(peer) = self.peers.get_mut(attempt.upstream.id) else {
            (attempt.stage, attempt.step) = (Stage::GivenUp, None); // a time that stayed would come for ever
            return self.go_on(id, now);
        };
        if attempt.other_spelling && attempt.transport() == Transport::Udp {
            // The answer that came was perhaps a forgery: over a stream there is none off the path.
            if let Some(attempt) = self.end_attempt(attempt_id) {
                self.send_over_stream(attempt, now);
            }
            return;
        }
        let first_transport = attempt.upstream.endpoint.first_transport();
        let late_after = peer.health(first_transport).late_after();
        if attempt.stage == Stage::Fresh && std::mem::take(&mut attempt.told_early) {
            attempt.step = Some(attempt.first_step(late_after).max(now));
            return self.actions.push_back(Action::Silent(attempt.upstream.id, first_transport, lookup.key.clone()));
        }
        if attempt.stage == Stage::Fresh && std::mem::take(&mut attempt.copies_due) {
            attempt.step = Some(attempt.first_step(late_after).max(now));
            return self.send_plainer(attempt_id, now);
        }
        let patience = lookup.patience(peer.health(attempt.transport()).late_after());
        let was = attempt.stage;
        let stage;
        (stage, attempt.step) = match was {
            _ if lookup.done.is_some() => (Stage::GivenUp, None),
            Stage::Fresh if !attempt.is_second_transport() => (Stage::Late, Some((attempt.begun + patience).max(now))),
            Stage::Fresh | Stage::Late => (Stage::Passed, Some((sent + DUE).min(lookup.last_call()).max(now))),
            Stage::Passed | Stage::GivenUp => (Stage::GivenUp, None),
        };
        attempt.stage = stage;
        let (upstream, transport) = (attempt.upstream.id, attempt.transport());
        if was == Stage::Fresh && !lookup.relayed {
            self.actions.push_back(Action::Silent(upstream, transport, lookup.key.clone()));
        }
        self.suspect_down(upstream, transport, sent, now);
        match stage {
            Stage::Late if self.send_unspelled_copy(attempt_id, now) => {
                if self.may_hedge(id) {
                    self.ask_next(id, now);
                }
            }
            Stage::Late if self.may_hedge(id) && self.ask_next(id, now) => {}
            Stage::Fresh | Stage::Late => self.send_again(attempt_id),
            Stage::Passed => {
                self.go_on(id, now);
                self.send_again(attempt_id);
            }
            Stage::GivenUp => self.go_on(id, now),
        }
    }

    /// Whether the next upstream may be asked as well because one is slow.
    fn may_hedge(&self, id: LookupId) -> bool {
        let lookup = self.lookups.get(id.0).filter(|lookup| !lookup.relayed);
        lookup.and_then(|lookup| self.set.route(lookup.key.name())).is_some_and(|route| route.equivalent)
    }

    /// Ends attempts at those in quarantine: their lookups go on, and where nobody is left their clients are told why.
    pub(super) fn leave_the_convicted(&mut self, now: Instant) {
        if self.guidance.verdicts.all().is_empty() {
            return;
        }
        let is_convicted = |attempt: &Attempt| {
            let lookup = self.lookups.get(attempt.lookup.0);
            lookup.is_some_and(|lookup| {
                self.standing(attempt.upstream.id, attempt.transport(), &lookup.key) == Standing::Quarantined
            })
        };
        let convicted: Vec<AttemptId> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| is_convicted(attempt))
            .map(|(attempt_id, _)| AttemptId(attempt_id))
            .collect();
        for attempt_id in convicted {
            let Some(attempt) = self.end_attempt(attempt_id) else { continue };
            if let Some(lookup) = self.lookups.get_mut(attempt.lookup.0) {
                lookup.returned_through.get_or_insert(attempt.upstream.id);
            }
            self.go_on(attempt.lookup, now);
            self.set_timer(attempt.lookup);
        }
    }

    /// Sends an attempt once more, where nobody is left to be asked instead.
    fn send_again(&mut self, attempt_id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(attempt_id.0) else { return };
        let Some(lookup) = self.lookups.get(attempt.lookup.0) else { return };
        let others = lookup.order.len() > lookup.asked;
        if let SentOver::Udp(socket, _) = attempt.sent_over
            && attempt.sends < SENDS
            && (!others || (attempt.stage == Stage::Late && !lookup.relayed))
            && lookup.done.is_none()
        {
            attempt.sends += 1;
            self.actions.push_back(Action::Send(socket, attempt_id));
        }
    }
}
