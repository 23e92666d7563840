//! The cache: one for all threads, bounded in entries and bytes, least recently used goes first.
//!
//! Keys are spread over shards, each behind a lock of its own that is held for a lookup and never across a system call.
//! What an answer is and how long it may live is read in [`crate::wire::response`]; here stands how long it *is* kept, when it
//! is worth refreshing, and how long after its end it still serves when nobody answers (RFC 8767). Time is [`Seconds`] since
//! the process began, handed in.

mod cached_response;
mod settings;
mod ttl;

use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use lru::LruCache;

pub use cached_response::{CachedResponse, View};
pub use settings::Settings;
pub use ttl::TtlBounds;

use crate::hash::BuildIdentity;
use crate::upstream::UpstreamId;
use crate::wire::Response;

/// A stale answer is served with this TTL, and for as long nobody is asked again (RFC 8767, sections 4 and 5), in seconds.
pub const STALE_TTL: u32 = 30;
/// What an entry costs beside its block: list node, table slot, the allocator's own.
const OVERHEAD: usize = 120;
/// How often an entry must have been used to be worth asking for again before it ends.
const POPULAR: u8 = 3;
/// What no upstream said. A number that an upstream could have in theory: it would only lose its stale answers.
const NOBODY: u16 = u16::MAX;
const SHARDS: usize = 64;

/// Seconds since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u32);

/// What bounds the cache. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries at most.
    pub entries: usize,
    /// Bytes at most, the cache's own overhead included.
    pub bytes: usize,
    /// Bounds of TTLs; an answer with TTL 0 is not kept whatever stands here.
    pub ttl: TtlBounds,
    /// The same for negative answers (RFC 2308, section 5: one to three hours).
    pub negative_ttl: TtlBounds,
    /// How long a SERVFAIL or REFUSED is kept (RFC 9520, section 3.2: one second to five minutes).
    pub failure_ttl: u32,
    /// How long after its end an answer still serves when no upstream answers (RFC 8767, section 5). 0: not at all.
    pub stale_max: u32,
    /// Whether popular entries are asked for again before they end.
    pub prefetch: bool,
}

/// What was found under a key.
#[derive(Debug, Clone, Copy)]
pub struct Found<'c> {
    /// The answer.
    pub block: &'c CachedResponse,
    /// Seconds since it was stored.
    pub age: u32,
    /// Whether it may be used.
    pub freshness: Freshness,
}

/// Whether an entry may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It lives.
    Fresh,
    /// It lives, is popular and will soon end: use it, and ask again.
    Ending,
    /// It has ended and a try to renew it failed within the last 30 s: use it as a stale answer, ask nobody.
    StaleHold,
    /// It has ended: ask; use it only where nobody answers.
    Stale,
}

/// The cache. See the module.
#[derive(Debug)]
pub struct Cache {
    shards: Box<[Shard]>,
    hasher: RandomState,
    limits: Limits,
}

/// On cache lines of its own, so that threads on different shards do not slow each other.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Inner>);

/// Entries are found by the hash of their key, which is taken once and picks the shard, too. Should two keys ever have the
/// same hash, the later one takes the place of the earlier.
#[derive(Debug)]
struct Inner {
    entries: LruCache<u64, Entry, BuildIdentity>,
    /// Entries at most.
    room: usize,
    bytes: usize,
    stretch: Stretch,
    /// Entries that were put in, and their bytes, since the stretch began.
    put: (usize, usize),
}

#[derive(Debug)]
struct Entry {
    block: CachedResponse,
    life: Life,
}

/// So many stretches make a turn: about as much is put in during them as there is room for.
const STRETCHES: usize = 8;

/// A stretch of a shard's life, in which an eighth of its room is written anew. Those of 32 turns can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch(u8);

/// Kept small, since there is one for each entry.
#[derive(Debug, Clone, Copy)]
struct Life {
    stored: Seconds,
    ends: Seconds,
    /// When it is worth asking for again: while it lives, if it is popular; once it has ended, by whoever wants it.
    ask_from: Seconds,
    /// The number of the upstream that it was learnt from, or [`NOBODY`].
    upstream: u16,
    /// Counted up to where it is popular and no further, so that a popular entry is only read.
    hits: u8,
    /// The stretch that it was last used in.
    used: Stretch,
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        // A table with room for all from the start would spread a few names over as many pages of memory, and the
        // processor would miss most of them. One that grows moves what it has under the lock: some 0.1 ms for a thousand
        // entries, a dozen times in a shard's life.
        let shard = || Inner {
            entries: LruCache::unbounded_with_hasher(BuildIdentity::default()),
            room: limits.entries.div_ceil(SHARDS).max(1),
            bytes: 0,
            stretch: Stretch(0),
            put: (0, 0),
        };
        let shards = (0..SHARDS).map(|_| Shard(Mutex::new(shard()))).collect();
        Self { shards, hasher: RandomState::default(), limits }
    }

    /// Looks `key` up; `read` runs under the shard's lock, so it must be short.
    #[inline]
    pub fn get<T>(&self, key: &[u8], now: Seconds, read: impl FnOnce(Found<'_>) -> T) -> Option<T> {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let stretch = shard.stretch;
        let Entry { block, life } = shard.entries.peek_mut(&hash).filter(|entry| entry.block.key() == key)?;
        let freshness = life.freshness(now, &self.limits)?;
        let age = now.0.saturating_sub(life.stored.0);
        let is_first_use = life.is_first_use_in(stretch);
        let result = read(Found { block, age, freshness });
        if is_first_use {
            shard.entries.promote(&hash);
        }
        Some(result)
    }

    /// Keeps `answer` under `key`, as learnt from `upstream`, if it may be kept; returns the block to answer with now.
    ///
    /// `None` for what cannot be an answer's block (see [`CachedResponse::new`]).
    pub fn learn(
        &self,
        key: &[u8],
        answer: &Response<'_>,
        upstream: UpstreamId,
        now: Seconds,
    ) -> Option<CachedResponse> {
        let limits = &self.limits;
        let bounds = if answer.is_negative() { limits.negative_ttl } else { limits.ttl };
        let is_failure = !matches!(u8::try_from(answer.rcode()), Ok(0 | 3));
        let lifetime = match answer.lifetime() {
            _ if answer.is_truncated() => None,
            _ if is_failure => Some(limits.failure_ttl),
            ttl => ttl.map(|ttl| bounds.apply(ttl)),
        };
        // TTL 0 is passed on as it came: raising it would tell the client to keep what is not to be kept.
        let bounds = if lifetime.is_some() { bounds } else { bounds.from_zero() };
        let block = CachedResponse::new(key, answer, bounds)?;
        if let Some(lifetime) = lifetime {
            // A failure never serves as a stale answer, and another upstream may do better: it is nobody's.
            self.put(block.clone(), lifetime, (!is_failure).then_some(upstream), now);
        }
        Some(block)
    }

    /// Remembers for `lifetime` seconds that `key` could not be answered (RFC 9520). Where an older answer still serves as
    /// a stale one it stays, and rests.
    pub fn learn_failure(&self, key: &[u8], lifetime: u32, now: Seconds) {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        if let Some(entry) = shard.entries.peek_mut(&hash).filter(|entry| entry.block.key() == key)
            && entry.life.freshness(now, &self.limits).is_some()
        {
            entry.life.ask_from = Seconds(now.0.saturating_add(STALE_TTL));
            return;
        }
        drop(shard);
        if let Some(block) = CachedResponse::failure(key) {
            self.put(block, lifetime, None, now);
        }
    }

    /// The answer under `key` that has ended but still serves where nothing better is to be had.
    #[must_use]
    pub fn stale(&self, key: &[u8], now: Seconds) -> Option<CachedResponse> {
        let is_stale = |found: Found<'_>| {
            matches!(found.freshness, Freshness::Stale | Freshness::StaleHold).then(|| found.block.clone())
        };
        self.get(key, now, is_stale).flatten()
    }

    fn put(&self, block: CachedResponse, lifetime: u32, upstream: Option<UpstreamId>, now: Seconds) {
        let ends = Seconds(now.0.saturating_add(lifetime));
        let upstream = upstream.map_or(NOBODY, |number| number.0);
        let early = match self.limits.prefetch && upstream != NOBODY {
            true => (lifetime / 10).max(1).min(lifetime), // a tenth of its life, or the last second of a short one
            false => 0,
        };
        let most = self.limits.bytes / SHARDS;
        let hash = self.hash(block.key());
        let mut shard = self.shard(hash);
        let used = shard.stretch;
        let life = Life { stored: now, ends, ask_from: Seconds(ends.0 - early), upstream, hits: 0, used };
        shard.remove(hash);
        if shard.entries.len() >= shard.room {
            shard.remove_oldest();
        }
        let cost = cost(&block);
        shard.bytes += cost;
        shard.entries.put(hash, Entry { block, life });
        while shard.bytes > most && shard.remove_oldest() {}
        shard.was_put(cost, most);
    }

    /// Drops what was learnt from upstreams that `stays` denies, and all failures: another upstream may do better.
    pub fn retain(&self, stays: impl Fn(UpstreamId) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
            let gone: Vec<u64> = shard
                .entries
                .iter()
                .filter(|(_, entry)| entry.life.upstream == NOBODY || !stays(UpstreamId(entry.life.upstream)))
                .map(|(hash, _)| *hash)
                .collect();
            for hash in gone {
                shard.remove(hash);
            }
        }
    }

    /// How many entries there are, dead ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().unwrap_or_else(PoisonError::into_inner).entries.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key); // without the length that `Hash` of a slice would add: a key tells its own
        hasher.finish()
    }

    #[inline]
    fn shard(&self, hash: u64) -> std::sync::MutexGuard<'_, Inner> {
        // Other bits than those that the table inside the shard uses.
        let index = usize::try_from(hash >> 40).unwrap_or(0) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS of them")]
        let shard = &self.shards[index];
        shard.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Counts what was put in; with an eighth of the room another stretch begins.
    fn was_put(&mut self, cost: usize, most: usize) {
        let (entries, bytes) = &mut self.put;
        *entries += 1;
        *bytes += cost;
        if *entries * STRETCHES >= self.room || *bytes * STRETCHES >= most {
            self.stretch = Stretch(self.stretch.0.wrapping_add(1));
            self.put = (0, 0);
        }
    }

    fn remove(&mut self, hash: u64) {
        if let Some(entry) = self.entries.pop(&hash) {
            self.bytes = self.bytes.saturating_sub(cost(&entry.block));
        }
    }

    fn remove_oldest(&mut self) -> bool {
        let Some((_, entry)) = self.entries.pop_lru() else { return false };
        self.bytes = self.bytes.saturating_sub(cost(&entry.block));
        true
    }
}

impl Life {
    /// Whether it has not been used in this stretch before: only then it takes its place among the most recently used. So
    /// what is in use is never among the seven eighths that go first, and what many ask for is mostly just read, by
    /// whichever worker.
    #[inline]
    fn is_first_use_in(&mut self, now: Stretch) -> bool {
        let is_first = self.used != now;
        if is_first {
            self.used = now;
        }
        is_first
    }

    /// `None` for an entry past all use.
    #[inline]
    fn freshness(&mut self, now: Seconds, limits: &Limits) -> Option<Freshness> {
        if now < self.ends {
            if self.hits <= POPULAR {
                self.hits += 1;
            }
            if now >= self.ask_from && self.hits > POPULAR {
                self.hits = 0;
                return Some(Freshness::Ending);
            }
            return Some(Freshness::Fresh);
        }
        let serves_stale = self.upstream != NOBODY && now.0 - self.ends.0 < limits.stale_max;
        match serves_stale {
            false => None,
            true if now < self.ask_from => Some(Freshness::StaleHold),
            true => Some(Freshness::Stale),
        }
    }
}

fn cost(block: &CachedResponse) -> usize {
    block.size() + OVERHEAD
}

#[cfg(test)]
mod tests;
