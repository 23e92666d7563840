//! A query's whole trip, on one screen: what the fronts call, and what becomes of the answer.
//!
//! ```text
//! take:   read ─► admitted? ─► in the cache? ─► answer at once
//!                                  └─ no ─► for us to ask at all? ─► wait: join its flight, or start one
//! give:   cache.put ─► every waiter, each in its own spelling
//! ```
//!
//! Threads of the UDP front and tasks of the TCP front share one [`Forwarder`]; nothing in it waits for anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::admit::acl::AllowList;
use crate::admit::triage::{self, triage};
use crate::cache::{Block, Cache, Freshness, Seconds};
use crate::flight::{Back, Flights, Joined, Waiter};
use crate::guard::probe;
use crate::reply::{Age, Ede, Own, Wants, dress, own};
use crate::upstream::engine::{CLIENT_BUDGET, Failure, Question};
use crate::upstream::{Number, Set};
use crate::wire::{Answer, Key, Query};

/// How long it is remembered that no upstream answered, in seconds. A client's timeout alone is no verdict on a name.
const NO_ANSWER_TTL: u32 = 1;

/// What all fronts and workers share.
#[derive(Debug)]
pub struct Forwarder {
    /// What was learnt.
    pub cache: Cache,
    /// What is being asked, and who waits for it.
    pub flights: Flights,
    /// Who may ask.
    pub allow: ArcSwap<AllowList>,
    /// The upstreams.
    pub set: ArcSwap<Set>,
    /// The largest answer over UDP, in bytes.
    pub payload: u16,
    /// When the process began.
    pub started: Instant,
}

/// What to do with a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send what was written to `out`.
    Answer,
    /// The same, and ask for it again: it is popular and about to end.
    AnswerAndRefresh,
    /// Send nothing.
    Silence,
    /// It must be asked: [`Forwarder::wait`].
    Ask,
    /// Take this in the packet's place: the same query, plain.
    TakeInstead(Vec<u8>),
}

/// What became of a query that must be asked.
#[derive(Debug)]
pub enum Waits {
    /// Its answer comes in time; nothing more to do.
    Joined,
    /// It is the first: give this to an engine.
    Start(Question),
}

/// One packet and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'p> {
    /// The packet.
    pub packet: &'p [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// Whether over a stream.
    pub over_tcp: bool,
    /// When.
    pub now: Instant,
}

impl Forwarder {
    /// Reads a packet into `query` and answers it to `out` where that needs no upstream.
    #[inline]
    pub fn take(&self, arrival: Arrival<'_>, query: &mut Query, out: &mut Vec<u8>) -> Step {
        let packet = arrival.packet;
        let plain = query.read(packet);
        if !self.allow.load().admits(arrival.from.ip()) {
            let not_yours = Ede::new(Ede::PROHIBITED, "this resolver serves its node and pods; see `allow`");
            return answer_ourselves(packet, &Own::Refused(Some(not_yours)), out);
        }
        if plain.is_err() {
            return match triage(packet) {
                triage::Verdict::Drop => Step::Silence,
                triage::Verdict::Own(own) => answer_ourselves(packet, &own, out),
                triage::Verdict::Forward(plain) => Step::TakeInstead(plain),
            };
        }
        let wants = Wants::new(query, self.payload, arrival.over_tcp);
        let head = packet.get(..query.question_end()).unwrap_or_default();
        let hit = self.cache.get(query.key(), self.seconds(arrival.now), |found| {
            let age = match found.freshness {
                Freshness::Fresh | Freshness::Ending => Age::Seconds(found.age),
                Freshness::Resting => Age::Stale,
                Freshness::Stale => return None,
            };
            dress(head, wants, found.block, age, out);
            Some(if found.freshness == Freshness::Ending { Step::AnswerAndRefresh } else { Step::Answer })
        });
        hit.flatten().unwrap_or_else(|| Self::take_miss(packet, query, out))
    }

    /// What is not to be asked of any upstream is answered here.
    fn take_miss(packet: &[u8], query: &Query, out: &mut Vec<u8>) -> Step {
        if probe::is_coredns_probe(query.name(), query.qtype()) {
            return answer_ourselves(packet, &Own::NxDomain, out);
        }
        if !query.wants_recursion() {
            let not_cached = Ede::new(Ede::NOT_AUTHORITATIVE, "not cached, and no recursion desired");
            return answer_ourselves(packet, &Own::Refused(Some(not_cached)), out);
        }
        Step::Ask
    }

    /// Lets a query that [`Self::take`] could not answer wait for its answer, which goes out over `back`.
    pub fn wait(&self, arrival: Arrival<'_>, query: &Query, back: Back) -> Waits {
        let waiter = Waiter {
            packet: arrival.packet.into(),
            question_end: query.question_end(),
            wants: Wants::new(query, self.payload, arrival.over_tcp),
            deadline: arrival.now + CLIENT_BUDGET,
            back,
        };
        match self.flights.join(query.key(), waiter) {
            Joined::First => {
                Waits::Start(Question { key: Key::new(query.key()), from: Some(arrival.from.ip()), alone: false })
            }
            Joined::Waits => Waits::Joined,
            Joined::Full(waiter) => {
                let full = Ede::new(Ede::NOT_READY, "too many questions in flight");
                send(*waiter, Content::Own(&Own::ServFail(full)));
                Waits::Joined
            }
        }
    }

    /// A question that is about to end in the cache and is popular; `None` where it is asked already.
    #[must_use]
    pub fn refresh(&self, query: &Query) -> Option<Question> {
        let starts = self.flights.start(query.key());
        starts.then(|| Question { key: Key::new(query.key()), from: None, alone: false })
    }

    /// An upstream answered: remember it, and tell all who wait.
    pub fn give(&self, key: &Key, upstream: Number, message: &[u8], now: Instant) {
        let answer = Answer::read(message, crate::upstream::question::question_end(key));
        let block = answer.and_then(|answer| self.cache.learn(key.bytes(), &answer, upstream, self.seconds(now)));
        let Some(block) = block else { return self.give_up(key, Failure::NoAnswer, now) };
        for waiter in self.flights.finish(key.bytes()) {
            send(waiter, Content::Block(&block, Age::Seconds(0)));
        }
    }

    /// No upstream answered: tell all who wait, with what was known before if there is anything.
    pub fn give_up(&self, key: &Key, why: Failure, now: Instant) {
        if why == Failure::NoAnswer {
            self.cache.learn_failure(key.bytes(), NO_ANSWER_TTL, self.seconds(now));
        }
        let waiters = self.flights.finish(key.bytes());
        self.console(key, waiters, why, now);
    }

    /// Answers those whose time is up, though the flight goes on; returns when the next one's is.
    pub fn give_overdue(&self, key: &Key, now: Instant) -> Option<Instant> {
        let (waiters, next) = self.flights.overdue(key.bytes(), now);
        self.console(key, waiters, Failure::NoAnswer, now);
        next
    }

    /// A stale answer, or else SERVFAIL with the reason.
    fn console(&self, key: &Key, waiters: Vec<Waiter>, why: Failure, now: Instant) {
        if waiters.is_empty() {
            return;
        }
        let stale = self.cache.get(key.bytes(), self.seconds(now), |found| {
            matches!(found.freshness, Freshness::Stale | Freshness::Resting).then(|| found.block.clone())
        });
        let stale: Option<Block> = stale.flatten();
        let own = Own::ServFail(match why {
            Failure::NoUpstream => Ede::new(Ede::NOT_READY, "no upstream server is known"),
            Failure::NoAnswer => Ede::new(Ede::NO_REACHABLE_AUTHORITY, "no upstream server answered in time"),
        });
        for waiter in waiters {
            match &stale {
                Some(block) => send(waiter, Content::Block(block, Age::Stale)),
                None => send(waiter, Content::Own(&own)),
            }
        }
    }

    /// These are the upstreams now; what only others said is forgotten.
    pub fn adopt(&self, set: Arc<Set>) {
        self.set.store(Arc::clone(&set));
        self.cache.retain(|upstream| set.get(upstream).is_some());
    }

    fn seconds(&self, now: Instant) -> Seconds {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        Seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// What a waiter gets.
#[derive(Clone, Copy)]
enum Content<'c> {
    Block(&'c Block, Age),
    Own(&'c Own),
}

fn answer_ourselves(packet: &[u8], own: &Own, out: &mut Vec<u8>) -> Step {
    own::answer(packet, own, out).map_or(Step::Silence, |()| Step::Answer)
}

/// Sends a waiter its answer. One that is gone, or cannot be reached, is not waited for.
fn send(waiter: Waiter, content: Content<'_>) {
    let mut out = Vec::new();
    match content {
        Content::Block(block, age) => {
            let head = waiter.packet.get(..waiter.question_end).unwrap_or_default();
            dress(head, waiter.wants, block, age, &mut out);
        }
        Content::Own(own) => {
            if own::answer(&waiter.packet, own, &mut out).is_none() {
                return;
            }
        }
    }
    match waiter.back {
        Back::Udp(socket, client) => drop(socket.send_to(&out, client)),
        Back::Tcp(task) => drop(task.send(out)),
    }
}
