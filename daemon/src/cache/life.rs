//! How long an entry is of use: when it lives, when it is worth asking for again, and how it serves after its end.
//!
//! A popular entry is asked for again once before its end, if its life is long enough to be worth that. After its end
//! it serves as a stale one (RFC 8767): at first only where no upstream answers. When that has been found out, queries
//! get it at once, and every few seconds one of them has the upstreams asked in the background, so that it ends soon
//! after they are back.

use super::{Limits, Seconds, Stretch};
use crate::upstream::UpstreamId;

/// TTL that a stale answer is served with, in seconds (RFC 8767, section 4).
pub const STALE_TTL: u32 = 30;
/// Time between two background tries to renew a stale answer that is being served, in seconds.
const RETRY: u32 = 3;
/// Time after a failed try for which a stale answer is served at once, in seconds. Later ones wait for an upstream
/// first.
const FAILING: u32 = 30;
/// Minimum lifetime of an entry that is asked for before its end, in seconds. What lives for less would be asked for as
/// often as without.
const REFRESH_MIN: u32 = 10;
/// Number of uses from which on an entry is worth asking for before it ends.
const POPULAR: u8 = 3;
/// What no upstream said. A number that an upstream could have in theory: it would only lose its stale answers.
const NOBODY: u16 = u16::MAX;

/// Whether an entry may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It lives.
    Fresh,
    /// It lives, is popular and will soon end: use it, and ask again. Found once in the life of an entry.
    Ending,
    /// It has ended and a try to renew it failed a moment ago: use it as a stale answer, ask no upstream.
    StaleHold,
    /// The same, some seconds ago: use it as a stale answer, and ask again in the background.
    StaleRetry,
    /// It has ended: ask; use it only where no upstream answers.
    Stale,
}

/// Kept small, since there is one for each entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) stored: Seconds,
    ends: Seconds,
    /// When it is worth asking for again. While it lives: at its end, where it is not to be refreshed or was. Once it
    /// has ended: later than its end, where a try to renew it has failed.
    ask_from: Seconds,
    /// The number of the upstream that it was learnt from, or [`NOBODY`].
    upstream: u16,
    /// Counted up to where it is popular and no further, so that a popular entry is only read.
    hits: u8,
    /// The stretch that it was last used in.
    pub(super) used: Stretch,
}

/// A life as it is told from one process to another, whose seconds begin at different times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    /// Seconds since it began.
    pub(super) age: u32,
    /// Seconds to its end; below zero once it has ended.
    pub(super) to_end: i32,
    /// Seconds until it is worth asking for again, likewise.
    pub(super) to_asking: i32,
    pub(super) upstream: UpstreamId,
    pub(super) hits: u8,
}

impl Life {
    /// Returns what is told of it; `None` for a failure.
    pub(super) fn past(&self, now: Seconds) -> Option<Past> {
        let from_now = |at: Seconds| i32::try_from(i64::from(at.0) - i64::from(now.0)).ok();
        Some(Past {
            age: now.0.saturating_sub(self.stored.0),
            to_end: from_now(self.ends)?,
            to_asking: from_now(self.ask_from)?,
            upstream: self.upstream()?,
            hits: self.hits,
        })
    }

    /// Takes up a life that began in another process.
    pub(super) fn of_past(past: Past, now: Seconds, used: Stretch) -> Self {
        let at = |from_now: i32| Seconds(now.0.saturating_add_signed(from_now));
        let Past { age, to_end, to_asking, upstream, hits } = past;
        let stored = Seconds(now.0.saturating_sub(age));
        Self { stored, ends: at(to_end), ask_from: at(to_asking), upstream: upstream.0, hits, used }
    }

    /// Begins a life of `lifetime` seconds; `upstream` is `None` for a failure.
    pub(super) fn new(
        lifetime: u32,
        upstream: Option<UpstreamId>,
        limits: &Limits,
        (now, used): (Seconds, Stretch),
    ) -> Self {
        let ends = Seconds(now.0.saturating_add(lifetime));
        let is_refreshed = limits.prefetch && upstream.is_some() && lifetime >= REFRESH_MIN;
        let early = if is_refreshed { lifetime / 10 } else { 0 };
        let upstream = upstream.map_or(NOBODY, |id| id.0);
        Self { stored: now, ends, ask_from: Seconds(ends.0 - early), upstream, hits: 0, used }
    }

    /// Counts a use. `None` for an entry past all use.
    #[inline]
    pub(super) fn use_at(&mut self, now: Seconds, limits: &Limits) -> Option<Freshness> {
        if now < self.ends {
            if self.hits <= POPULAR {
                self.hits += 1;
            }
            if now >= self.ask_from && self.hits > POPULAR {
                self.ask_from = self.ends;
                return Some(Freshness::Ending);
            }
            return Some(Freshness::Fresh);
        }
        if !self.may_serve(now, limits) {
            return None;
        }
        if now < self.ask_from {
            return Some(Freshness::StaleHold);
        }
        let is_failing = self.ask_from > self.ends && now.0 - self.ask_from.0 < FAILING - RETRY;
        if is_failing {
            self.hold(now);
            return Some(Freshness::StaleRetry);
        }
        Some(Freshness::Stale)
    }

    /// Notes that a try to renew it failed: a stale answer is served at once for a while. No-op while it lives.
    pub(super) fn hold(&mut self, now: Seconds) {
        if now >= self.ends {
            self.ask_from = Seconds(now.0.saturating_add(RETRY));
        }
    }

    /// Ends it now, if it lives; it serves as a stale answer from then on.
    pub(super) fn end(&mut self, now: Seconds) {
        self.ends = self.ends.min(now);
        self.ask_from = self.ask_from.min(self.ends);
    }

    /// Seconds to its end; below zero once it has ended.
    pub(super) fn left(&self, now: Seconds) -> i64 {
        i64::from(self.ends.0) - i64::from(now.0)
    }

    /// How long it still lives, in seconds.
    pub(super) fn rest(&self, now: Seconds) -> u32 {
        self.ends.0.saturating_sub(now.0)
    }

    /// Whether it holds what an upstream answered, which lives or may be served stale.
    pub(super) fn may_serve(&self, now: Seconds, limits: &Limits) -> bool {
        self.upstream != NOBODY && (now < self.ends || now.0 - self.ends.0 < limits.stale_max)
    }

    /// The upstream that it was learnt from; `None` for a failure.
    pub(super) fn upstream(&self) -> Option<UpstreamId> {
        (self.upstream != NOBODY).then_some(UpstreamId(self.upstream))
    }

    /// Whether it has not been used in this stretch before: only then it takes its place among the most recently used.
    /// So what is in use is never among the seven eighths that go first, and what many ask for is mostly just read, by
    /// whichever worker.
    #[inline]
    pub(super) fn is_first_use_in(&mut self, now: Stretch) -> bool {
        let is_first = self.used != now;
        if is_first {
            self.used = now;
        }
        is_first
    }
}
