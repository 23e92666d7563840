//! The cache as bytes, for the process that comes after this one.
//!
//! Each entry has its age and what is left of its life, so that it does not matter when either process began. Failures
//! are left out: the next process may do better. Where the bytes are kept, and whether they are whole, is for others
//! ([`crate::handover`]).
//!
//! ```text
//! age 4 │ to its end 4 │ until it is asked for again 4 │ upstream 2 │ hits 1 │ size 4 │ block
//! ```
//!
//! Times are in seconds, and below zero where they have passed. Numbers are in the machine's own byte order, as in the
//! blocks.

use super::life::{Life, Past};
use super::{Cache, CachedResponse, Seconds, lock};
use crate::upstream::UpstreamId;

/// Bytes of an entry before its block.
const HEAD: usize = 19;

/// What becomes of the entries of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is asked as it was before, under this number.
    Asked(UpstreamId),
    /// It is not asked any more, or not in the same order: what it said serves only where no upstream answers, and that
    /// it knew nothing of a name is forgotten. It counts as said by this one.
    Outdated(UpstreamId),
}

impl Cache {
    /// Adds all entries to `out`, those used least recently first. Holds the lock of one shard at a time.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>, now: Seconds) {
        for shard in &self.shards {
            let shard = lock(shard);
            for (_, entry) in shard.entries.iter().rev() {
                let Some(past) = entry.life.past(now).filter(|_| entry.life.may_serve(now, &self.limits)) else {
                    continue;
                };
                let Ok(size) = u32::try_from(entry.block.size()) else { continue };
                out.extend_from_slice(&past.age.to_ne_bytes());
                out.extend_from_slice(&past.to_end.to_ne_bytes());
                out.extend_from_slice(&past.to_asking.to_ne_bytes());
                out.extend_from_slice(&past.upstream.0.to_ne_bytes());
                out.push(past.hits);
                out.extend_from_slice(&size.to_ne_bytes());
                out.extend_from_slice(entry.block.bytes());
            }
        }
    }

    /// Takes the entries of `bytes`, which [`Self::write_to`] wrote `elapsed` seconds ago, save those for which
    /// something newer is known. Returns their number; `None` where the bytes are cut, in which case those before that
    /// are taken.
    pub(crate) fn read_from(
        &self,
        mut bytes: &[u8],
        (now, elapsed): (Seconds, u32),
        standing: impl Fn(UpstreamId) -> Standing,
    ) -> Option<usize> {
        let mut count = 0;
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
            let &[a, b, c, d, e, f, g, h, i, j, k, l, u1, u2, hits, s1, s2, s3, s4] = head;
            let (block, rest) = rest.split_at_checked(usize::try_from(u32::from_ne_bytes([s1, s2, s3, s4])).ok()?)?;
            bytes = rest;
            let passed = i32::try_from(elapsed).unwrap_or(i32::MAX);
            let standing = standing(UpstreamId(u16::from_ne_bytes([u1, u2])));
            let (Standing::Asked(upstream) | Standing::Outdated(upstream)) = standing;
            let past = Past {
                age: u32::from_ne_bytes([a, b, c, d]).saturating_add(elapsed),
                to_end: i32::from_ne_bytes([e, f, g, h]).saturating_sub(passed),
                to_asking: i32::from_ne_bytes([i, j, k, l]).saturating_sub(passed),
                upstream,
                hits,
            };
            let block = CachedResponse::of_bytes(block);
            let is_outdated = matches!(standing, Standing::Outdated(_));
            if is_outdated && block.is_negative() {
                continue;
            }
            let hash = self.hash(block.key());
            let mut shard = self.shard(hash);
            let mut life = Life::of_past(past, now, shard.stretch);
            if is_outdated {
                life.end(now);
            }
            if life.may_serve(now, &self.limits) && shard.entry(hash, block.key()).is_none() {
                shard.put(hash, block, life, self.limits.bytes / super::SHARDS);
                count += 1;
            }
        }
        Some(count)
    }
}
