//! What can be set of the cache.

use std::time::Duration;

use super::{Limits, TtlBounds};

/// What is remembered, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Bytes of all entries together; 1 MiB to 16 GiB.
    pub max_bytes: u64,
    /// Number of entries; 1,000 to 10,000,000.
    pub max_entries: usize,
    /// An answer lives at least as long; 0 to 1 hour. An answer with TTL 0 is not reused all the same.
    pub ttl_min: Duration,
    /// An answer lives at most as long; 1 minute to 7 days.
    pub ttl_max: Duration,
    /// A negative answer lives at most as long; 0 to 1 day (RFC 2308, section 5).
    pub negative_ttl_max: Duration,
    /// How long a failure is remembered; 1 second to 5 minutes (RFC 9520, section 3.2).
    pub failure_ttl: Duration,
    /// For how long after its end an answer may still be served; 0 (never) to 7 days (RFC 8767, section 4).
    pub stale_max: Duration,
    /// Whether popular entries are looked up again before they end.
    pub prefetch: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: 32 << 20,
            max_entries: 200_000,
            ttl_min: Duration::ZERO,
            ttl_max: Duration::from_secs(86_400),
            negative_ttl_max: Duration::from_secs(3 * 3600),
            failure_ttl: Duration::from_secs(5),
            stale_max: Duration::from_secs(86_400),
            prefetch: true,
        }
    }
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        let (ttl_min, ttl_max) = (seconds(settings.ttl_min), seconds(settings.ttl_max));
        Self {
            entries: settings.max_entries,
            bytes: usize::try_from(settings.max_bytes).unwrap_or(usize::MAX),
            ttl: TtlBounds::new(ttl_min, ttl_max),
            negative_ttl: TtlBounds::new(ttl_min, ttl_max.min(seconds(settings.negative_ttl_max))),
            failure_ttl: seconds(settings.failure_ttl),
            stale_max: seconds(settings.stale_max),
            prefetch: settings.prefetch,
        }
    }
}

#[cfg(test)]
mod tests;
