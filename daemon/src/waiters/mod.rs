//! One lookup for many: who waits for which query.
//!
//! The first to miss a name and type starts a lookup; all who ask the same until it ends, over whatever worker,
//! listener or transport, wait for it and are answered together. The lookup itself is done by one worker
//! ([`crate::exchange`]); this table holds the waiters only. Everything is bounded: entries, and waiters over all of
//! them.

mod recently_refused;
mod reply_to;
mod waiter;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::guard::{HOLD, Relay};
use crate::wire::QuestionKey;
use recently_refused::RecentlyRefused;

pub use reply_to::{ClientId, ListenerId, ReplyTo};
pub(crate) use waiter::{Asker, Start, Waiter};

const SHARDS: usize = 16;
/// Time for which a refused query of ours that came back is remembered: longer than hops resend.
const REFUSED: Duration = Duration::from_secs(5);
/// Time for which it is remembered that a lookup for other Onwards failed: longer than a question walks through a mesh
/// of them.
const FAILED: Duration = Duration::from_secs(2);
/// Maximum number of waiters, over all entries, for each entry that there is room for.
const WAITERS_PER_ENTRY: usize = 4;

/// What became of a waiter that wanted to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// It is the first of its kind, or the first that need not be held: start its lookup.
    First,
    /// It is the first of its kind, and held: [`Waiters::release`] says whether its lookup may start.
    Held,
    /// A lookup is under way; it waits with the others.
    Waits,
    /// The same, but that lookup was for other Onwards alone, and may be hedged from now on.
    Widens,
    /// It waits with the others, but until this time only: who it stems from waits for them on a shorter way.
    Detour(Instant),
    /// It came back to us, and the same has been refused before: refuse it at once.
    Refused,
    /// There is no room.
    Full,
}

/// The waiters whose deadline has come.
#[derive(Debug, Default)]
pub struct Overdue {
    /// Those that are answered with whatever there is.
    pub waiting: Vec<Waiter>,
    /// Those that are refused: queries of ours come back, or such as came by a detour.
    pub returned: Vec<Waiter>,
    /// The next deadline of the others.
    pub next: Option<Instant>,
}

/// A place among the waiters, given back when this is dropped and not kept.
struct Place<'w>(&'w AtomicUsize);

impl Place<'_> {
    /// Leaves the place to a waiter, with whom it is given back.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The table. See the module.
#[derive(Debug)]
pub struct Waiters {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    entries: AtomicUsize,
    waiters: AtomicUsize,
    entries_max: usize,
    waiters_max: usize,
    recently_refused: RecentlyRefused,
    /// Lookups that failed, with the Onward that their queries passed first.
    recently_failed: RecentlyRefused,
}

type Shard = HashMap<QuestionKey, Entry, RandomState>;

/// All who wait for one lookup.
#[derive(Debug)]
struct Entry {
    waiters: SmallVec<[Waiter; 1]>,
    asker: Asker,
    /// The way of the query that started it.
    relay: Option<Relay>,
    start: Start,
    repeats: Repeats,
}

/// What becomes of a further query of ours that surely came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    /// It waits with the others.
    Wait,
    /// It is refused at once: one was refused before.
    Refused,
}

impl Entry {
    fn new(waiters: SmallVec<[Waiter; 1]>, asker: Asker, start: Start) -> Self {
        let relay = waiters.first().and_then(|first| first.relay);
        Self { waiters, asker, relay, start, repeats: Repeats::Wait }
    }

    /// Adds a waiter; returns what follows from that.
    fn add(&mut self, mut waiter: Waiter, now: Instant) -> Join {
        if self.is_detour(&waiter) {
            let until = now + HOLD;
            waiter.deadline = until;
            self.waiters.push(waiter);
            return Join::Detour(until);
        }
        let (starts, widens) = (self.start < waiter.start, self.asker < waiter.asker);
        self.start = self.start.max(waiter.start);
        self.asker = self.asker.max(waiter.asker);
        self.waiters.push(waiter);
        match (starts, widens) {
            (true, _) => Join::First,
            (false, true) => Join::Widens,
            (false, false) => Join::Waits,
        }
    }

    /// Whether a query stems from the same client as the one that started this lookup, by way of more Onwards: then
    /// that client waits for this lookup anyway, and one of those Onwards may be waiting for what this lookup is asking
    /// it. Were it to wait as long, neither would ever be answered.
    fn is_detour(&self, waiter: &Waiter) -> bool {
        let (Some(first), Some(relay)) = (self.relay, waiter.relay) else { return false };
        relay.origin == first.origin && relay.onwards > first.onwards
    }

    /// Whether a query is one of ours come back, or came by a detour.
    fn has_returned(&self, waiter: &Waiter) -> bool {
        waiter.returned_through.is_some() || self.is_detour(waiter)
    }
}

impl Waiters {
    /// Makes a table with room for `entries_max` lookups, and `waiters_max` clients at each.
    #[must_use]
    pub fn new(entries_max: usize, waiters_max: usize) -> Self {
        let hasher = RandomState::default();
        Self {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))),
            hasher,
            entries: AtomicUsize::new(0),
            waiters: AtomicUsize::new(0),
            entries_max,
            waiters_max,
            recently_refused: RecentlyRefused::lasting(REFUSED),
            recently_failed: RecentlyRefused::lasting(FAILED),
        }
    }

    /// Lets `waiter` wait for `key`.
    pub fn join(&self, key: &QuestionKey, waiter: Waiter, now: Instant) -> Join {
        if waiter.start == Start::Held && self.recently_refused.has(key.bytes(), now) {
            return Join::Refused;
        }
        if let Some(relay) = waiter.relay
            && self.recently_failed.has(relay.of(key.bytes()).bytes(), now)
            && !self.is_asked(key.bytes())
        {
            return Join::Refused;
        }
        let Some(place) = self.take_place() else { return Join::Full };
        let mut shard = self.shard(key.bytes());
        let joined = match shard.get_mut(key) {
            Some(entry) if entry.repeats == Repeats::Refused && entry.has_returned(&waiter) => {
                return Join::Refused;
            }
            Some(entry) if entry.waiters.len() < self.waiters_max => entry.add(waiter, now),
            None if self.take_room() => {
                let (asker, start) = (waiter.asker, waiter.start);
                shard.insert(key.clone(), Entry::new(SmallVec::from_buf([waiter]), asker, start));
                match start {
                    Start::Held => Join::Held,
                    Start::AtOnce => Join::First,
                }
            }
            _ => return Join::Full,
        };
        place.keep();
        joined
    }

    /// Starts a lookup without a waiter, to refresh what is about to end; false where one is under way or no room is.
    pub fn start(&self, key: &QuestionKey) -> bool {
        let mut shard = self.shard(key.bytes());
        if shard.contains_key(key) || !self.take_room() {
            return false;
        }
        shard.insert(key.clone(), Entry::new(SmallVec::new(), Asker::Client, Start::AtOnce));
        true
    }

    /// Ends the lookup of `key`; returns who waited for it.
    #[must_use]
    pub fn finish(&self, key: &[u8]) -> SmallVec<[Waiter; 1]> {
        let entry = self.shard(key).remove(key);
        self.ended(entry)
    }

    /// Counts an entry as over; returns its waiters.
    fn ended(&self, entry: Option<Entry>) -> SmallVec<[Waiter; 1]> {
        let Some(Entry { waiters, .. }) = entry else { return SmallVec::new() };
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.waiters.fetch_sub(waiters.len(), Ordering::Relaxed);
        waiters
    }

    /// Takes out the waiters whose deadline has come; the lookup goes on.
    #[must_use]
    pub fn overdue(&self, key: &[u8], now: Instant) -> Overdue {
        let mut shard = self.shard(key);
        let Some(entry) = shard.get_mut(key) else { return Overdue::default() };
        let waiters = std::mem::take(&mut entry.waiters);
        let (due, left): (Vec<_>, _) = waiters.into_iter().partition(|waiter| waiter.deadline <= now);
        entry.waiters = left.into();
        self.waiters.fetch_sub(due.len(), Ordering::Relaxed);
        let (returned, waiting): (Vec<_>, Vec<_>) = due.into_iter().partition(|waiter| entry.has_returned(waiter));
        if !returned.is_empty() {
            entry.repeats = Repeats::Refused;
        }
        let next = entry.waiters.iter().map(|waiter| waiter.deadline).min();
        Overdue { waiting, returned, next }
    }

    /// Takes out all waiters of all lookups: the process ends, and another one is to ask for them.
    #[must_use]
    pub fn take_all(&self) -> Vec<Waiter> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let entries = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            all.extend(entries.into_values().flat_map(|entry| self.ended(Some(entry))));
        }
        all
    }

    /// Whether `key` is being asked.
    #[must_use]
    pub fn is_asked(&self, key: &[u8]) -> bool {
        !self.is_empty() && self.shard(key).get(key).is_some_and(|entry| entry.start == Start::AtOnce)
    }

    /// Whether `key` is held: then it is not being asked.
    #[cfg(test)]
    fn is_held(&self, key: &[u8]) -> bool {
        self.shard(key).get(key).is_some_and(|entry| entry.start == Start::Held)
    }

    /// Whether `key` is being asked, or held, or was recently refused.
    #[must_use]
    pub fn concerns(&self, key: &[u8], now: Instant) -> bool {
        (!self.is_empty() && self.shard(key).contains_key(key)) || self.recently_refused.has(key, now)
    }

    /// Releases the held entry of `key`; true where there is one, and its lookup is to start now.
    #[must_use]
    pub fn release(&self, key: &[u8]) -> bool {
        let mut shard = self.shard(key);
        let Some(entry) = shard.get_mut(key).filter(|entry| entry.start == Start::Held) else { return false };
        entry.start = Start::AtOnce;
        true
    }

    /// Removes the held entry of `key` and returns its waiters, whom the caller must refuse. Repeats are refused at
    /// once for 5 s. Empty if the entry is no longer held.
    #[must_use]
    pub fn refuse(&self, key: &[u8], now: Instant) -> SmallVec<[Waiter; 1]> {
        let mut shard = self.shard(key);
        if shard.get(key).is_none_or(|entry| entry.start != Start::Held) {
            return SmallVec::new();
        }
        self.recently_refused.keep(QuestionKey::new(key), now);
        self.ended(shard.remove(key))
    }

    /// Remembers for 5 s that a query for `key`, surely ours come back, was refused at once. Its repeats are known by
    /// that, though the lookup that it stems from may have ended.
    pub fn was_refused(&self, key: &[u8], now: Instant) {
        self.recently_refused.keep(QuestionKey::new(key), now);
    }

    /// Remembers for 2 s that the lookup of `key` failed, if it was for other Onwards: whoever brings the same question
    /// of the same client by another way is refused at once, or in a mesh of Onwards each would ask all others again
    /// and again. To be called before the entry ends.
    pub fn has_failed(&self, key: &[u8], now: Instant) {
        let shard = self.shard(key);
        let relay = shard.get(key).filter(|entry| entry.asker == Asker::Onward).and_then(|entry| entry.relay);
        drop(shard);
        if let Some(relay) = relay {
            self.recently_failed.keep(relay.of(key), now);
        }
    }

    /// For whose sake the lookup of `key` is.
    #[must_use]
    pub fn asker(&self, key: &[u8]) -> Asker {
        self.shard(key).get(key).map_or(Asker::Client, |entry| entry.asker)
    }

    /// How many lookups are waited for or refreshed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many clients wait for a response.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.load(Ordering::Relaxed)
    }

    fn take_place(&self) -> Option<Place<'_>> {
        let before = self.waiters.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiters);
        (before < self.entries_max.saturating_mul(WAITERS_PER_ENTRY)).then_some(place)
    }

    /// Takes room for one more entry; false where there is none.
    fn take_room(&self) -> bool {
        let before = self.entries.fetch_add(1, Ordering::Relaxed);
        if before >= self.entries_max {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        before < self.entries_max
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
