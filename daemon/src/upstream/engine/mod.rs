//! Asks upstreams: whom, when, and when the next as well. Pure: events and the time go in, [`Action`]s come out.
//!
//! A question flies through the upstreams in their order. The first is asked; the next when it has failed: it said
//! SERVFAIL or REFUSED (but for reasons that hold everywhere, see `check`), nothing listens at its port, or our
//! patience with it is over. Among equivalent upstreams the next is asked as well as soon as the first is late by its
//! own standards. The first good answer ends the flight; a negative one waits up to 1.5 s for an upstream that was
//! asked before and is not down. Where nobody else is left to ask, a late question is sent again, with the same ID over
//! the same socket, three times in all.
//!
//! Clients are answered at the latest after 1.8 s ([`Action::Overdue`]), but the flight goes on for 6 s, so that their
//! next try finds the answer. Upstreams that are down are asked last, save for a copy of one question a second.
//!
//! When each flight is to be looked at stands in a heap (`timers`); times that hold no longer are dropped when they
//! come to its top.
//!
//! An engine belongs to one thread and knows of no other. Who waits for an answer is not its business
//! (`crate::flight`), nor how bytes travel (`sockets`, `stream`), nor what is remembered (`crate::cache`).

mod action;
mod course;
mod flying;
mod sending;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use rand::rngs::StdRng;
use slotmap::{DefaultKey, SlotMap};
use smallvec::SmallVec;

use crate::guard::{self, Passed, Verdicts, tag};
use crate::hash::BuildIdentity;
use crate::upstream::check::{self, Match, Worth};
use crate::upstream::health::Health;
use crate::upstream::pool::{Pool, Socket};
use crate::upstream::{Number, Set};
use crate::wire::{Answer, QuestionKey, u16_at};
use flying::{Ask, Flight, FlightId, SentOver};
use timers::Timers;

pub use action::{Action, Failure, Landed, Said};
pub use flying::{AskId, CLIENT_BUDGET};

/// A question is sent to one upstream this often at most.
const SENDS: u8 = 3;

/// A question to be asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The question.
    pub key: QuestionKey,
    /// The packet of the first asker, whose spelling of the name ours will not be. Empty where nobody asked.
    pub packet: Arc<[u8]>,
    /// Who asks it, where that may be an upstream: it is then asked last, since it would only ask back.
    pub from: Option<IpAddr>,
    /// The upstream that seems to have sent it back to us: asked last, too.
    pub through: Option<Number>,
    /// The other Onwards that it has passed, if any: then one upstream is asked and no other, however that one fails.
    /// Where that one is late it is sent again, as any question is: the repeats of an Onward before us join its flight,
    /// and would not make good what was lost behind us.
    pub passed: Passed,
}

/// What the loop guard says of upstreams, and the key of its marks.
#[derive(Debug, Clone)]
pub struct Guidance {
    /// Who is not to be asked, or last; which marks each bears.
    pub verdicts: Arc<Verdicts>,
    /// For tags and spellings.
    pub key: Arc<guard::MarkKey>,
}

/// Asks upstreams. See the module.
pub struct Engine {
    set: Arc<Set>,
    guidance: Guidance,
    tags: tag::Entries,
    options: Vec<u8>, // of the message that is being made; kept, so that none is allocated
    peers: Peers,
    flights: SlotMap<DefaultKey, Flight>,
    /// The flights without an answer, by the hashes of their questions.
    by_hash: HashMap<u64, FlightId, BuildIdentity>,
    hasher: RandomState,
    asks: SlotMap<DefaultKey, Ask>,
    timers: Timers,
    actions: VecDeque<Action>,
    rng: StdRng,
    sockets_each: usize,
    payload: u16,
    next_socket: u64,
}

struct Peer {
    number: Number,
    health: Health,
    pool: Pool<AskId>,
}

/// Few, so that one is found soonest by looking at each.
#[derive(Default)]
struct Peers(Vec<Peer>);

impl Peers {
    fn get(&self, number: Number) -> Option<&Peer> {
        self.0.iter().find(|peer| peer.number == number)
    }

    fn get_mut(&mut self, number: Number) -> Option<&mut Peer> {
        self.0.iter_mut().find(|peer| peer.number == number)
    }
}

impl Engine {
    /// An engine that keeps `sockets_each` sockets open to an upstream, and tells it that we take `payload` bytes over
    /// UDP; `rng` must not be guessable.
    #[must_use]
    pub fn new(set: Arc<Set>, guidance: Guidance, sockets_each: usize, payload: u16, rng: StdRng) -> Self {
        Self {
            set,
            guidance,
            tags: tag::Entries::default(),
            options: Vec::new(),
            peers: Peers::default(),
            flights: SlotMap::new(),
            by_hash: HashMap::default(),
            hasher: RandomState::default(),
            asks: SlotMap::new(),
            timers: Timers::default(),
            actions: VecDeque::new(),
            rng,
            sockets_each,
            payload,
            next_socket: 0,
        }
    }

    /// The next thing to do, until there is none.
    #[inline]
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::wake`] is to be called at the latest.
    #[must_use]
    pub fn next_wake(&mut self) -> Option<Instant> {
        self.timers.next(holds(&self.flights))
    }

    /// The message of an ask, to be sent.
    #[must_use]
    pub fn message(&self, ask: AskId) -> Option<&[u8]> {
        self.asks.get(ask.0).map(|ask| &ask.message[..])
    }

    /// Whether nothing is awaited from any upstream.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }

    /// How many questions have no answer yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.by_hash.len()
    }

    /// Event: a question is to be asked.
    pub fn ask(&mut self, question: Question, now: Instant) {
        let order = self.order(&question);
        if order.is_empty() {
            let why = self.set.upstreams.first().map_or(Failure::NoUpstream, |first| Failure::Loops(first.number));
            self.actions.push_back(Action::Failed(question.key, why));
            return;
        }
        let alone = question.passed.foreign();
        let hash = self.hasher.hash_one(question.key.bytes());
        let id = FlightId(self.flights.insert(Flight::new(question, hash, order, now)));
        self.by_hash.insert(hash, id);
        self.ask_next(id, now);
        if !alone {
            self.try_those_that_are_down(id, now);
        }
        self.set_timer(id);
    }

    /// Event: a datagram came from `upstream` over `socket`. Returns the question that has its answer by that.
    #[must_use]
    pub fn datagram<'m>(
        &mut self,
        upstream: Number,
        socket: Socket,
        message: &'m [u8],
        now: Instant,
    ) -> Option<Landed<'m>> {
        let peer = self.peers.get_mut(upstream)?;
        let ask_id = *peer.pool.who(socket, u16_at(message, 0)?)?;
        let ask = self.asks.get_mut(ask_id.0)?;
        let end = ask.question_end;
        let is_bare = match check::matches(&ask.message, end, message) {
            Match::Answer => false,
            Match::OtherSpelling if ask.spelled => {
                ask.other_spelling = true;
                return None;
            }
            Match::OtherSpelling => false,
            Match::Stranger if ask.with_opt && check::is_bare_error(message) => true,
            Match::Stranger => return None,
        };
        // Which of several sends it answers is not known (RFC 6298, section 3): then it is no measure.
        let after = if ask.sends == 1 { now.duration_since(ask.sent) } else { peer.health.late_after() };
        peer.health.answered(after);
        if is_bare {
            self.came(ask_id, Worth::PerhapsEdns, message, now);
            return None;
        }
        let answer = Answer::read(message, end);
        let worth = worth(answer.as_ref(), ask.with_opt);
        let key = self.came(ask_id, worth, message, now)?;
        Some(Landed { key, upstream, answer: answer? })
    }

    /// Event: nothing listens where `socket` is connected to, or it could not be opened.
    pub fn refused(&mut self, upstream: Number, socket: Socket, now: Instant) {
        let Some(peer) = self.peers.get_mut(upstream) else { return };
        peer.health.refused(now);
        let lost = peer.pool.lose(socket);
        self.actions.push_back(Action::Close(socket));
        for ask_id in lost {
            if let Some(flight) = self.end_ask(ask_id).map(|ask| ask.flight) {
                self.go_on(flight, now);
                self.set_timer(flight);
            }
        }
    }

    /// Event: an ask over a stream has its answer, or failed. Returns the question that has its answer by that.
    #[must_use]
    pub fn streamed<'m>(&mut self, ask_id: AskId, message: Option<&'m [u8]>, now: Instant) -> Option<Landed<'m>> {
        let ask = self.asks.get(ask_id.0)?;
        let (upstream, message) = (ask.upstream.number, message.unwrap_or_default());
        let answer = Answer::read(message, ask.question_end);
        let worth = match worth(answer.as_ref(), ask.with_opt) {
            // A stream has room for all: what is cut even so will not get better.
            Worth::Truncated => Worth::Failure,
            worth => worth,
        };
        let key = self.came(ask_id, worth, message, now)?;
        Some(Landed { key, upstream, answer: answer? })
    }

    /// Event: the time that [`Self::next_wake`] named has come.
    ///
    /// Each flight that is due is looked at once: should one be due again by that, the next call sees to it. So this
    /// ends whatever the flights do.
    pub fn wake(&mut self, now: Instant) {
        let mut due: SmallVec<[FlightId; 16]> = SmallVec::new();
        while let Some(id) = self.timers.take_due(now, holds(&self.flights)) {
            if let Some(flight) = self.flights.get_mut(id.0) {
                flight.timer = None;
            }
            due.push(id);
        }
        for id in due {
            self.step(id, now);
            self.set_timer(id);
        }
    }

    /// The flight that asks this and has no answer yet.
    fn find(&self, key: &QuestionKey) -> Option<FlightId> {
        let id = *self.by_hash.get(&self.hasher.hash_one(key.bytes()))?;
        self.flights.get(id.0).filter(|flight| flight.key == *key).map(|_| id)
    }

    /// Event: somebody who waits for `key` wants to be remembered at `at`: [`Action::Overdue`] comes by then.
    pub fn remind(&mut self, key: &QuestionKey, at: Instant) {
        let Some(id) = self.find(key) else { return };
        if let Some(flight) = self.flights.get_mut(id.0) {
            flight.overdue = flight.overdue.min(at);
        }
        self.set_timer(id);
    }

    /// Event: these are the upstreams now. Questions under way are finished with those that they were asked of.
    pub fn adopt(&mut self, set: Arc<Set>) {
        self.set = set;
        let set = &self.set;
        for peer in self.peers.0.iter_mut().filter(|peer| set.get(peer.number).is_none()) {
            self.actions.extend(peer.pool.renew().into_iter().map(Action::Close));
        }
        // Also what was asked over a stream, which its pool does not know of.
        let is_asked = |peer: &Peer| self.asks.values().any(|ask| ask.upstream.number == peer.number);
        self.peers.0.retain(|peer| set.get(peer.number).is_some() || is_asked(peer));
    }

    /// Event: addresses or routes changed: sockets that are bound to what was are replaced.
    pub fn renew_sockets(&mut self) {
        for peer in &mut self.peers.0 {
            self.actions.extend(peer.pool.renew().into_iter().map(Action::Close));
        }
    }

    /// What the guard last said.
    #[must_use]
    pub fn guidance(&self) -> &Guidance {
        &self.guidance
    }

    /// Event: the guard knows more. Nothing is awaited any longer from those that it has convicted.
    pub fn guide(&mut self, guidance: Guidance, now: Instant) {
        self.guidance = guidance;
        self.leave_the_convicted(now);
    }

    /// Nothing more is awaited from an ask.
    fn end_ask(&mut self, ask_id: AskId) -> Option<Ask> {
        let ask = self.asks.remove(ask_id.0)?;
        if let Some(flight) = self.flights.get_mut(ask.flight.0) {
            flight.asks.retain(|id| *id != ask_id);
        }
        if let SentOver::Udp(socket, id) = ask.sent_over
            && let Some(peer) = self.peers.get_mut(ask.upstream.number)
        {
            self.actions.extend(peer.pool.forget(socket, id).map(Action::Close));
        }
        Some(ask)
    }

    fn set_timer(&mut self, id: FlightId) {
        let Some(flight) = self.flights.get_mut(id.0) else { return };
        let steps = flight.asks.iter().filter_map(|ask| self.asks.get(ask.0)?.step);
        let at = flight.next_time(steps);
        if flight.timer != Some(at) {
            flight.timer = Some(at);
            self.timers.set(at, id);
        }
    }
}

/// Whether a time is that of its flight.
fn holds(flights: &SlotMap<DefaultKey, Flight>) -> impl Fn(FlightId, Instant) -> bool {
    |id, at| flights.get(id.0).is_some_and(|flight| flight.timer == Some(at))
}

/// What a message is worth; one that cannot be walked is a failure.
fn worth(answer: Option<&Answer<'_>>, with_opt: bool) -> Worth {
    answer.map_or(Worth::Failure, |answer| check::worth(answer, with_opt))
}

#[cfg(test)]
mod tests;
