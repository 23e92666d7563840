//! A query's whole trip, on one screen: what the fronts call, and what becomes of the answer.
//!
//! ```text
//! take:   read ─► admitted? ─► in the cache? ─► answer at once
//!                                  └─ no ─► for us to ask at all? ─► wait: join its flight, or start one
//! give:   cache.put ─► every waiter, each in its own spelling
//! ```
//!
//! Threads of the UDP front and tasks of the TCP front share one [`Forwarder`]; nothing in it waits for anything.

mod respond;
mod returned_query;

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::admit::acl::AllowList;
use crate::admit::special_names;
use crate::admit::triage::{self, triage};
use crate::cache::{Cache, Freshness, Seconds};
use crate::exchange::{CLIENT_BUDGET, LookupRequest};
use crate::guard::returned::ReturnedMarks;
use crate::guard::{Guard, HOLD, Passed, probe};
use crate::respond::{Age, Ede, LocalResponse, ResponseParams, local, write_cached};
use crate::server::mailbox::{Order, Orders};
use crate::upstream::{Transport, UpstreamSet};
use crate::waiters::{Joined, Waiter, Waiters, WayBack};
use crate::wire::{Query, QuestionKey};
use returned_query::Treatment;

/// What all fronts and workers share.
#[derive(Debug)]
pub struct Forwarder {
    /// What was learnt.
    pub cache: Cache,
    /// What is being asked, and who waits for it.
    pub waiters: Waiters,
    /// Who may ask.
    pub allow: ArcSwap<AllowList>,
    /// The upstreams.
    pub set: ArcSwap<UpstreamSet>,
    /// The loop guard.
    pub guard: Guard,
    /// The threads that ask.
    pub workers: Vec<Orders>,
    /// The largest UDP message, in bytes, to clients and from upstreams.
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
    /// Send what was written to `out` when [`PROBE_HOLD`](crate::guard::PROBE_HOLD) has gone by: it is a probe of ours
    /// come home, and a hop that hears SERVFAIL at once would ask others.
    AnswerLater,
    /// It must be asked: [`Forwarder::wait`].
    Ask(ReturnedMarks),
    /// Take this in the packet's place: the same query, plain.
    TakeInstead(Vec<u8>),
}

/// What to do with a query that waits.
#[derive(Debug)]
pub enum Waits {
    /// It is the first to ask this: give the question to an engine.
    Ask(LookupRequest),
    /// The same, but not before [`HOLD`] has gone by and [`Forwarder::let_go`] says so.
    Hold(LookupRequest),
    /// It is asked already.
    Joined,
    /// It does not wait: this is its answer.
    Answer(LocalResponse),
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
    next_second: Instant,
    allow: Arc<AllowList>,
    /// Who was last found to be allowed: most of what comes together is from one client.
    allowed: Cell<Option<IpAddr>>,
}

impl Moment {
    /// When.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    #[inline]
    fn admits(&self, source: IpAddr) -> bool {
        if self.allowed.get() == Some(source) {
            return true;
        }
        let admits = self.allow.admits(source);
        if admits {
            self.allowed.set(Some(source));
        }
        admits
    }
}

impl Forwarder {
    /// For packets that are taken at once.
    #[must_use]
    pub fn moment(&self, now: Instant) -> Moment {
        let seconds = self.seconds(now);
        let next_second = self.started + Duration::from_secs(u64::from(seconds.0) + 1);
        Moment { now, seconds, next_second, allow: self.allow.load_full(), allowed: Cell::default() }
    }

    /// The same for packets that are taken later: all of it is looked up anew each second. Who keeps a moment drops it when
    /// the allow-list becomes another.
    #[inline]
    pub fn renew(&self, moment: &mut Moment, now: Instant) {
        if now < moment.next_second {
            moment.now = now;
        } else {
            *moment = self.moment(now);
        }
    }

    /// Reads a packet into `query` and answers it to `out` where that needs no upstream.
    #[inline]
    pub fn take(&self, arrival: &Arrival<'_>, query: &mut Query, out: &mut Vec<u8>) -> Step {
        let packet = arrival.packet;
        let plain = query.read(packet);
        if !arrival.at.admits(arrival.from.ip()) {
            if plain.is_ok() && query.wants_recursion() {
                self.tell_guard(&self.marks(arrival, query), arrival, query);
            }
            let not_yours = Ede::new(Ede::PROHIBITED, "this resolver serves its node and pods; see `allow`");
            return self.answer_ourselves(packet, &LocalResponse::Refused(Some(not_yours)), out);
        }
        if plain.is_err() {
            return match triage(packet) {
                triage::Verdict::Drop => Step::Silence,
                triage::Verdict::LocalResponse(own) => self.answer_ourselves(packet, &own, out),
                triage::Verdict::Forward(plain) => Step::TakeInstead(plain),
            };
        }
        let wants = ResponseParams::new(query, self.payload, arrival.over_tcp);
        let head = packet.get(..query.question_end()).unwrap_or_default();
        let hit = self.cache.get(query.key(), arrival.at.seconds, |found| {
            let age = match found.freshness {
                Freshness::Fresh | Freshness::Ending => Age::Seconds(found.age),
                Freshness::StaleHold => Age::Stale,
                Freshness::Stale => return Freshness::Stale,
            };
            write_cached(head, wants, found.block, age, out);
            found.freshness
        });
        match hit {
            Some(Freshness::Fresh | Freshness::StaleHold) => Step::Answer,
            Some(Freshness::Ending) => Step::AnswerAndRefresh,
            Some(Freshness::Stale) | None => self.take_miss(arrival, query, out),
        }
    }

    /// What is not to be asked of any upstream is answered here. Apart, so that hits need not make room for it.
    #[inline(never)]
    fn take_miss(&self, arrival: &Arrival<'_>, query: &Query, out: &mut Vec<u8>) -> Step {
        let packet = arrival.packet;
        if probe::is_coredns_probe(query.name(), query.qtype()) {
            self.guard.loop_plugin_seen();
            return self.answer_ourselves(packet, &LocalResponse::NxDomain, out);
        }
        if special_names::is_about_the_resolver(query.name()) {
            return self.answer_ourselves(packet, &LocalResponse::NoData, out);
        }
        // Those that iterate ask so. A stranger's zone may have sent them here, so what they carry is no witness.
        if !query.wants_recursion() {
            let not_cached = Ede::new(Ede::NOT_AUTHORITATIVE, "not cached, and no recursion desired");
            return self.answer_ourselves(packet, &LocalResponse::Refused(Some(not_cached)), out);
        }
        let marks = self.marks(arrival, query);
        if let Some(nonce) = probe::nonce(query.name()).filter(|nonce| self.guard.knows(*nonce)) {
            let over = if arrival.over_tcp { Transport::Tcp } else { Transport::Udp };
            let by = (arrival.from.ip(), over);
            let is_first = self.guard.probe_home(nonce, by, marks.passed.onwards(), arrival.at.now);
            return match self.answer_ourselves(packet, &LocalResponse::ServFail(probe_came_home()), out) {
                Step::Answer if is_first => Step::AnswerLater,
                other => other,
            };
        }
        self.tell_guard(&marks, arrival, query);
        Step::Ask(marks)
    }

    fn answer_ourselves(&self, packet: &[u8], own: &LocalResponse, out: &mut Vec<u8>) -> Step {
        local::write(packet, own, self.payload, out).map_or(Step::Silence, |()| Step::Answer)
    }

    /// Lets a query that [`Self::take`] could not answer wait for its answer, which goes out over `back`.
    #[must_use]
    pub fn wait(&self, arrival: Arrival<'_>, query: &Query, marks: ReturnedMarks, back: WayBack) -> Waits {
        let (through, is_sure) =
            (marks.came_back.map(|back| back.through), marks.came_back.is_some_and(|back| back.is_sure));
        let deadline = arrival.at.now + if is_sure { HOLD } else { CLIENT_BUDGET };
        let treatment = marks.came_back.map(|back| self.came_back(back, query, deadline));
        if treatment == Some(Treatment::Refuse) {
            self.waiters.was_refused(query.key(), arrival.at.now);
            return Waits::Answer(LocalResponse::ServFail(self.loops(through)));
        }
        let packet: Arc<[u8]> = arrival.packet.into();
        let waiter = Waiter {
            packet: Arc::clone(&packet),
            question_end: query.question_end(),
            wants: ResponseParams::new(query, self.payload, arrival.over_tcp),
            deadline,
            came_through: through.filter(|_| is_sure),
            alone: marks.passed.foreign() || marks.came_back.is_some(),
            held: treatment == Some(Treatment::Hold),
            back,
        };
        let key = QuestionKey::new(query.key());
        let joined = self.waiters.join(&key, waiter, arrival.at.now);
        let question =
            |key| LookupRequest { key, packet, from: Some(arrival.from.ip()), through, passed: marks.passed };
        match joined {
            Joined::First => Waits::Ask(question(key)),
            Joined::Held => Waits::Hold(question(key)),
            Joined::Waits => Waits::Joined,
            Joined::Widens => {
                self.tell_workers(|| Order::Widen(key.clone()));
                Waits::Joined
            }
            Joined::Refused => Waits::Answer(LocalResponse::ServFail(self.loops(through))),
            Joined::Full => {
                Waits::Answer(LocalResponse::ServFail(Ede::new(Ede::NOT_READY, "too many questions in flight")))
            }
        }
    }

    /// Tells all workers.
    pub fn tell_workers(&self, order: impl Fn() -> Order) {
        for worker in &self.workers {
            worker.tell(order());
        }
    }

    /// A question that is about to end in the cache and is popular; `None` where it is asked already.
    #[must_use]
    pub fn refresh(&self, query: &Query) -> Option<LookupRequest> {
        let key = QuestionKey::new(query.key());
        let starts = self.waiters.start(&key);
        starts.then(|| LookupRequest { key, packet: [].into(), from: None, through: None, passed: Passed::default() })
    }

    /// These are the upstreams now; what only others said is forgotten.
    pub fn adopt(&self, set: &Arc<UpstreamSet>) {
        self.set.store(Arc::clone(set));
        self.cache.retain(|upstream| set.get(upstream).is_some());
    }

    fn seconds(&self, now: Instant) -> Seconds {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        Seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

fn probe_came_home() -> Ede {
    Ede::new(Ede::NETWORK_ERROR, "a probe of this node came back to it")
}
