//! The only place that reads the clock; everything else takes `now` as an argument. And how a task waits for a time.

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// The monotonic time, for deadlines, timers and ages.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time since the machine was booted, in which it may have been suspended (`CLOCK_BOOTTIME`, clock_gettime(2)).
/// Unlike the others it is the same for all processes.
#[must_use]
pub(crate) fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default() // every Linux has it
}

/// The time of day, for what is shown to people or kept on disk.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Waits until then; for ever, where it is never.
pub(crate) async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
