//! One ask for many: who waits for which question.
//!
//! The first to miss a question starts its flight; all who ask the same until it ends, over whatever worker, listener or
//! transport, join it and are answered together. The flight's asking is done by one worker's engine ([`crate::upstream`]);
//! this table holds the waiters only. Everything is bounded: flights, and waiters over all of them.

mod lately;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::reply::Wants;
use crate::upstream::Number;
use crate::wire::QuestionKey;
use lately::Lately;

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
    pub wants: Wants,
    /// When it is answered at the latest, with whatever there is.
    pub deadline: Instant,
    /// It is a question of ours that came back through this upstream, as a witness says.
    pub came_through: Option<Number>,
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
    /// It is the first of its kind, and held: [`Flights::release`] says whether its flight may start.
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

/// The flights under way.
#[derive(Debug)]
pub struct Flights {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    flights: AtomicUsize,
    waiters: AtomicUsize,
    most: usize,
    most_waiters: usize,
    lately: Lately,
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

impl Flights {
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
            lately: Lately::default(),
        }
    }

    /// Lets `waiter` wait for `key`.
    pub fn join(&self, key: &QuestionKey, waiter: Waiter, now: Instant) -> Joined {
        if waiter.held && self.lately.has(key.bytes(), now) {
            return Joined::Refused;
        }
        if self.waiters.fetch_add(1, Ordering::Relaxed) >= self.most.saturating_mul(WAITERS_PER_FLIGHT) {
            self.waiters.fetch_sub(1, Ordering::Relaxed);
            return Joined::Full;
        }
        let mut shard = self.shard(key.bytes());
        match shard.get_mut(key) {
            Some(flight) if flight.refused && waiter.came_through.is_some() => {
                self.waiters.fetch_sub(1, Ordering::Relaxed);
                return Joined::Refused;
            }
            Some(flight) if flight.waiters.len() < self.most_waiters => {
                let (starts, widens) = (flight.held && !waiter.held, flight.alone && !waiter.alone);
                flight.held &= waiter.held;
                flight.alone &= waiter.alone;
                flight.waiters.push(waiter);
                return match (starts, widens) {
                    (true, _) => Joined::First,
                    (false, true) => Joined::Widens,
                    (false, false) => Joined::Waits,
                };
            }
            None if self.take_off() => {}
            _ => {
                self.waiters.fetch_sub(1, Ordering::Relaxed);
                return Joined::Full;
            }
        }
        let (alone, held) = (waiter.alone, waiter.held);
        shard.insert(key.clone(), Flight { waiters: SmallVec::from_buf([waiter]), alone, held, refused: false });
        if held { Joined::Held } else { Joined::First }
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
mod tests {
    use std::time::Duration;

    use super::*;

    fn waiter(deadline: Instant) -> Waiter {
        let wants = Wants { opt: false, dnssec: false, authentic: false, room: 512, payload: 1232 };
        Waiter {
            packet: [].into(),
            question_end: 0,
            wants,
            deadline,
            came_through: None,
            alone: false,
            held: false,
            back: WayBack::Tcp(tokio::sync::oneshot::channel().0),
        }
    }

    #[test]
    fn the_first_flies_and_the_others_wait() {
        let (flights, now) = (Flights::new(10, 10), crate::clock::now());
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::First);
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits);
        assert!(!flights.start(&QuestionKey::new(b"a")) && flights.start(&QuestionKey::new(b"b")));
        assert_eq!((flights.len(), flights.waiting()), (2, 2));
        assert_eq!(flights.finish(b"a").len(), 2);
        assert_eq!(flights.finish(b"a").len(), 0);
        assert_eq!((flights.len(), flights.waiting()), (1, 0));
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::First);
    }

    #[test]
    fn those_whose_time_is_up_leave_and_the_flight_goes_on() {
        let (flights, now) = (Flights::new(10, 10), crate::clock::now());
        let later = now + Duration::from_secs(1);
        let _ = flights.join(&QuestionKey::new(b"a"), waiter(now), now);
        let _ = flights.join(&QuestionKey::new(b"a"), waiter(later), now);
        let (due, next) = flights.overdue(b"a", now);
        assert_eq!((due.len(), next), (1, Some(later)));
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits);
    }

    #[test]
    fn repeats_of_what_came_back_and_was_refused_are_refused_at_once() {
        let (flights, now) = (Flights::new(10, 10), crate::clock::now());
        let marked = || Waiter { came_through: Some(Number(1)), ..waiter(now) };
        let _ = flights.join(&QuestionKey::new(b"a"), waiter(now + Duration::from_secs(1)), now);
        assert_eq!(flights.join(&QuestionKey::new(b"a"), marked(), now), Joined::Waits);
        assert_eq!(flights.overdue(b"a", now).0.len(), 1);
        assert_eq!(flights.join(&QuestionKey::new(b"a"), marked(), now), Joined::Refused);
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits);
        assert_eq!(flights.waiting(), 2);
    }

    #[test]
    fn a_client_who_joins_a_question_of_another_onward_makes_its_flight_an_ordinary_one() {
        let (flights, now) = (Flights::new(10, 10), crate::clock::now());
        let foreign = || Waiter { alone: true, ..waiter(now) };
        assert_eq!(flights.join(&QuestionKey::new(b"a"), foreign(), now), Joined::First);
        assert_eq!(flights.join(&QuestionKey::new(b"a"), foreign(), now), Joined::Waits);
        assert!(flights.is_alone(b"a"));
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Widens);
        assert!(!flights.is_alone(b"a"));
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits, "once is enough");
        assert_eq!(flights.join(&QuestionKey::new(b"b"), waiter(now), now), Joined::First);
        assert_eq!(flights.join(&QuestionKey::new(b"b"), foreign(), now), Joined::Waits);
        assert!(!flights.is_alone(b"b"));
    }

    #[test]
    fn what_came_back_asking_for_more_is_held_and_a_client_has_it_asked_at_once() {
        let (flights, now) = (Flights::new(10, 10), crate::clock::now());
        let held = || Waiter { held: true, alone: true, ..waiter(now) };
        assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), now), Joined::Held);
        assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), now), Joined::Waits);
        assert!(flights.is_held(b"a") && !flights.is_flying(b"a") && flights.concerns(b"a", now));
        assert_eq!(
            flights.join(&QuestionKey::new(b"a"), waiter(now), now),
            Joined::First,
            "it is asked for the client's sake"
        );
        assert!(!flights.release(b"a") && flights.is_flying(b"a") && flights.refuse(b"a", now).is_empty());
        assert_eq!(flights.finish(b"a").len(), 3);
        assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), now), Joined::Held);
        assert!(flights.release(b"a") && flights.is_flying(b"a"), "after 50 ms it is asked like any other");
    }

    #[test]
    fn repeats_of_what_was_held_and_refused_are_refused_for_a_while_and_clients_never() {
        let (flights, now) = (Flights::new(10, 10), crate::clock::now());
        let held = || Waiter { held: true, ..waiter(now) };
        let _ = flights.join(&QuestionKey::new(b"a"), held(), now);
        assert_eq!((flights.refuse(b"a", now).len(), flights.len()), (1, 0));
        assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), now), Joined::Refused);
        assert!(flights.concerns(b"a", now) && !flights.concerns(b"b", now));
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::First);
        let _ = flights.finish(b"a");
        let later = now + Duration::from_secs(5);
        assert!(!flights.concerns(b"a", later));
        assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), later), Joined::Held);
        assert_eq!(flights.waiting(), 1);
    }

    #[test]
    fn repeats_of_what_was_surely_ours_are_known_when_its_flight_is_over() {
        let (flights, now) = (Flights::new(10, 10), crate::clock::now());
        flights.was_refused(b"a", now);
        flights.was_refused(b"a", now);
        assert!(flights.concerns(b"a", now) && !flights.concerns(b"a", now + Duration::from_secs(5)));
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::First, "it has no mark");
    }

    #[test]
    fn a_flood_of_names_or_of_askers_ends_at_the_limit() {
        let (flights, now) = (Flights::new(2, 7), crate::clock::now());
        for name in [b"a", b"b"] {
            assert_eq!(flights.join(&QuestionKey::new(name), waiter(now), now), Joined::First);
        }
        assert_eq!(flights.join(&QuestionKey::new(b"c"), waiter(now), now), Joined::Full);
        for _ in 0..6 {
            assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits);
        }
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Full);
    }
}
