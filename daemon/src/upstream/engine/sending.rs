//! How a question leaves: whom it may be asked of and in which order, over which socket, with which marks.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::flying::{Ask, AskId, FlightId, Order, SentOver, Stage};
use super::{Action, Engine, Peer, Question};
use crate::guard::{Bears, Standing, probe, silence, spelling};
use crate::upstream::health::Health;
use crate::upstream::pool::Pool;
use crate::upstream::question::{self, Dress};
use crate::upstream::{Number, Transport, Upstream};
use crate::wire::{HEADER, QuestionKey};

/// A question that came back through an upstream that answers some is asked of it so often again.
const AGAIN: u8 = 3;

/// The probe of another Onward is asked of so many at most: the second shows him that we have somebody else. Its second
/// probe has no mark by which we would ask one only, and in a mesh each would be asked of all, and again by all of
/// those.
const PROBE_ASKS: usize = 2;

impl Engine {
    /// Whom to ask, in this order: as the set says, but those that are down, that are half a loop, (among equals) the
    /// asker itself, and whoever seems to have sent it back, last. Those in quarantine are not asked.
    pub(super) fn order(&self, question: &Question) -> Order {
        let asker = question.from.and_then(|from| silence::not_first(&self.set, from));
        let rank = |number: Number| match self.standing(number, Transport::Udp, &question.key) {
            Standing::Quarantined => None,
            Standing::AskedLast => Some(2),
            Standing::Free | Standing::Suspect | Standing::Wavers => {
                let came_from_it = asker == Some(number) || question.through == Some(number);
                Some(u8::from(came_from_it || self.is_down(number)))
            }
        };
        let numbers = self.set.upstreams.iter().map(|upstream| upstream.number);
        let mut order: SmallVec<[(u8, Number); 4]> =
            numbers.filter_map(|number| Some((rank(number)?, number))).collect();
        order.sort_by_key(|(rank, _)| *rank); // stable: the set's order within a rank
        if probe::nonce(question.key.name()).is_some() {
            order.truncate(PROBE_ASKS);
        }
        order.into_iter().map(|(_, number)| number).collect()
    }

    pub(super) fn standing(&self, upstream: Number, transport: Transport, key: &QuestionKey) -> Standing {
        self.guidance.verdicts.standing(upstream, transport, key.name())
    }

    fn is_down(&self, upstream: Number) -> bool {
        self.peers.get(upstream).is_some_and(|peer| peer.health.is_down())
    }

    /// Asks the next upstream; false where there is none.
    pub(super) fn ask_next(&mut self, id: FlightId, now: Instant) -> bool {
        loop {
            let Some(flight) = self.flights.get_mut(id.0) else { return false };
            if flight.alone && flight.asked > 0 {
                return false;
            }
            let Some(&number) = flight.order.get(flight.asked) else { return false };
            let position = flight.asked;
            flight.asked += 1;
            let key = flight.key.clone();
            let loops = self.standing(number, Transport::Udp, &key) == Standing::Quarantined; // since the flight began
            if let Some(upstream) = self.set.get(number).cloned().filter(|_| !loops) {
                self.send(id, Target { upstream, position, with_opt: true }, now);
                return true;
            }
        }
    }

    /// Asks `upstream` again, through which the question came back: where nobody else is left and it is known to answer
    /// some questions by itself, the next try may be one of them.
    pub(super) fn ask_again(&mut self, id: FlightId, upstream: Number, now: Instant) {
        let Some(flight) = self.flights.get(id.0) else { return };
        let came_back = |ask: &AskId| self.asks.get(ask.0).is_none_or(|ask| ask.stage >= Stage::Passed);
        let nobody_left = flight.asked >= flight.order.len() && flight.asks.iter().all(came_back);
        let answers_some =
            matches!(self.standing(upstream, Transport::Udp, &flight.key), Standing::Wavers | Standing::AskedLast);
        let position = flight.order.iter().position(|number| *number == upstream);
        if let (true, Some(position), Some(upstream)) =
            (nobody_left && answers_some && !flight.alone && !flight.done, position, self.set.get(upstream).cloned())
            && let Some(flight) = self.flights.get_mut(id.0)
            && flight.again < AGAIN
        {
            flight.again += 1;
            self.send(id, Target { upstream, position, with_opt: true }, now);
        }
    }

    /// Sends a copy to each upstream that is down and due for a try, but the one that is asked anyway.
    pub(super) fn try_those_that_are_down(&mut self, id: FlightId, now: Instant) {
        let asked = self.flights.get(id.0).and_then(|flight| flight.order.first()).copied();
        for (position, upstream) in self.set.clone().upstreams.iter().enumerate() {
            let peer = self.peers.get_mut(upstream.number).filter(|_| Some(upstream.number) != asked);
            if peer.is_some_and(|peer| peer.health.try_again(now)) {
                let behind_all = self.set.upstreams.len() + position;
                self.send(id, Target { upstream: upstream.clone(), position: behind_all, with_opt: true }, now);
            }
        }
    }

    pub(super) fn send(&mut self, id: FlightId, target: Target, now: Instant) {
        let Target { upstream, position, with_opt } = target;
        if self.peers.get(upstream.number).is_none() {
            let (health, pool) = (Health::default(), Pool::new(self.sockets_each));
            self.peers.0.push(Peer { number: upstream.number, health, pool });
        }
        let Some(peer) = self.peers.get_mut(upstream.number) else { return };
        let Some(flight) = self.flights.get_mut(id.0) else { return };
        let marks = self.guidance.verdicts.marks(upstream.number);
        let marks = Bears { opt: with_opt && marks.opt, ..marks };
        let key = &self.guidance.key;
        self.options.clear();
        if marks.tag && marks.opt {
            self.tags.write(&flight.passed, upstream.number, (key, key.bucket(now)), &mut self.options);
        }
        let dress = Dress { payload: marks.opt.then_some(self.payload), options: &self.options };
        let mut assigned = None;
        let ask_id = self.asks.insert_with_key(|ask_id| {
            let assigned = assigned.insert(peer.pool.ask(AskId(ask_id), now, &mut self.rng, &mut self.next_socket));
            let mut message = question::build(&flight.key, assigned.id, dress);
            let name_end = HEADER + flight.key.name().len();
            if let Some(name) = message.get_mut(HEADER..name_end).filter(|_| marks.spelling) {
                spelling::spell(name, upstream.number, flight.spelled(), key);
            }
            Ask {
                flight: id,
                position,
                sent_over: SentOver::Udp(assigned.socket, assigned.id),
                question_end: question::question_end(&flight.key),
                message,
                with_opt: marks.opt,
                spelled: marks.spelling,
                other_spelling: false,
                sent: now,
                sends: 1,
                stage: Stage::Fresh,
                step: Some(now + peer.health.late_after()),
                trial: position >= flight.order.len(),
                upstream: Arc::clone(&upstream),
            }
        });
        let (ask_id, Some(assigned)) = (AskId(ask_id), assigned) else { return };
        flight.asks.push(ask_id);
        self.actions.extend(assigned.closes.map(Action::Close));
        if assigned.opens {
            self.actions.push_back(Action::Open(assigned.socket, upstream));
        }
        self.actions.push_back(Action::Send(assigned.socket, ask_id));
    }
}

/// Whom to ask next, and how.
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    pub(super) position: usize,
    pub(super) with_opt: bool,
}
