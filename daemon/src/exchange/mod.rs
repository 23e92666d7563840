//! Asks upstreams: whom, when, and when the next as well. Pure: events and the time go in, [`Action`]s come out.
//!
//! A question flies through the upstreams of its route, in their order. The first is asked; the next when it has
//! failed: it said SERVFAIL or REFUSED (but for reasons that hold everywhere, see `check`), it is lame, nothing listens
//! at its port, or our patience with it is over. Among equivalent upstreams the next is asked as well as soon as the
//! first is late by its own standards. The first good answer ends the lookup; a negative one waits up to 1.5 s for an
//! upstream that comes earlier in the route and was asked, and is provisional ([`Certainty`]) where an earlier one,
//! which is not equivalent, has not answered. Where nobody else is left to ask, a late question is sent again, with the
//! same ID over the same socket, three times in all.
//!
//! Clients are answered at the latest after 1.8 s ([`Action::Overdue`]), but the lookup goes on for 6 s, so that their
//! next try finds the answer. Upstreams that are down are asked last. Who is down is the guard's to say: an engine
//! tells when one may be ([`Action::PerhapsDown`]). A question of another Onward is asked in the same way, but not
//! hedged.
//!
//! When each lookup is to be looked at stands in a heap (`timers`); times that hold no longer are dropped when they
//! come to its top.
//!
//! An engine belongs to one thread and knows of no other. Who waits for an answer is not its business
//! (`crate::waiters`), nor how bytes travel (`sockets`, `stream`), nor what is remembered (`crate::cache`).

mod action;
pub(crate) mod check;
mod counters;
mod down;
mod ending;
mod failover;
mod form;
pub(crate) mod health;
pub(crate) mod histogram;
mod lookup;
mod peers;
mod plainer;
pub(crate) mod pool;
pub(crate) mod query;
mod report;
mod sending;
pub(crate) mod sockets;
pub(crate) mod stream;
mod timers;
mod trace;

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
use crate::upstream::{Transport, UpstreamId, UpstreamSet};
use crate::wire::{QuestionKey, Response, u16_at};
use check::{Match, Worth};
use lookup::{Attempt, Lookup, LookupId, SentOver};
use peers::Peers;
use pool::Socket;
use stream::StreamError;
use timers::Timers;

pub use action::Action;
pub(crate) use action::{Certainty, Failure, OwnedUpstreamResponse, PROVISIONAL_TTL, UpstreamResponse};
pub(crate) use counters::UpstreamCounters;
pub(crate) use histogram::Histogram;
pub use lookup::{AttemptId, CLIENT_BUDGET};
pub(crate) use report::EngineReport;
#[cfg(test)]
pub(crate) use report::UpstreamReport;
pub(crate) use trace::{Trace, TraceKind};

/// A question is sent to one upstream this often at most.
const SENDS: u8 = 3;

/// A question to be asked.
#[derive(Debug, Clone)]
pub struct LookupRequest {
    /// The question.
    pub key: QuestionKey,
    /// The packet of the first asker, whose spelling of the name ours will not be. Empty where nobody asked.
    pub packet: Arc<[u8]>,
    /// Who asks it, where that may be an upstream: it is then asked last, since it would only ask back.
    pub from: Option<IpAddr>,
    /// The upstream that seems to have sent it back to us: asked last, too.
    pub through: Option<UpstreamId>,
    /// The other Onwards that it has passed, if any: then it is not hedged, and no reason to probe.
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
    set: Arc<UpstreamSet>,
    guidance: Guidance,
    /// Whether people watch what happens.
    is_watched: bool,
    traces: Vec<Trace>,
    tags: tag::Entries,
    options: Vec<u8>, // of the message that is being made; kept, so that none is allocated
    peers: Peers,
    lookups: SlotMap<DefaultKey, Lookup>,
    /// The lookups without an answer, by the hashes of their questions.
    by_hash: HashMap<u64, LookupId, BuildIdentity>,
    hasher: RandomState,
    attempts: SlotMap<DefaultKey, Attempt>,
    timers: Timers,
    actions: VecDeque<Action>,
    rng: StdRng,
    sockets_each: usize,
    payload: u16,
    next_socket: u64,
}

impl Engine {
    /// An engine that keeps `sockets_each` sockets open to an upstream, and tells it that we take `payload` bytes over
    /// UDP; `rng` must not be guessable.
    #[must_use]
    pub fn new(set: Arc<UpstreamSet>, guidance: Guidance, sockets_each: usize, payload: u16, rng: StdRng) -> Self {
        Self {
            set,
            guidance,
            is_watched: false,
            traces: Vec::new(),
            tags: tag::Entries::default(),
            options: Vec::new(),
            peers: Peers::default(),
            lookups: SlotMap::new(),
            by_hash: HashMap::default(),
            hasher: RandomState::default(),
            attempts: SlotMap::new(),
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
        self.timers.next(holds(&self.lookups))
    }

    /// The message of an attempt, to be sent.
    #[must_use]
    pub fn message(&self, attempt: AttemptId) -> Option<&[u8]> {
        self.attempts.get(attempt.0).map(|attempt| &attempt.message[..])
    }

    /// Whether nothing is awaited from any upstream.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lookups.is_empty()
    }

    /// How many questions have no answer yet.
    #[must_use]
    pub fn lookups_running(&self) -> usize {
        self.by_hash.len()
    }

    /// Event: a question is to be asked.
    pub fn ask(&mut self, question: LookupRequest, now: Instant) {
        let order = self.order(&question);
        if order.is_empty() {
            let why = self.first_in_quarantine(&question.key).map_or(Failure::NoUpstream, Failure::Loops);
            self.actions.push_back(Action::Failed(question.key, why));
            return;
        }
        let hash = self.hasher.hash_one(question.key.bytes());
        let id = LookupId(self.lookups.insert(Lookup::new(question, hash, order, now)));
        self.by_hash.insert(hash, id);
        self.ask_next(id, now);
        self.set_timer(id);
    }

    /// Event: a datagram came from `upstream` over `socket`. Returns the question that has its answer by that.
    #[must_use]
    pub fn datagram<'m>(
        &mut self,
        upstream: UpstreamId,
        socket: Socket,
        message: &'m [u8],
        now: Instant,
    ) -> Option<UpstreamResponse<'m>> {
        let peer = self.peers.get(upstream)?;
        let attempt_id = *peer.pool.who(socket, u16_at(message, 0)?)?;
        let attempt = self.attempts.get_mut(attempt_id.0)?;
        let end = attempt.question_end;
        let is_header_alone = match check::matches(&attempt.message, end, message) {
            Match::Answer => false,
            Match::OtherSpelling if attempt.spelled => {
                self.heard_in_other_spelling(attempt_id, now);
                return None;
            }
            Match::OtherSpelling => false,
            Match::HeaderAlone => true,
            Match::Stranger => return None,
        };
        let with_opt = attempt.with_opt;
        if is_header_alone {
            let message = check::header_alone(&attempt.message, end, message);
            let worth = check::worth(Response::read(&message, end).as_ref(), with_opt);
            let answered = self.came(attempt_id, worth, &message, now);
            debug_assert!(answered.is_none(), "a header alone is no answer");
            return None;
        }
        let answer = Response::read(message, end);
        let worth = check::worth(answer.as_ref(), with_opt);
        let (key, certainty) = self.came(attempt_id, worth, message, now)?;
        Some(UpstreamResponse { key, upstream, certainty, answer: answer? })
    }

    /// Event: nothing listens where `socket` is connected to, or it could not be opened.
    pub fn refused(&mut self, upstream: UpstreamId, socket: Socket, now: Instant) {
        let Some(peer) = self.peers.get_mut(upstream) else { return };
        let lost = peer.pool.lose(socket);
        self.actions.push_back(Action::Close(socket));
        self.suspect_down(upstream, Transport::Udp, now, now); // which closes other sockets, and this one not again
        for attempt_id in lost {
            if let Some(lookup) = self.end_attempt(attempt_id).map(|attempt| attempt.lookup) {
                self.go_on(lookup, now);
                self.set_timer(lookup);
            }
        }
    }

    /// Event: an attempt over a stream has its answer, or failed. Returns the question that has its answer by that.
    #[must_use]
    pub fn streamed<'m>(
        &mut self,
        attempt_id: AttemptId,
        message: Result<&'m [u8], StreamError>,
        now: Instant,
    ) -> Option<UpstreamResponse<'m>> {
        let attempt = self.attempts.get(attempt_id.0)?;
        let (upstream, end) = (attempt.upstream.id, attempt.question_end);
        let message = match message {
            Ok(message) => message,
            Err(why) => {
                self.stream_failed(attempt_id, why, now);
                return None;
            }
        };
        if check::matches(&attempt.message, end, message) == Match::HeaderAlone {
            let message = check::header_alone(&attempt.message, end, message);
            let _ = self.came(attempt_id, Worth::Failure, &message, now);
            return None;
        }
        let answer = Response::read(message, end);
        let worth = match check::worth(answer.as_ref(), attempt.with_opt) {
            // A stream has room for all: what is cut even so will not get better.
            Worth::Truncated => Worth::Failure,
            worth => worth,
        };
        let (key, certainty) = self.came(attempt_id, worth, message, now)?;
        Some(UpstreamResponse { key, upstream, certainty, answer: answer? })
    }

    /// Event: the time that [`Self::next_wake`] named has come.
    ///
    /// Each lookup that is due is looked at once: should one be due again by that, the next call sees to it. So this
    /// ends whatever the lookups do.
    pub fn wake(&mut self, now: Instant) {
        let mut due: SmallVec<[LookupId; 16]> = SmallVec::new();
        while let Some(id) = self.timers.take_due(now, holds(&self.lookups)) {
            if let Some(lookup) = self.lookups.get_mut(id.0) {
                lookup.timer = None;
            }
            due.push(id);
        }
        for id in due {
            self.step(id, now);
            self.set_timer(id);
        }
    }

    /// The lookup that asks this and has no answer yet.
    fn find(&self, key: &QuestionKey) -> Option<LookupId> {
        let id = *self.by_hash.get(&self.hasher.hash_one(key.bytes()))?;
        self.lookups.get(id.0).filter(|lookup| lookup.key == *key).map(|_| id)
    }

    /// Event: a waiter for `key` is to have a response at `at`. [`Action::Overdue`] comes by then, unless the lookup is
    /// done before. Does nothing where there is no lookup for `key`.
    pub fn remind(&mut self, key: &QuestionKey, at: Instant) {
        let Some(id) = self.find(key) else { return };
        if let Some(lookup) = self.lookups.get_mut(id.0) {
            lookup.overdue = lookup.overdue.min(at);
        }
        self.set_timer(id);
    }

    /// Event: these are the upstreams now. Questions under way are finished with those that they were asked of.
    pub fn adopt(&mut self, set: Arc<UpstreamSet>) {
        self.set = set;
        let set = &self.set;
        for peer in self.peers.0.iter_mut().filter(|peer| set.get(peer.id).is_none()) {
            self.actions.extend(peer.pool.renew().into_iter().map(Action::Close));
        }
        // Also what was asked over a stream, which its pool does not know of.
        let is_asked = |peer: &peers::Peer| self.attempts.values().any(|attempt| attempt.upstream.id == peer.id);
        self.peers.0.retain(|peer| set.get(peer.id).is_some() || is_asked(peer));
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
        self.heed(guidance, now);
        self.leave_the_convicted(now);
    }

    /// Nothing more is awaited from an attempt.
    fn end_attempt(&mut self, attempt_id: AttemptId) -> Option<Attempt> {
        let attempt = self.attempts.remove(attempt_id.0)?;
        if let Some(lookup) = self.lookups.get_mut(attempt.lookup.0) {
            lookup.attempts.retain(|id| *id != attempt_id);
        }
        if let SentOver::Udp(socket, id) = attempt.sent_over
            && let Some(peer) = self.peers.get_mut(attempt.upstream.id)
        {
            self.actions.extend(peer.pool.forget(socket, id).map(Action::Close));
        }
        Some(attempt)
    }

    fn set_timer(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        let steps = lookup.attempts.iter().filter_map(|attempt| self.attempts.get(attempt.0)?.step);
        let at = lookup.next_time(steps);
        if lookup.timer != Some(at) {
            lookup.timer = Some(at);
            self.timers.set(at, id);
        }
    }
}

/// Whether a time is that of its lookup.
fn holds(lookups: &SlotMap<DefaultKey, Lookup>) -> impl Fn(LookupId, Instant) -> bool {
    |id, at| lookups.get(id.0).is_some_and(|lookup| lookup.timer == Some(at))
}

#[cfg(test)]
mod tests;
