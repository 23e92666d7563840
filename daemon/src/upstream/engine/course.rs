//! What follows what in a flight: the rules that [`super`] tells in words, as they apply when an answer or a time
//! comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::flying::{Ask, AskId, CLIENT_BUDGET, DUE, Flight, FlightId, Kept, SentOver, Stage};
use super::sending::Target;
use super::{Action, Engine, Failure, SENDS, Said, Worth};
use crate::guard::Standing;
use crate::upstream::{Number, Transport};
use crate::wire::QuestionKey;

/// What came back to us is refused after [`crate::guard::HOLD`], and the hops pass that on: by then a loop has ended.
const RETURNS: Duration = Duration::from_millis(100);

impl Engine {
    /// Event: somebody waits for `key` who has passed no other Onward, which would fail over by itself: where its
    /// flight was to ask one upstream only, it asks as many as any other from now on.
    pub fn widen(&mut self, key: &QuestionKey, now: Instant) {
        let Some(id) = self.find(key) else { return };
        let Some(flight) = self.flights.get_mut(id.0) else { return };
        flight.alone = false;
        self.go_on(id, now);
        self.set_timer(id);
    }

    /// Event: our own question came back through `upstream`. The flight goes on to the next at once; where there is
    /// none and that upstream is known to answer some questions, to itself.
    pub fn came_back(&mut self, key: &QuestionKey, upstream: Number, now: Instant) {
        let Some(id) = self.find(key) else { return };
        let Some(flight) = self.flights.get_mut(id.0) else { return };
        flight.came_back = Some(upstream);
        let suspects = flight.asks.clone();
        for ask_id in suspects {
            if let Some(ask) = self.asks.get_mut(ask_id.0)
                && ask.upstream.number == upstream
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
    pub(super) fn came(&mut self, ask_id: AskId, worth: Worth, message: &[u8], now: Instant) -> Option<QuestionKey> {
        let ask = self.end_ask(ask_id)?;
        let id = ask.flight;
        if self.is_answered_by(&ask, worth) {
            return self.close(id);
        }
        let flight = self.flights.get_mut(id.0)?;
        let kept = || Kept { upstream: ask.upstream.number, position: ask.position, message: message.to_vec() };
        match worth {
            _ if flight.done => self.go_on(id, now),
            Worth::Good => {}
            Worth::Negative => {
                if flight.negative.as_ref().is_none_or(|held| ask.position < held.position) {
                    flight.negative = Some(kept());
                }
                self.go_on(id, now);
            }
            Worth::PerhapsEdns => {
                let again = self.set.get(ask.upstream.number).cloned(); // it may have left the set meanwhile
                match again.map(|upstream| Target { upstream, position: ask.position, with_opt: false }) {
                    Some(target) => self.send(id, target, now),
                    None => self.go_on(id, now),
                }
            }
            Worth::Truncated => {
                flight.failure.get_or_insert_with(kept); // better than nothing, where no stream can be had
                self.send_over_stream(ask, now);
            }
            Worth::Failure => {
                if !message.is_empty() {
                    flight.failure.get_or_insert_with(kept);
                }
                if !flight.alone {
                    let silent = Action::Silent(ask.upstream.number, transport(ask.sent_over), flight.key.clone());
                    self.actions.push_back(silent);
                }
                self.go_on(id, now);
            }
        }
        self.set_timer(id);
        None
    }

    /// Whether what came to `ask` is the answer to its flight: it is good, or it is negative and nobody who could know
    /// better is still due.
    fn is_answered_by(&self, ask: &Ask, worth: Worth) -> bool {
        let Some(flight) = self.flights.get(ask.flight.0).filter(|flight| !flight.done) else { return false };
        match worth {
            Worth::Good => true,
            Worth::Negative => {
                flight.negative.as_ref().is_none_or(|held| ask.position < held.position)
                    && !self.is_awaited(flight, Stage::GivenUp, ask.position)
            }
            Worth::Truncated | Worth::PerhapsEdns | Worth::Failure => false,
        }
    }

    /// Whether an ask that is not as far as `stage`, of an upstream before `position`, is still awaited.
    fn is_awaited(&self, flight: &Flight, stage: Stage, position: usize) -> bool {
        let mut asks = flight.asks.iter().filter_map(|ask| self.asks.get(ask.0));
        asks.any(|ask| ask.stage < stage && !ask.trial && ask.position < position)
    }

    /// Asks the same upstream the same over a stream.
    fn send_over_stream(&mut self, ask: Ask, now: Instant) {
        let key = self.flights.get(ask.flight.0).map(|flight| flight.key.clone());
        let loops =
            |key: &QuestionKey| self.standing(ask.upstream.number, Transport::Tcp, key) == Standing::Quarantined;
        if key.as_ref().is_some_and(loops) {
            return self.go_on(ask.flight, now);
        }
        let Some(flight) = self.flights.get_mut(ask.flight.0) else { return };
        let (upstream, step) = (Arc::clone(&ask.upstream), Some(now + flight.patience(CLIENT_BUDGET)));
        let ask = Ask { sent_over: SentOver::Stream, sent: now, sends: SENDS, stage: Stage::Fresh, step, ..ask };
        let ask_id = AskId(self.asks.insert(ask));
        flight.asks.push(ask_id);
        self.actions.push_back(Action::Stream(ask_id, upstream, flight.ends));
    }

    /// Something changed for a flight: is it decided, or whom to ask now?
    pub(super) fn go_on(&mut self, id: FlightId, now: Instant) {
        let Some(flight) = self.flights.get(id.0) else { return };
        if flight.done {
            if flight.asks.is_empty() {
                self.remove(id);
            }
            return;
        }
        if let Some(position) = flight.negative.as_ref().map(|held| held.position) {
            if !self.is_awaited(flight, Stage::GivenUp, position) {
                self.finish_with_negative(id);
            }
            return;
        }
        if self.is_awaited(flight, Stage::Passed, usize::MAX) || self.ask_next(id, now) {
            return;
        }
        if self.flights.get(id.0).is_some_and(|flight| flight.asks.is_empty()) {
            self.end_without_answer(id);
        }
    }

    /// Nobody is left: what the first told of its failure, unless that is what we said ourselves, come back.
    fn end_without_answer(&mut self, id: FlightId) {
        let Some(flight) = self.flights.get_mut(id.0) else { return };
        let key = flight.key.clone();
        let result = match (flight.came_back, flight.failure.take()) {
            (None, Some(Kept { upstream, message, .. })) => Action::Refused(Said { key, upstream, message }),
            (None, None) => Action::Failed(key, Failure::NoAnswer),
            (Some(through), _) => Action::Failed(key, Failure::Loops(through)),
        };
        if self.close(id).is_some() {
            self.actions.push_back(result);
        }
    }

    /// A time of the flight has come.
    pub(super) fn step(&mut self, id: FlightId, now: Instant) {
        let Some(flight) = self.flights.get_mut(id.0) else { return };
        if now >= flight.ends {
            if !flight.done {
                self.end_without_answer(id);
            }
            self.remove(id);
            return;
        }
        if now >= flight.overdue && !flight.done {
            flight.overdue = now + CLIENT_BUDGET;
            self.actions.push_back(Action::Overdue(flight.key.clone()));
        }
        for ask_id in flight.asks.clone() {
            if self.asks.get(ask_id.0).is_some_and(|ask| ask.step.is_some_and(|at| at <= now)) {
                self.step_ask(ask_id, now);
            }
        }
    }

    /// An ask is late, or our patience with it is over.
    fn step_ask(&mut self, ask_id: AskId, now: Instant) {
        let Some(ask) = self.asks.get_mut(ask_id.0) else { return };
        let (id, sent) = (ask.flight, ask.sent);
        let Some(flight) = self.flights.get(id.0) else { return };
        let Some(peer) = self.peers.get_mut(ask.upstream.number) else {
            (ask.stage, ask.step) = (Stage::GivenUp, None); // a time that stayed would come for ever
            return self.go_on(id, now);
        };
        if ask.other_spelling && ask.sent_over != SentOver::Stream {
            // The answer that came was perhaps a forgery: over a stream there is none off the path.
            if let Some(ask) = self.end_ask(ask_id) {
                self.send_over_stream(ask, now);
            }
            return;
        }
        let was_down = peer.health.is_down();
        peer.health.failed(sent, now);
        let went_down = (peer.health.is_down() && !was_down).then_some(ask.upstream.number);
        let patience = flight.patience(peer.health.late_after());
        let (was, asked) = (ask.stage, flight.asked);
        let stage;
        (stage, ask.step) = match was {
            _ if ask.trial || flight.done => (Stage::GivenUp, None),
            Stage::Fresh if ask.sent_over != SentOver::Stream => (Stage::Late, Some((sent + patience).max(now))),
            Stage::Fresh | Stage::Late => (Stage::Passed, Some((sent + DUE).max(now))),
            Stage::Passed | Stage::GivenUp => (Stage::GivenUp, None),
        };
        ask.stage = stage;
        if was == Stage::Fresh && !flight.alone {
            let silent = Action::Silent(ask.upstream.number, transport(ask.sent_over), flight.key.clone());
            self.actions.push_back(silent);
        }
        if let Some(upstream) = went_down {
            self.give_up_on(upstream, now);
        }
        let has_moved_on = self.flights.get(id.0).is_none_or(|flight| flight.asked > asked); // by that
        match stage {
            Stage::Late if has_moved_on || (self.set.equivalent && self.ask_next(id, now)) => {}
            Stage::Fresh | Stage::Late => self.send_again(ask_id),
            Stage::Passed => {
                self.go_on(id, now);
                self.send_again(ask_id);
            }
            Stage::GivenUp => self.go_on(id, now),
        }
    }

    /// An upstream has gone down: what waits for it need not any more. Its sockets may be to blame, bound to a way that
    /// is no more without anything having said so: further questions go out over new ones.
    fn give_up_on(&mut self, upstream: Number, now: Instant) {
        if let Some(peer) = self.peers.get_mut(upstream) {
            self.actions.extend(peer.pool.renew().into_iter().map(Action::Close));
        }
        let of_it = self.asks.values_mut().filter(|ask| ask.upstream.number == upstream && ask.stage != Stage::GivenUp);
        let flights: Vec<FlightId> = of_it
            .map(|ask| {
                (ask.stage, ask.step) = (Stage::GivenUp, None);
                ask.flight
            })
            .collect();
        for id in flights {
            self.go_on(id, now);
            self.set_timer(id);
        }
    }

    /// Ends asks of those in quarantine: their flights go on, and where nobody is left their clients are told why.
    pub(super) fn leave_the_convicted(&mut self, now: Instant) {
        if self.guidance.verdicts.all().is_empty() {
            return;
        }
        let is_convicted = |ask: &Ask| {
            let flight = self.flights.get(ask.flight.0);
            flight.is_some_and(|flight| {
                self.standing(ask.upstream.number, transport(ask.sent_over), &flight.key) == Standing::Quarantined
            })
        };
        let convicted: Vec<AskId> =
            self.asks.iter().filter(|(_, ask)| is_convicted(ask)).map(|(ask_id, _)| AskId(ask_id)).collect();
        for ask_id in convicted {
            let Some(ask) = self.end_ask(ask_id) else { continue };
            if let Some(flight) = self.flights.get_mut(ask.flight.0) {
                flight.came_back.get_or_insert(ask.upstream.number);
            }
            self.go_on(ask.flight, now);
            self.set_timer(ask.flight);
        }
    }

    /// Sends an ask once more, where nobody is left to be asked instead.
    fn send_again(&mut self, ask_id: AskId) {
        let Some(ask) = self.asks.get_mut(ask_id.0) else { return };
        let Some(flight) = self.flights.get(ask.flight.0) else { return };
        let others = flight.order.len() > flight.asked && !flight.alone;
        if let SentOver::Udp(socket, _) = ask.sent_over
            && ask.sends < SENDS
            && (!others || ask.stage == Stage::Late)
            && !flight.done
        {
            ask.sends += 1;
            self.actions.push_back(Action::Send(socket, ask_id));
        }
    }

    /// The negative answer that was kept is the answer.
    fn finish_with_negative(&mut self, id: FlightId) {
        let kept = self.flights.get_mut(id.0).and_then(|flight| flight.negative.take());
        if let Some(Kept { upstream, message, .. }) = kept
            && let Some(key) = self.close(id)
        {
            self.actions.push_back(Action::Answered(Said { key, upstream, message }));
        }
    }

    /// The clients get their answer; what is still awaited only teaches how its upstream does. Returns the question.
    fn close(&mut self, id: FlightId) -> Option<QuestionKey> {
        let flight = self.flights.get_mut(id.0)?;
        flight.done = true;
        let key = flight.key.clone();
        if self.by_hash.get(&flight.hash) == Some(&id) {
            self.by_hash.remove(&flight.hash);
        }
        if flight.asks.is_empty() {
            self.remove(id);
        } else {
            self.set_timer(id);
        }
        Some(key)
    }

    pub(super) fn remove(&mut self, id: FlightId) {
        let Some(flight) = self.flights.remove(id.0) else { return };
        for ask in flight.asks {
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
