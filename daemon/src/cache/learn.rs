//! What is remembered of a response, and what it may replace.
//!
//! A newer truth ends the older one, also where it may not be kept itself: else a removed address would come back in
//! the next outage (RFC 8767, section 4). A failure is no truth: it replaces nothing that lives or may be served stale.
//! Nor does a shorter rest of the same, as a cache behind us gives it when it is asked early.

use std::sync::atomic::Ordering;

use super::life::Life;
use super::{Cache, CachedResponse, Limits, Seconds, name_of};
use crate::upstream::{UpstreamId, Worth};
use crate::wire::Response;

/// Whom a response came from, and what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The upstream.
    pub upstream: UpstreamId,
    /// Maximum time that it is remembered, in seconds, where an upstream that comes before this one could still say
    /// otherwise. A negative response of this kind replaces no positive one that may be served stale.
    pub provisional: Option<u32>,
}

/// What a response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Positive,
    Negative,
    Failure,
}

/// A response that may be kept.
struct Learnt {
    block: CachedResponse,
    kind: Kind,
    lifetime: u32,
    origin: Origin,
}

impl Kind {
    fn of(answer: &Response<'_>) -> Self {
        match u8::try_from(answer.rcode()) {
            Ok(0 | 3) if answer.is_negative() => Self::Negative,
            Ok(0 | 3) => Self::Positive,
            _ => Self::Failure,
        }
    }

    /// Of what is remembered and is no failure.
    fn of_kept(block: &CachedResponse) -> Self {
        if block.is_negative() { Self::Negative } else { Self::Positive }
    }
}

impl Learnt {
    /// Whether the older entry stays in its place.
    fn yields_to(&self, older: (&CachedResponse, &Life), limits: &Limits, now: Seconds) -> bool {
        let (block, life) = older;
        if !life.may_serve(now, limits) {
            return false;
        }
        let kind = Kind::of_kept(block);
        match self.kind {
            Kind::Failure => true,
            Kind::Negative if self.origin.provisional.is_some() && kind == Kind::Positive => true,
            Kind::Negative | Kind::Positive => kind == self.kind && self.lifetime <= life.rest(now),
        }
    }
}

impl Cache {
    /// Keeps `answer` under `key` if it may be kept and is worth more than what is there; returns the block to answer
    /// with now.
    ///
    /// `None` for what cannot be an answer's block (see [`CachedResponse::new`]).
    pub fn learn(&self, key: &[u8], answer: &Response<'_>, origin: Origin, now: Seconds) -> Option<CachedResponse> {
        let (limits, kind) = (&self.limits, Kind::of(answer));
        let bounds = if kind == Kind::Negative { limits.negative_ttl } else { limits.ttl };
        let bounds = origin.provisional.map_or(bounds, |most| bounds.at_most(most));
        let lifetime = match answer.lifetime() {
            _ if answer.is_truncated() => None,
            _ if kind == Kind::Failure => Some(limits.failure_ttl),
            ttl => ttl.map(|ttl| bounds.apply(ttl)),
        };
        // TTL 0 is passed on as it came: raising it would tell the client to keep what is not to be kept.
        let bounds = if lifetime.is_some() { bounds } else { bounds.from_zero() };
        let block = CachedResponse::new(key, answer, bounds)?;
        match lifetime {
            Some(lifetime) => self.keep(Learnt { block: block.clone(), kind, lifetime, origin }, now),
            None if answer.is_truncated() || kind == Kind::Failure || origin.provisional.is_some() => {}
            None => self.forget(key),
        }
        Some(block)
    }

    fn keep(&self, learnt: Learnt, now: Seconds) {
        let hash = self.hash(learnt.block.key());
        let mut shard = self.shard(hash);
        if let Some(older) = shard.entry(hash, learnt.block.key())
            && learnt.yields_to((&older.block, &older.life), &self.limits, now)
        {
            return older.life.hold(now);
        }
        // A failure never serves as a stale answer, and another upstream may do better: it is nobody's.
        let upstream = (learnt.kind != Kind::Failure).then_some(learnt.origin.upstream);
        let life = Life::new(learnt.lifetime, upstream, &self.limits, (now, shard.stretch));
        shard.put(hash, learnt.block, life, self.limits.bytes / super::SHARDS);
        drop(shard);
        // Read first: a line that all threads write to is a slow one.
        if !self.has_news.load(Ordering::Relaxed) {
            self.has_news.store(true, Ordering::Relaxed);
        }
    }

    /// Remembers for `lifetime` seconds that `key` could not be answered (RFC 9520). Where an older answer lives it
    /// stays; where it may be served stale, it is served at once for a while.
    pub fn learn_failure(&self, key: &[u8], lifetime: u32, now: Seconds) {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        if let Some(older) = shard.entry(hash, key)
            && older.life.may_serve(now, &self.limits)
        {
            return older.life.hold(now);
        }
        if let Some(block) = CachedResponse::failure(key) {
            let life = Life::new(lifetime, None, &self.limits, (now, shard.stretch));
            shard.put(hash, block, life, self.limits.bytes / super::SHARDS);
        }
    }

    /// Notes that the answer under `key` could not be renewed in time: where it may be served stale, it is served at
    /// once for a while. Remembers nothing else.
    pub fn hold_stale(&self, key: &[u8], now: Seconds) {
        let hash = self.hash(key);
        if let Some(older) = self.shard(hash).entry(hash, key) {
            older.life.hold(now);
        }
    }

    /// Forgets what is under `key`.
    fn forget(&self, key: &[u8]) {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        if shard.entry(hash, key).is_some() {
            shard.remove(hash);
        }
    }

    /// Forgets what is under `key`, if an upstream told it for which `is_outdated` holds.
    pub fn forget_answer(&self, key: &[u8], is_outdated: impl Fn(UpstreamId) -> bool) {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        if shard.entry(hash, key).and_then(|entry| entry.life.upstream()).is_some_and(is_outdated) {
            shard.remove(hash);
        }
    }

    /// Takes note of what each entry is `worth` now, by its name (lower-cased wire form) and its upstream. Positive
    /// answers that are better than nothing end now, and serve only where no upstream answers; that nothing is known of
    /// a name is forgotten then, as are all failures: another upstream may do better.
    pub(crate) fn change_upstreams(&self, worth: impl Fn(&[u8], UpstreamId) -> Worth, now: Seconds) {
        for shard in &self.shards {
            let mut shard = super::lock(shard);
            let mut gone = Vec::new();
            for (hash, entry) in shard.entries.iter_mut() {
                let worth = entry.life.upstream().map(|upstream| worth(name_of(entry.block.key()), upstream));
                match worth {
                    Some(Worth::Unchanged) => {}
                    Some(Worth::BetterThanNothing) if !entry.block.is_negative() => entry.life.end(now),
                    Some(_) | None => gone.push(*hash),
                }
            }
            for hash in gone {
                shard.remove(hash);
            }
        }
    }
}
