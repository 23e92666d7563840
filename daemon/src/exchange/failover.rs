//! What follows what in a lookup: the rules that [`super`] tells in words, as they apply when an answer or a time
//! comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lookup::{Attempt, AttemptId, CLIENT_BUDGET, DUE, Kept, Lookup, LookupId, SentOver, Stage};
use super::sending::Target;
use super::{Action, Engine, Failure, OwnedUpstreamResponse, SENDS, Worth};
use crate::guard::Standing;
use crate::upstream::{Transport, UpstreamId};
use crate::wire::QuestionKey;

/// What came back to us is refused after [`crate::guard::HOLD`], and the hops pass that on: by then a loop has ended.
const RETURNS: Duration = Duration::from_millis(100);

impl Engine {
    /// Event: somebody waits for `key` who has passed no other Onward, which would fail over by itself: where its
    /// lookup was to ask one upstream only, it asks as many as any other from now on.
    pub fn widen(&mut self, key: &QuestionKey, now: Instant) {
        let Some(id) = self.find(key) else { return };
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        lookup.alone = false;
        self.go_on(id, now);
        self.set_timer(id);
    }

    /// Event: our own question came back through `upstream`. The lookup goes on to the next at once; where there is
    /// none and that upstream is known to answer some questions, to itself.
    pub fn came_back(&mut self, key: &QuestionKey, upstream: UpstreamId, now: Instant) {
        let Some(id) = self.find(key) else { return };
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        lookup.came_back = Some(upstream);
        let suspects = lookup.attempts.clone();
        for attempt_id in suspects {
            if let Some(ask) = self.attempts.get_mut(attempt_id.0)
                && ask.upstream.id == upstream
                && ask.stage < Stage::Passed
            {
                // It is not sent again. A negative answer of the next waits a moment for it even so: whoever saw our
                // marks can replay them, and would have a public server say of a name of the company that there is
                // none.
                (ask.stage, ask.sends, ask.step) = (Stage::Passed, SENDS, Some(now + RETURNS));
            }
        }
        self.go_on(id, now);
        self.ask_again(id, upstream, now);
        self.set_timer(id);
    }

    /// A message came to an ask, or the ask failed. Returns the question where that very message is its answer.
    pub(super) fn came(
        &mut self,
        attempt_id: AttemptId,
        worth: Worth,
        message: &[u8],
        now: Instant,
    ) -> Option<QuestionKey> {
        let ask = self.end_ask(attempt_id)?;
        let id = ask.lookup;
        if self.is_answered_by(&ask, worth) {
            return self.close(id);
        }
        let lookup = self.lookups.get_mut(id.0)?;
        let kept = || Kept { upstream: ask.upstream.id, position: ask.position, message: message.to_vec() };
        match worth {
            _ if lookup.done => self.go_on(id, now),
            Worth::Good => {}
            Worth::Negative => {
                if lookup.negative.as_ref().is_none_or(|held| ask.position < held.position) {
                    lookup.negative = Some(kept());
                }
                self.go_on(id, now);
            }
            Worth::PerhapsEdns => {
                let again = self.set.get(ask.upstream.id).cloned(); // it may have left the set meanwhile
                match again.map(|upstream| Target { upstream, position: ask.position, with_opt: false }) {
                    Some(target) => self.send(id, target, now),
                    None => self.go_on(id, now),
                }
            }
            Worth::Truncated => {
                lookup.truncated.get_or_insert_with(kept);
                self.send_over_stream(ask, now);
            }
            Worth::Failure => {
                if !message.is_empty() {
                    lookup.failure.get_or_insert_with(kept);
                }
                if !lookup.alone {
                    let silent = Action::Silent(ask.upstream.id, transport(ask.sent_over), lookup.key.clone());
                    self.actions.push_back(silent);
                }
                self.go_on(id, now);
            }
        }
        self.set_timer(id);
        None
    }

    /// Whether what came to `ask` is the answer to its lookup: it is good, or it is negative and nobody who could know
    /// better is still due.
    fn is_answered_by(&self, ask: &Attempt, worth: Worth) -> bool {
        let Some(lookup) = self.lookups.get(ask.lookup.0).filter(|lookup| !lookup.done) else { return false };
        match worth {
            Worth::Good => true,
            Worth::Negative => {
                let is_before = |held: &Option<Kept>| held.as_ref().is_none_or(|held| ask.position < held.position);
                let is_first = is_before(&lookup.negative) && is_before(&lookup.truncated);
                is_first && !self.is_awaited(lookup, Stage::GivenUp, ask.position)
            }
            Worth::Truncated | Worth::PerhapsEdns | Worth::Failure => false,
        }
    }

    /// Whether an ask that is not as far as `stage`, of an upstream before `position`, is still awaited.
    fn is_awaited(&self, lookup: &Lookup, stage: Stage, position: usize) -> bool {
        let mut attempts = lookup.attempts.iter().filter_map(|ask| self.attempts.get(ask.0));
        attempts.any(|ask| ask.stage < stage && !ask.trial && ask.position < position)
    }

    /// Asks the same upstream the same over a stream.
    fn send_over_stream(&mut self, ask: Attempt, now: Instant) {
        let key = self.lookups.get(ask.lookup.0).map(|lookup| lookup.key.clone());
        let loops = |key: &QuestionKey| self.standing(ask.upstream.id, Transport::Tcp, key) == Standing::Quarantined;
        if key.as_ref().is_some_and(loops) {
            return self.go_on(ask.lookup, now);
        }
        let Some(lookup) = self.lookups.get_mut(ask.lookup.0) else { return };
        let (upstream, step) = (Arc::clone(&ask.upstream), Some(now + lookup.patience(CLIENT_BUDGET)));
        let ask = Attempt { sent_over: SentOver::Stream, sent: now, sends: SENDS, stage: Stage::Fresh, step, ..ask };
        let attempt_id = AttemptId(self.attempts.insert(ask));
        lookup.attempts.push(attempt_id);
        self.actions.push_back(Action::Stream(attempt_id, upstream, lookup.ends));
    }

    /// Something changed for a lookup: is it decided, or whom to ask now?
    pub(super) fn go_on(&mut self, id: LookupId, now: Instant) {
        let Some(lookup) = self.lookups.get(id.0) else { return };
        if lookup.done {
            if lookup.attempts.is_empty() {
                self.remove(id);
            }
            return;
        }
        if let Some(position) = lookup.negative.as_ref().map(|held| held.position) {
            if self.is_awaited(lookup, Stage::GivenUp, position) {
                return;
            }
            // An earlier upstream has what a later one denies, too much of it for a datagram.
            if lookup.truncated.as_ref().is_some_and(|held| held.position < position) {
                return self.end_without_answer(id);
            }
            return self.finish_with_negative(id);
        }
        if self.is_awaited(lookup, Stage::Passed, usize::MAX) || self.ask_next(id, now) {
            return;
        }
        if self.lookups.get(id.0).is_some_and(|lookup| lookup.attempts.is_empty()) {
            self.end_without_answer(id);
        }
    }

    /// Nobody is left: what the first told of its failure, unless that is what we said ourselves, come back.
    fn end_without_answer(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        let key = lookup.key.clone();
        // What was truncated exists, and clients over UDP can ask for it over TCP: more than any failure says.
        let said = lookup.truncated.take().or_else(|| lookup.failure.take());
        let result = match (lookup.came_back, said) {
            (None, Some(Kept { upstream, message, .. })) => {
                Action::Refused(OwnedUpstreamResponse { key, upstream, message })
            }
            (None, None) => Action::Failed(key, Failure::NoAnswer),
            (Some(through), _) => Action::Failed(key, Failure::Loops(through)),
        };
        if self.close(id).is_some() {
            self.actions.push_back(result);
        }
    }

    /// A time of the lookup has come.
    pub(super) fn step(&mut self, id: LookupId, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        if now >= lookup.ends {
            if !lookup.done {
                self.end_without_answer(id);
            }
            self.remove(id);
            return;
        }
        if now >= lookup.overdue && !lookup.done {
            lookup.overdue = now + CLIENT_BUDGET;
            let truncated = lookup.truncated.as_ref().map(|kept| kept.said(&lookup.key));
            self.actions.push_back(Action::Overdue(lookup.key.clone(), truncated));
        }
        for attempt_id in lookup.attempts.clone() {
            if self.attempts.get(attempt_id.0).is_some_and(|ask| ask.step.is_some_and(|at| at <= now)) {
                self.step_ask(attempt_id, now);
            }
        }
    }

    /// An ask is late, or our patience with it is over.
    fn step_ask(&mut self, attempt_id: AttemptId, now: Instant) {
        let Some(ask) = self.attempts.get_mut(attempt_id.0) else { return };
        let (id, sent) = (ask.lookup, ask.sent);
        let Some(lookup) = self.lookups.get(id.0) else { return };
        let Some(peer) = self.peers.get_mut(ask.upstream.id) else {
            (ask.stage, ask.step) = (Stage::GivenUp, None); // a time that stayed would come for ever
            return self.go_on(id, now);
        };
        if ask.other_spelling && ask.sent_over != SentOver::Stream {
            // The answer that came was perhaps a forgery: over a stream there is none off the path.
            if let Some(ask) = self.end_ask(attempt_id) {
                self.send_over_stream(ask, now);
            }
            return;
        }
        let was_down = peer.health.is_down();
        peer.health.failed(sent, now);
        let went_down = (peer.health.is_down() && !was_down).then_some(ask.upstream.id);
        let patience = lookup.patience(peer.health.late_after());
        let (was, asked) = (ask.stage, lookup.asked);
        let stage;
        (stage, ask.step) = match was {
            _ if ask.trial || lookup.done => (Stage::GivenUp, None),
            Stage::Fresh if ask.sent_over != SentOver::Stream => (Stage::Late, Some((sent + patience).max(now))),
            Stage::Fresh | Stage::Late => (Stage::Passed, Some((sent + DUE).max(now))),
            Stage::Passed | Stage::GivenUp => (Stage::GivenUp, None),
        };
        ask.stage = stage;
        if was == Stage::Fresh && !lookup.alone {
            let silent = Action::Silent(ask.upstream.id, transport(ask.sent_over), lookup.key.clone());
            self.actions.push_back(silent);
        }
        if let Some(upstream) = went_down {
            self.actions.push_back(Action::HealthChanged);
            self.give_up_on(upstream, now);
        }
        let has_moved_on = self.lookups.get(id.0).is_none_or(|lookup| lookup.asked > asked); // by that
        match stage {
            Stage::Late if has_moved_on || (self.set.equivalent && self.ask_next(id, now)) => {}
            Stage::Fresh | Stage::Late => self.send_again(attempt_id),
            Stage::Passed => {
                self.go_on(id, now);
                self.send_again(attempt_id);
            }
            Stage::GivenUp => self.go_on(id, now),
        }
    }

    /// An upstream has gone down: what waits for it need not any more. Its sockets may be to blame, bound to a way that
    /// is no more without anything having said so: further questions go out over new ones.
    fn give_up_on(&mut self, upstream: UpstreamId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(upstream) {
            self.actions.extend(peer.pool.renew().into_iter().map(Action::Close));
        }
        let of_it = self.attempts.values_mut().filter(|ask| ask.upstream.id == upstream && ask.stage != Stage::GivenUp);
        let lookups: Vec<LookupId> = of_it
            .map(|ask| {
                (ask.stage, ask.step) = (Stage::GivenUp, None);
                ask.lookup
            })
            .collect();
        for id in lookups {
            self.go_on(id, now);
            self.set_timer(id);
        }
    }

    /// Ends asks of those in quarantine: their lookups go on, and where nobody is left their clients are told why.
    pub(super) fn leave_the_convicted(&mut self, now: Instant) {
        if self.guidance.verdicts.all().is_empty() {
            return;
        }
        let is_convicted = |ask: &Attempt| {
            let lookup = self.lookups.get(ask.lookup.0);
            lookup.is_some_and(|lookup| {
                self.standing(ask.upstream.id, transport(ask.sent_over), &lookup.key) == Standing::Quarantined
            })
        };
        let convicted: Vec<AttemptId> = self
            .attempts
            .iter()
            .filter(|(_, ask)| is_convicted(ask))
            .map(|(attempt_id, _)| AttemptId(attempt_id))
            .collect();
        for attempt_id in convicted {
            let Some(ask) = self.end_ask(attempt_id) else { continue };
            if let Some(lookup) = self.lookups.get_mut(ask.lookup.0) {
                lookup.came_back.get_or_insert(ask.upstream.id);
            }
            self.go_on(ask.lookup, now);
            self.set_timer(ask.lookup);
        }
    }

    /// Event: no time is left. Each lookup ends with what there is.
    pub fn finish(&mut self) {
        let open = self.lookups.iter().filter(|(_, lookup)| !lookup.done);
        let open: Vec<_> = open.map(|(id, lookup)| (LookupId(id), lookup.negative.is_some())).collect();
        for (id, has_negative) in open {
            if has_negative {
                self.finish_with_negative(id);
            } else {
                self.end_without_answer(id);
            }
        }
    }

    /// Sends an ask once more, where nobody is left to be asked instead.
    fn send_again(&mut self, attempt_id: AttemptId) {
        let Some(ask) = self.attempts.get_mut(attempt_id.0) else { return };
        let Some(lookup) = self.lookups.get(ask.lookup.0) else { return };
        let others = lookup.order.len() > lookup.asked && !lookup.alone;
        if let SentOver::Udp(socket, _) = ask.sent_over
            && ask.sends < SENDS
            && (!others || ask.stage == Stage::Late)
            && !lookup.done
        {
            ask.sends += 1;
            self.actions.push_back(Action::Send(socket, attempt_id));
        }
    }

    /// The negative answer that was kept is the answer.
    fn finish_with_negative(&mut self, id: LookupId) {
        let kept = self.lookups.get_mut(id.0).and_then(|lookup| lookup.negative.take());
        if let Some(Kept { upstream, message, .. }) = kept
            && let Some(key) = self.close(id)
        {
            self.actions.push_back(Action::Answered(OwnedUpstreamResponse { key, upstream, message }));
        }
    }

    /// The clients get their answer; what is still awaited only teaches how its upstream does. Returns the question.
    fn close(&mut self, id: LookupId) -> Option<QuestionKey> {
        let lookup = self.lookups.get_mut(id.0)?;
        lookup.done = true;
        let key = lookup.key.clone();
        if self.by_hash.get(&lookup.hash) == Some(&id) {
            self.by_hash.remove(&lookup.hash);
        }
        if lookup.attempts.is_empty() {
            self.remove(id);
        } else {
            self.set_timer(id);
        }
        Some(key)
    }

    pub(super) fn remove(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.remove(id.0) else { return };
        for ask in lookup.attempts {
            self.end_ask(ask);
        }
    }
}

fn transport(sent_over: SentOver) -> Transport {
    match sent_over {
        SentOver::Udp(..) => Transport::Udp,
        SentOver::Stream => Transport::Tcp,
    }
}
