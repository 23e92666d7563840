//! The cache: one for all threads, bounded in entries and bytes, least recently used goes first.
//!
//! Keys are spread over shards, each behind a lock of its own that is held for a lookup and never across a system call.
//! What an answer is and how long it may live is read in [`crate::wire::response`]; what is remembered of it, and what
//! it may replace, stands in `learn`; when it is worth refreshing, and how long after its end it still serves when no
//! upstream answers (RFC 8767), in `life`; how all goes to the next process, in `snapshot`. Time is [`Seconds`] since
//! the process began or earlier, handed in.

mod cached_response;
mod learn;
mod life;
mod settings;
mod snapshot;
mod ttl;

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::SeedableRandomState;
use lru::LruCache;

pub use cached_response::CachedResponse;
pub(crate) use cached_response::View;
pub use learn::Origin;
pub(crate) use life::Freshness;
pub use life::STALE_TTL;
pub(crate) use settings::Settings;
pub(crate) use snapshot::Standing;
pub use ttl::TtlBounds;

use crate::hash::BuildIdentity;
use crate::upstream::UpstreamId;
use crate::wire::query::name_of;
use life::Life;

/// Bytes that an entry costs beside its block: list node, table slot, the allocator's own.
const OVERHEAD: usize = 120;
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

/// An entry, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peeked {
    /// The response code, without the upper bits of EDNS.
    pub(crate) rcode: u8,
    /// Records in the answer section.
    pub(crate) answers: u16,
    /// Seconds since it was stored.
    pub(crate) age: u32,
    /// Seconds to its end; below zero once it has ended.
    pub(crate) left: i64,
    /// Who said it; none for a failure that is remembered.
    pub(crate) upstream: Option<UpstreamId>,
    /// Whether any client may still get it.
    pub(crate) may_serve: bool,
}

/// What is used of a cache's room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Entries, dead ones included.
    pub(crate) entries: usize,
    /// Bytes, the cache's own overhead included.
    pub(crate) bytes: usize,
    /// Entries that there may be.
    pub(crate) limit_entries: usize,
    /// Bytes that there may be.
    pub(crate) limit_bytes: usize,
}

/// The cache. See the module.
#[derive(Debug)]
pub struct Cache {
    shards: Box<[Shard]>,
    hasher: SeedableRandomState,
    limits: Limits,
    /// Whether anything was kept since [`Cache::take_news`] was called last.
    has_news: AtomicBool,
}

/// On cache lines of its own, so that threads on different shards do not slow each other.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Inner>);

/// Entries are found by the hash of their key, which is taken once and picks the shard, too. Should two keys ever have
/// the same hash, the later one takes the place of the earlier.
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

/// Number of stretches in a turn, in which about as much is put in as there is room for.
const STRETCHES: usize = 8;

/// A stretch of a shard's life. It ends when the entries put in since it began take an eighth of the shard's room, by
/// number or by bytes. The stretches of 32 turns can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch(u8);

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        // A table with room for all from the start would spread a few names over a page of memory each, and the
        // processor would miss most of them. One that grows moves what it has under the lock: some 0.1 ms for a
        // thousand entries, a dozen times in a shard's life.
        let shard = || Inner {
            entries: LruCache::unbounded_with_hasher(BuildIdentity::default()),
            room: limits.entries.div_ceil(SHARDS).max(1),
            bytes: 0,
            stretch: Stretch(0),
            put: (0, 0),
        };
        let shards = (0..SHARDS).map(|_| Shard(Mutex::new(shard()))).collect();
        Self { shards, hasher: SeedableRandomState::random(), limits, has_news: AtomicBool::new(false) }
    }

    /// Looks `key` up; `read` runs under the shard's lock, so it must be short.
    #[inline]
    pub fn get<T>(&self, key: &[u8], now: Seconds, read: impl FnOnce(Found<'_>) -> T) -> Option<T> {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let stretch = shard.stretch;
        let Entry { block, life } = shard.entries.peek_mut(&hash).filter(|entry| entry.block.key() == key)?;
        let freshness = life.use_at(now, &self.limits)?;
        let age = now.0.saturating_sub(life.stored.0);
        let is_first_use = life.is_first_use_in(stretch);
        let result = read(Found { block, age, freshness });
        if is_first_use {
            shard.entries.promote(&hash);
        }
        Some(result)
    }

    /// Returns the answer under `key` that lives, with its age, or else that may be served stale, with `None`. Not a
    /// failure.
    #[must_use]
    pub fn fallback(&self, key: &[u8], now: Seconds) -> Option<(CachedResponse, Option<u32>)> {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let Entry { block, life } = shard.entry(hash, key).filter(|entry| entry.life.may_serve(now, &self.limits))?;
        let age = (life.rest(now) > 0).then(|| now.0.saturating_sub(life.stored.0));
        Some((block.clone(), age))
    }

    /// Returns whether anything was kept since this was called last.
    pub(crate) fn take_news(&self) -> bool {
        self.has_news.swap(false, Ordering::Relaxed)
    }

    /// Returns what there is under `key`, for people: it does not count as a use.
    #[must_use]
    pub(crate) fn peek(&self, key: &[u8], now: Seconds) -> Option<Peeked> {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let Entry { block, life } = shard.entry(hash, key)?;
        let view = block.parts();
        Some(Peeked {
            rcode: view.rcode(),
            answers: u16::from_be_bytes([view.counts[0], view.counts[1]]),
            age: now.0.saturating_sub(life.stored.0),
            left: life.left(now),
            upstream: life.upstream(),
            may_serve: life.left(now) > 0 || life.may_serve(now, &self.limits),
        })
    }

    /// Returns what is used of the cache's room.
    #[must_use]
    pub(crate) fn usage(&self) -> Usage {
        let Limits { entries: limit_entries, bytes: limit_bytes, .. } = self.limits;
        let mut usage = Usage { entries: 0, bytes: 0, limit_entries, limit_bytes };
        for shard in self.shards.iter().map(lock) {
            usage.entries += shard.entries.len();
            usage.bytes += shard.bytes;
        }
        usage
    }

    /// Forgets the entries whose names (lower-cased wire form) are `meant`. Holds the lock of one shard at a time.
    /// Returns their number.
    pub(crate) fn flush(&self, meant: impl Fn(&[u8]) -> bool) -> usize {
        let mut count = 0;
        for mut shard in self.shards.iter().map(lock) {
            let entries = shard.entries.iter();
            let found = entries.filter(|(_, entry)| meant(name_of(entry.block.key()))).map(|(hash, _)| *hash);
            let found: Vec<u64> = found.collect();
            count += found.len();
            found.into_iter().for_each(|hash| shard.remove(hash));
        }
        self.has_news.store(true, Ordering::Relaxed);
        count
    }

    /// How many entries there are, dead ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
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
    fn shard(&self, hash: u64) -> MutexGuard<'_, Inner> {
        let index = shard_of(hash);
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS of them")]
        let shard = &self.shards[index];
        lock(shard)
    }
}

/// The place of a key's shard. All bits of the hash have a say in it: with some seeds any six of them alone are uneven,
/// and one process in a thousand had a shard that was full while the cache was a quarter full.
#[inline]
fn shard_of(hash: u64) -> usize {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15; // of 2^64: multiplied by it, what differs below differs at the top, too
    let index = hash.wrapping_mul(GOLDEN_RATIO) >> (u64::BITS - SHARDS.ilog2());
    usize::try_from(index).unwrap_or(0)
}

#[inline]
fn lock(shard: &Shard) -> MutexGuard<'_, Inner> {
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// The entry of `key`, whose hash this is; it is not counted as used.
    fn entry(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        self.entries.peek_mut(&hash).filter(|entry| entry.block.key() == key)
    }

    /// Puts a block in the place of what has its hash; `most` are the bytes that the shard may have.
    fn put(&mut self, hash: u64, block: CachedResponse, life: Life, most: usize) {
        self.remove(hash);
        if self.entries.len() >= self.room {
            self.remove_oldest();
        }
        let cost = cost(&block);
        self.bytes += cost;
        self.entries.put(hash, Entry { block, life });
        while self.bytes > most && self.remove_oldest() {}
        self.was_put(cost, most);
    }

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

fn cost(block: &CachedResponse) -> usize {
    block.size() + OVERHEAD
}

#[cfg(test)]
pub(crate) mod tests;
