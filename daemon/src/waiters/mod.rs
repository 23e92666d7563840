//! One ask for many: who waits for which question.
//!
//! The first to miss a question starts its flight; all who ask the same until it ends, over whatever worker, listener or
//! transport, join it and are answered together. The flight's asking is done by one worker's engine ([`crate::upstream`]);
//! this table holds the waiters only. Everything is bounded: flights, and waiters over all of them.

mod recently_refused;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::respond::ResponseParams;
use crate::upstream::UpstreamId;
use crate::wire::QuestionKey;
use recently_refused::RecentlyRefused;

const SHARDS: usize = 16;
/// Waiters that there is room for, for each flight that there is room for.
const WAITERS_PER_FLIGHT: usize = 4;

/// Someone who waits for an answer.
#[derive(Debug)]
pub struct Waiter {
    /// The query.
    pub packet: Arc<[u8]>,
    /// Where its question ends.
    pub question_end: usize,
    /// What else the answer needs to know of the query.
    pub wants: ResponseParams,
    /// When it is answered at the latest, with whatever there is.
    pub deadline: Instant,
    /// It is a question of ours that came back through this upstream, as a witness says.
    pub came_through: Option<UpstreamId>,
    /// One upstream is enough for its sake: it has passed another Onward, which fails over by itself, or is ours come back.
    pub alone: bool,
    /// It is perhaps ours come back, asking for more than what it stems from: where nobody else asks that, it is held.
    pub held: bool,
    /// The way back.
    pub back: WayBack,
}

/// The way back to a client.
#[derive(Debug)]
pub enum WayBack {
    /// Through the socket that the query came in on, so that the answer leaves from the address that was asked.
    Udp(Arc<UdpSocket>, SocketAddr),
    /// To the task that serves the client's connection.
    Tcp(tokio::sync::oneshot::Sender<Vec<u8>>),
}

/// What became of a question that wanted to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// It is the first of its kind, or the first that need not be held: start its flight.
    First,
    /// It is the first of its kind, and held: [`Waiters::release`] says whether its flight may start.
    Held,
    /// A flight is under way; it waits with the others.
    Waits,
    /// The same, but that flight asks one upstream only, which is not enough any more.
    Widens,
    /// It came back to us, and the same has been refused before: at once this time.
    Refused,
    /// There is no room.
    Full,
}

/// A place among the waiters, given back when this is dropped and not kept.
struct Place<'f>(&'f AtomicUsize);

impl Place<'_> {
    /// It belongs to a waiter now, and is given back with him.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The flights under way.
#[derive(Debug)]
pub struct Waiters {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    flights: AtomicUsize,
    waiters: AtomicUsize,
    most: usize,
    most_waiters: usize,
    lately: RecentlyRefused,
}

type Shard = HashMap<QuestionKey, Flight, RandomState>;

#[derive(Debug, Default)]
struct Flight {
    waiters: SmallVec<[Waiter; 1]>,
    /// One upstream is enough for all who wait.
    alone: bool,
    /// It has not started: all who wait are held.
    held: bool,
    /// One that came back was refused.
    refused: bool,
}

impl Waiters {
    /// A table with room for `most` flights, and `most_waiters` for each.
    #[must_use]
    pub fn new(most: usize, most_waiters: usize) -> Self {
        let hasher = RandomState::default();
        Self {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))),
            hasher,
            flights: AtomicUsize::new(0),
            waiters: AtomicUsize::new(0),
            most,
            most_waiters,
            lately: RecentlyRefused::default(),
        }
    }

    /// Lets `waiter` wait for `key`.
    pub fn join(&self, key: &QuestionKey, waiter: Waiter, now: Instant) -> Joined {
        if waiter.held && self.lately.has(key.bytes(), now) {
            return Joined::Refused;
        }
        let Some(place) = self.take_place() else { return Joined::Full };
        let mut shard = self.shard(key.bytes());
        let joined = match shard.get_mut(key) {
            Some(flight) if flight.refused && waiter.came_through.is_some() => return Joined::Refused,
            Some(flight) if flight.waiters.len() < self.most_waiters => {
                let (starts, widens) = (flight.held && !waiter.held, flight.alone && !waiter.alone);
                flight.held &= waiter.held;
                flight.alone &= waiter.alone;
                flight.waiters.push(waiter);
                match (starts, widens) {
                    (true, _) => Joined::First,
                    (false, true) => Joined::Widens,
                    (false, false) => Joined::Waits,
                }
            }
            None if self.take_off() => {
                let (alone, held) = (waiter.alone, waiter.held);
                let flight = Flight { waiters: SmallVec::from_buf([waiter]), alone, held, refused: false };
                shard.insert(key.clone(), flight);
                if held { Joined::Held } else { Joined::First }
            }
            _ => return Joined::Full,
        };
        place.keep();
        joined
    }

    /// Starts a flight that nobody waits for, to refresh what is about to end; false where one is under way or no room is.
    pub fn start(&self, key: &QuestionKey) -> bool {
        let mut shard = self.shard(key.bytes());
        if shard.contains_key(key) || !self.take_off() {
            return false;
        }
        shard.insert(key.clone(), Flight::default());
        true
    }

    /// Ends the flight of `key`; returns who waited for it.
    #[must_use]
    pub fn finish(&self, key: &[u8]) -> SmallVec<[Waiter; 1]> {
        let flight = self.shard(key).remove(key);
        self.ended(flight)
    }

    /// Counts a flight as over; returns who waited for it.
    fn ended(&self, flight: Option<Flight>) -> SmallVec<[Waiter; 1]> {
        let Some(Flight { waiters, .. }) = flight else { return SmallVec::new() };
        self.flights.fetch_sub(1, Ordering::Relaxed);
        self.waiters.fetch_sub(waiters.len(), Ordering::Relaxed);
        waiters
    }

    /// Takes those out whose deadline has come; the flight goes on. Returns them, and the next deadline of the others.
    #[must_use]
    pub fn overdue(&self, key: &[u8], now: Instant) -> (Vec<Waiter>, Option<Instant>) {
        let mut shard = self.shard(key);
        let Some(flight) = shard.get_mut(key) else { return (Vec::new(), None) };
        let waiters = std::mem::take(&mut flight.waiters);
        let (due, left): (Vec<_>, _) = waiters.into_iter().partition(|waiter| waiter.deadline <= now);
        flight.waiters = left.into();
        self.waiters.fetch_sub(due.len(), Ordering::Relaxed);
        flight.refused |= due.iter().any(|waiter| waiter.came_through.is_some());
        (due, flight.waiters.iter().map(|waiter| waiter.deadline).min())
    }

    /// Whether `key` is being asked.
    #[must_use]
    pub fn is_flying(&self, key: &[u8]) -> bool {
        !self.is_empty() && self.shard(key).get(key).is_some_and(|flight| !flight.held)
    }

    /// Whether `key` is held: then it is not being asked.
    #[cfg(test)]
    fn is_held(&self, key: &[u8]) -> bool {
        self.shard(key).get(key).is_some_and(|flight| flight.held)
    }

    /// Whether `key` is being asked, or held, or was lately refused.
    #[must_use]
    pub fn concerns(&self, key: &[u8], now: Instant) -> bool {
        (!self.is_empty() && self.shard(key).contains_key(key)) || self.lately.has(key, now)
    }

    /// `key` was held long enough: true where it was, and its flight is to start now.
    #[must_use]
    pub fn release(&self, key: &[u8]) -> bool {
        self.shard(key).get_mut(key).is_some_and(|flight| std::mem::take(&mut flight.held))
    }

    /// Ends what is held for `key`: those who wait are to be refused, and who is held for the same in the next seconds at
    /// once. Nobody where it is not held any more.
    #[must_use]
    pub fn refuse(&self, key: &[u8], now: Instant) -> SmallVec<[Waiter; 1]> {
        let mut shard = self.shard(key);
        if !shard.get(key).is_some_and(|flight| flight.held) {
            return SmallVec::new();
        }
        self.lately.keep(QuestionKey::new(key), now);
        self.ended(shard.remove(key))
    }

    /// Somebody who asked for `key`, surely a question of ours that came back, was refused at once. Its repeats are known
    /// for a while: what it stems from may be answered by then.
    pub fn was_refused(&self, key: &[u8], now: Instant) {
        self.lately.keep(QuestionKey::new(key), now);
    }

    /// Whether one upstream is enough for all who wait for `key`.
    #[must_use]
    pub fn is_alone(&self, key: &[u8]) -> bool {
        self.shard(key).get(key).is_some_and(|flight| flight.alone)
    }

    /// How many flights are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flights.load(Ordering::Relaxed)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.load(Ordering::Relaxed)
    }

    fn take_place(&self) -> Option<Place<'_>> {
        let before = self.waiters.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiters);
        (before < self.most.saturating_mul(WAITERS_PER_FLIGHT)).then_some(place)
    }

    fn take_off(&self) -> bool {
        let before = self.flights.fetch_add(1, Ordering::Relaxed);
        if before >= self.most {
            self.flights.fetch_sub(1, Ordering::Relaxed);
        }
        before < self.most
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(key) >> 48).unwrap_or(0) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS of them")]
        let shard = &self.shards[index];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
