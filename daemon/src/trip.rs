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
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::admit::acl::AllowList;
use crate::admit::marks::{self, Marks};
use crate::admit::triage::{self, triage};
use crate::cache::{Block, Cache, Freshness, Seconds};
use crate::flight::{Back as Way, Flights, Joined, Waiter};
use crate::front::inbox::{Order, Orders};
use crate::guard::{Guard, Passed, Standing, probe};
use crate::reply::{Age, Ede, Own, Wants, dress, own};
use crate::upstream::engine::{CLIENT_BUDGET, Failure, Question};
use crate::upstream::{Number, Set, Transport};
use crate::wire::{Answer, HEADER, Key, Query};

/// How long a question of ours that came back may wait for the answer to the very question; then it alone is refused.
const MARKED_WAITS: Duration = Duration::from_millis(50);
/// The spelling of so many upstreams is looked for at most in a question that is being asked.
const SPELLINGS: usize = 3;
/// How long a failure is remembered where a witness has spoken, in seconds: longer than hops resend.
const SUSPECT_TTL: u32 = 5;
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
    /// The loop guard.
    pub guard: Guard,
    /// The threads that ask.
    pub workers: Vec<Orders>,
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
    /// Send what was written to `out` when [`crate::guard::HOLD`] has gone by: it is a probe of ours come home, and a hop that hears
    /// SERVFAIL at once would ask others.
    AnswerLater,
    /// It must be asked: [`Forwarder::wait`].
    Ask(Marks),
    /// Take this in the packet's place: the same query, plain.
    TakeInstead(Vec<u8>),
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
    pub at: &'p Moment,
}

/// What is the same for all packets that are taken together, looked up once for them ([`Forwarder::moment`]).
#[derive(Debug)]
pub struct Moment {
    now: Instant,
    seconds: Seconds,
    allow: arc_swap::Guard<Arc<AllowList>>,
}

impl Forwarder {
    /// For packets that are taken at once. Not to be kept: it holds on to the allow-list.
    #[must_use]
    pub fn moment(&self, now: Instant) -> Moment {
        Moment { now, seconds: self.seconds(now), allow: self.allow.load() }
    }

    /// Reads a packet into `query` and answers it to `out` where that needs no upstream.
    #[inline]
    pub fn take(&self, arrival: &Arrival<'_>, query: &mut Query, out: &mut Vec<u8>) -> Step {
        let packet = arrival.packet;
        let plain = query.read(packet);
        if !arrival.at.allow.admits(arrival.from.ip()) {
            if plain.is_ok() && query.wants_recursion() {
                self.tell_guard(&self.marks(arrival, query), arrival, query);
            }
            let not_yours = Ede::new(Ede::PROHIBITED, "this resolver serves its node and pods; see `allow`");
            return self.answer_ourselves(packet, &Own::Refused(Some(not_yours)), out);
        }
        if plain.is_err() {
            return match triage(packet) {
                triage::Verdict::Drop => Step::Silence,
                triage::Verdict::Own(own) => self.answer_ourselves(packet, &own, out),
                triage::Verdict::Forward(plain) => Step::TakeInstead(plain),
            };
        }
        let wants = Wants::new(query, self.payload, arrival.over_tcp);
        let head = packet.get(..query.question_end()).unwrap_or_default();
        let hit = self.cache.get(query.key(), arrival.at.seconds, |found| {
            let age = match found.freshness {
                Freshness::Fresh | Freshness::Ending => Age::Seconds(found.age),
                Freshness::Resting => Age::Stale,
                Freshness::Stale => return None,
            };
            dress(head, wants, found.block, age, out);
            Some(if found.freshness == Freshness::Ending { Step::AnswerAndRefresh } else { Step::Answer })
        });
        hit.flatten().unwrap_or_else(|| self.take_miss(arrival, query, out))
    }

    /// What is not to be asked of any upstream is answered here.
    fn take_miss(&self, arrival: &Arrival<'_>, query: &Query, out: &mut Vec<u8>) -> Step {
        let packet = arrival.packet;
        if probe::is_coredns_probe(query.name(), query.qtype()) {
            self.guard.loop_plugin_seen();
            return self.answer_ourselves(packet, &Own::NxDomain, out);
        }
        // Those that iterate ask so. A stranger's zone may have sent them here, so what they carry is no witness.
        if !query.wants_recursion() {
            let not_cached = Ede::new(Ede::NOT_AUTHORITATIVE, "not cached, and no recursion desired");
            return self.answer_ourselves(packet, &Own::Refused(Some(not_cached)), out);
        }
        let marks = self.marks(arrival, query);
        if let Some(nonce) = probe::nonce(query.name()).filter(|nonce| self.guard.knows(*nonce)) {
            let over = if arrival.over_tcp { Transport::Tcp } else { Transport::Udp };
            let is_first = self.guard.probe_home(nonce, arrival.from.ip(), over, marks.passed.onwards());
            return match self.answer_ourselves(packet, &Own::ServFail(probe_came_home()), out) {
                Step::Answer if is_first => Step::AnswerLater,
                other => other,
            };
        }
        self.tell_guard(&marks, arrival, query);
        Step::Ask(marks)
    }

    fn answer_ourselves(&self, packet: &[u8], own: &Own, out: &mut Vec<u8>) -> Step {
        own::answer(packet, own, self.payload, out).map_or(Step::Silence, |()| Step::Answer)
    }

    /// The marks on a query.
    fn marks(&self, arrival: &Arrival<'_>, query: &Query) -> Marks {
        let mut asked = [Number(0); SPELLINGS];
        let mut count = 0;
        if self.flights.is_flying(query.key()) || (query.asks_for_more() && self.asking(query).next().is_some()) {
            for (place, upstream) in asked.iter_mut().zip(&self.set.load().upstreams) {
                *place = upstream.number;
                count += 1;
            }
        }
        let asked = asked.get(..count).unwrap_or_default();
        marks::read(arrival.packet, query, &self.guard.key(), arrival.at.now, asked)
    }

    /// The flights that ask this question, also those without DO or CD: hops set these on what they send back.
    fn asking(&self, query: &Query) -> impl Iterator<Item = Key> {
        query.keys_that_ask_less().filter(|key| self.flights.is_flying(key.bytes()))
    }

    /// Tells the guard where a query is ours come back.
    fn tell_guard(&self, marks: &Marks, arrival: &Arrival<'_>, query: &Query) {
        if let Some(back) = marks.back {
            self.guard.suspect(back.through, Transport::Udp, back.witness, query.name());
            if arrival.over_tcp {
                self.guard.suspect(back.through, Transport::Tcp, back.witness, query.name());
            }
        }
    }

    /// Lets a query that [`Self::take`] could not answer wait for its answer, which goes out over `back`.
    ///
    /// Returns the question where it is the first of its kind, to be given to an engine.
    #[must_use]
    pub fn wait(&self, arrival: Arrival<'_>, query: &Query, marks: Marks, back: Way) -> Option<Question> {
        let sure = marks.back.filter(|back| back.is_sure);
        let deadline = arrival.at.now + if sure.is_some() { MARKED_WAITS } else { CLIENT_BUDGET };
        let waiter = Waiter {
            packet: arrival.packet.into(),
            question_end: query.question_end(),
            wants: Wants::new(query, self.payload, arrival.over_tcp),
            deadline,
            came_through: sure.map(|back| back.through),
            back,
        };
        let asking: Vec<Key> = marks.back.iter().flat_map(|_| self.asking(query)).collect();
        let came_back = |through| {
            asking.iter().for_each(|key| self.tell_workers(|| Order::CameBack(key.clone(), through, deadline)));
        };
        if let Some(back) = sure
            && !asking.iter().any(|key| key.bytes() == query.key())
        {
            // It comes late and what it asked is over, or the answer to it would not fit: it was asked without DO or CD.
            came_back(back.through);
            self.refuse_marked(waiter);
            return None;
        }
        let joined = self.flights.join(query.key(), waiter);
        marks.back.iter().for_each(|back| came_back(back.through));
        match joined {
            Joined::First => return Some(question(arrival, query, marks)),
            Joined::Waits => {}
            Joined::Refused(waiter) => self.refuse_marked(*waiter),
            Joined::Full(waiter) => {
                let full = Ede::new(Ede::NOT_READY, "too many questions in flight");
                send(*waiter, Content::Own(&Own::ServFail(full)));
            }
        }
        None
    }

    /// Tells all workers.
    pub fn tell_workers(&self, order: impl Fn() -> Order) {
        for worker in &self.workers {
            worker.tell(order());
        }
    }

    /// A question of ours that came back is refused, it alone: nothing of that is remembered or shared.
    fn refuse_marked(&self, waiter: Waiter) {
        let own = Own::ServFail(self.loops(waiter.came_through));
        send(waiter, Content::Own(&own));
    }

    fn loops(&self, through: Option<Number>) -> Ede {
        let set = self.set.load();
        let upstream = through.and_then(|number| set.get(number));
        let text = match upstream {
            Some(upstream) => format!("forwarding loop: {} sends questions back to this node", upstream.server),
            None => "forwarding loop: an upstream sends questions back to this node".to_owned(),
        };
        Ede::new(Ede::NETWORK_ERROR, text)
    }

    /// A question that is about to end in the cache and is popular; `None` where it is asked already.
    #[must_use]
    pub fn refresh(&self, query: &Query) -> Option<Question> {
        let starts = self.flights.start(query.key());
        starts.then(|| Question {
            key: Key::new(query.key()),
            spelled: [].into(),
            from: None,
            through: None,
            passed: Passed::default(),
        })
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

    /// All that upstreams said is this failure. What was known before is worth more (RFC 8767, section 4).
    pub fn give_failure(&self, key: &Key, upstream: Number, message: &[u8], now: Instant) {
        if self.cache.stale(key.bytes(), self.seconds(now)).is_some() {
            self.give_up(key, Failure::NoAnswer, now);
        } else {
            self.give(key, upstream, message, now);
        }
    }

    /// No upstream answered: tell all who wait, with what was known before if there is anything.
    pub fn give_up(&self, key: &Key, why: Failure, now: Instant) {
        let lifetime = match why {
            Failure::NoUpstream => None,
            Failure::NoAnswer if !self.is_anyone_suspect(key) => Some(NO_ANSWER_TTL),
            Failure::NoAnswer | Failure::Loops(_) => Some(SUSPECT_TTL),
        };
        if let Some(lifetime) = lifetime {
            self.cache.learn_failure(key.bytes(), lifetime, self.seconds(now));
        }
        let waiters = self.flights.finish(key.bytes());
        self.console(key, waiters, why, now);
    }

    /// Whether a witness has spoken against an upstream, for this name.
    fn is_anyone_suspect(&self, key: &Key) -> bool {
        let verdicts = self.guard.verdicts();
        let mut upstreams = self.set.load().upstreams.clone().into_iter();
        upstreams.any(|upstream| verdicts.standing(upstream.number, Transport::Udp, key.name()) > Standing::Free)
    }

    /// Answers those whose time is up, though the flight goes on; returns when the next one's is.
    pub fn give_overdue(&self, key: &Key, now: Instant) -> Option<Instant> {
        let (waiters, next) = self.flights.overdue(key.bytes(), now);
        let (marked, waiters) = waiters.into_iter().partition(|waiter| waiter.came_through.is_some());
        self.console(key, waiters, Failure::NoAnswer, now);
        let marked: Vec<Waiter> = marked;
        for waiter in marked {
            self.refuse_marked(waiter);
        }
        next
    }

    /// A stale answer, or else SERVFAIL with the reason.
    fn console(&self, key: &Key, waiters: Vec<Waiter>, why: Failure, now: Instant) {
        if waiters.is_empty() {
            return;
        }
        let stale = self.cache.stale(key.bytes(), self.seconds(now));
        let own = Own::ServFail(match why {
            Failure::NoUpstream => Ede::new(Ede::NOT_READY, "no upstream server is known"),
            Failure::NoAnswer => Ede::new(Ede::NO_REACHABLE_AUTHORITY, "no upstream server answered in time"),
            Failure::Loops(upstream) => self.loops(Some(upstream)),
        });
        for waiter in waiters {
            match &stale {
                Some(block) => send(waiter, Content::Block(block, Age::Stale)),
                None => send(waiter, Content::Own(&own)),
            }
        }
    }

    /// These are the upstreams now; what only others said is forgotten.
    pub fn adopt(&self, set: &Arc<Set>) {
        self.set.store(Arc::clone(set));
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

fn question(arrival: Arrival<'_>, query: &Query, marks: Marks) -> Question {
    let name = query.question_end().checked_sub(4).and_then(|end| arrival.packet.get(HEADER..end));
    Question {
        key: Key::new(query.key()),
        spelled: name.unwrap_or_default().into(),
        from: Some(arrival.from.ip()),
        through: marks.back.map(|back| back.through),
        passed: marks.passed,
    }
}

fn probe_came_home() -> Ede {
    Ede::new(Ede::NETWORK_ERROR, "a probe of this node came back to it")
}

/// Sends a waiter its answer. One that is gone, or cannot be reached, is not waited for.
fn send(waiter: Waiter, content: Content<'_>) {
    let mut out = Vec::new();
    match content {
        Content::Block(block, age) => {
            out.reserve_exact(waiter.question_end + block.size()); // the block's own head makes up for an OPT
            let head = waiter.packet.get(..waiter.question_end).unwrap_or_default();
            dress(head, waiter.wants, block, age, &mut out);
        }
        Content::Own(own) => {
            if own::answer(&waiter.packet, own, waiter.wants.payload, &mut out).is_none() {
                return;
            }
        }
    }
    match waiter.back {
        Way::Udp(socket, client) => drop(socket.send_to(&out, client)),
        Way::Tcp(task) => drop(task.send(out)),
    }
}
