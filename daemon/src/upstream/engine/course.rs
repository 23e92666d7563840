//! What follows what in a flight: the rules that [`super`] tells in words, as they apply when an answer or a time comes.

use std::time::Instant;

use super::flying::{Ask, AskId, CLIENT_BUDGET, DUE, FlightId, Kept, Stage, Way};
use super::sending::Target;
use super::{Action, Engine, Failure, SENDS, Worth};
use crate::guard::Standing;
use crate::upstream::{Number, Transport};
use crate::wire::Key;

impl Engine {
    /// An answer came to an ask, or the ask failed.
    pub(super) fn came(&mut self, ask_id: AskId, worth: Worth, message: &[u8], now: Instant) {
        let Some(ask) = self.end_ask(ask_id) else { return };
        let id = ask.flight;
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let kept = || Kept { upstream: ask.upstream.number, position: ask.position, message: message.to_vec() };
        match worth {
            _ if flight.done => self.go_on(id, now),
            Worth::Good => self.finish(id, kept()),
            Worth::Negative => {
                let replaces = flight.negative.as_ref().is_none_or(|held| ask.position < held.position);
                if replaces {
                    flight.negative = Some(kept());
                }
                self.go_on(id, now);
            }
            Worth::PerhapsEdns => {
                self.send(id, Target { upstream: ask.upstream, position: ask.position, with_opt: false }, now);
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
                    let silent = Action::Silent(ask.upstream.number, transport(ask.way), flight.key.clone());
                    self.actions.push_back(silent);
                }
                self.go_on(id, now);
            }
        }
        self.set_timer(id);
    }

    /// Asks the same upstream the same over a stream.
    fn send_over_stream(&mut self, ask: Ask, now: Instant) {
        let key = self.flights.get(&ask.flight).map(|flight| flight.key.clone());
        let loops = |key: &Key| self.standing(ask.upstream.number, Transport::Tcp, key) == Standing::Quarantined;
        if key.as_ref().is_some_and(loops) {
            return self.go_on(ask.flight, now);
        }
        let Some(flight) = self.flights.get_mut(&ask.flight) else { return };
        self.next_id += 1;
        let ask_id = AskId(self.next_id);
        flight.asks.push(ask_id);
        self.actions.push_back(Action::Stream(ask_id, ask.upstream.clone(), flight.ends));
        let step = Some(now + flight.patience(CLIENT_BUDGET));
        let ask = Ask { way: Way::Stream, sent: now, sends: SENDS, stage: Stage::Fresh, step, ..ask };
        self.asks.insert(ask_id, ask);
    }

    /// Something changed for a flight: is it decided, or whom to ask now?
    pub(super) fn go_on(&mut self, id: FlightId, now: Instant) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        if flight.done {
            if flight.asks.is_empty() {
                self.remove(id);
            }
            return;
        }
        let waited_for = |stage: Stage, before: usize| {
            let mut asks = flight.asks.iter().filter_map(|ask| self.asks.get(ask));
            asks.any(|ask| ask.stage < stage && !ask.trial && ask.position < before)
        };
        if let Some(held) = &flight.negative {
            if !waited_for(Stage::GivenUp, held.position)
                && let Some(held) = flight.negative.take()
            {
                self.finish(id, held);
            }
            return;
        }
        if waited_for(Stage::Passed, usize::MAX) || self.ask_next(id, now) {
            return;
        }
        if self.flights.get(&id).is_some_and(|flight| flight.asks.is_empty()) {
            self.end_without_answer(id);
        }
    }

    /// Nobody is left: what the first told of its failure, unless that is what we said ourselves, come back.
    fn end_without_answer(&mut self, id: FlightId) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let key = flight.key.clone();
        let result = match (flight.came_back, flight.failure.take()) {
            (None, Some(failure)) => Action::Refused(key, failure.upstream, failure.message),
            (None, None) => Action::Failed(key, Failure::NoAnswer),
            (Some(through), _) => Action::Failed(key, Failure::Loops(through)),
        };
        self.land(id, result);
    }

    /// A time of the flight has come.
    pub(super) fn step(&mut self, id: FlightId, now: Instant) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
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
            if self.asks.get(&ask_id).is_some_and(|ask| ask.step.is_some_and(|at| at <= now)) {
                self.step_ask(ask_id, now);
            }
        }
    }

    /// An ask is late, or our patience with it is over.
    fn step_ask(&mut self, ask_id: AskId, now: Instant) {
        let Some(ask) = self.asks.get_mut(&ask_id) else { return };
        let (id, sent) = (ask.flight, ask.sent);
        let Some(flight) = self.flights.get(&id) else { return };
        let Some(peer) = self.peers.get_mut(&ask.upstream.number) else { return };
        if ask.other_spelling && ask.way != Way::Stream {
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
        let was = ask.stage;
        (ask.stage, ask.step) = match was {
            _ if ask.trial || flight.done => (Stage::GivenUp, None),
            Stage::Fresh if ask.way != Way::Stream => (Stage::Late, Some((sent + patience).max(now))),
            Stage::Fresh | Stage::Late => (Stage::Passed, Some((sent + DUE).max(now))),
            Stage::Passed | Stage::GivenUp => (Stage::GivenUp, None),
        };
        if was == Stage::Fresh && !flight.alone {
            let silent = Action::Silent(ask.upstream.number, transport(ask.way), flight.key.clone());
            self.actions.push_back(silent);
        }
        if let Some(upstream) = went_down {
            self.give_up_on(upstream, now);
        }
        match was {
            Stage::Fresh if self.set.equivalent && self.ask_next(id, now) => {}
            Stage::Fresh => self.send_again(ask_id),
            Stage::Late => {
                self.go_on(id, now);
                self.send_again(ask_id);
            }
            Stage::Passed | Stage::GivenUp => self.go_on(id, now),
        }
    }

    /// An upstream has gone down: what waits for it need not any more.
    fn give_up_on(&mut self, upstream: Number, now: Instant) {
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
            let flight = self.flights.get(&ask.flight);
            flight.is_some_and(|flight| {
                self.standing(ask.upstream.number, transport(ask.way), &flight.key) == Standing::Quarantined
            })
        };
        let convicted: Vec<AskId> =
            self.asks.iter().filter(|(_, ask)| is_convicted(ask)).map(|(ask_id, _)| *ask_id).collect();
        for ask_id in convicted {
            let Some(ask) = self.end_ask(ask_id) else { continue };
            if let Some(flight) = self.flights.get_mut(&ask.flight) {
                flight.came_back.get_or_insert(ask.upstream.number);
            }
            self.go_on(ask.flight, now);
            self.set_timer(ask.flight);
        }
    }

    /// Sends an ask once more, where nobody is left to be asked instead.
    fn send_again(&mut self, ask_id: AskId) {
        let Some(ask) = self.asks.get_mut(&ask_id) else { return };
        let Some(flight) = self.flights.get(&ask.flight) else { return };
        let others = flight.order.len() > flight.asked && !flight.alone;
        if let Way::Udp(socket, _) = ask.way
            && ask.sends < SENDS
            && (!others || ask.stage == Stage::Late)
            && !flight.done
        {
            ask.sends += 1;
            self.actions.push_back(Action::Send(socket, ask_id));
        }
    }

    pub(super) fn finish(&mut self, id: FlightId, answer: Kept) {
        let Some(flight) = self.flights.get(&id) else { return };
        self.land(id, Action::Answered(flight.key.clone(), answer.upstream, answer.message));
    }

    /// The clients get this; what is still awaited only teaches how its upstream does.
    fn land(&mut self, id: FlightId, result: Action) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.done = true;
        self.by_key.remove(&flight.key);
        self.actions.push_back(result);
        if flight.asks.is_empty() {
            self.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: FlightId) {
        let Some(flight) = self.flights.remove(&id) else { return };
        self.timers.remove(&(flight.timer, id));
        for ask in flight.asks {
            self.end_ask(ask);
        }
    }
}

fn transport(way: Way) -> Transport {
    match way {
        Way::Udp(..) => Transport::Udp,
        Way::Stream => Transport::Tcp,
    }
}
