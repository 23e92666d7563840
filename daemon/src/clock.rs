//! The only place that reads the clock; everything else takes `now` as an argument.

use std::time::{Instant, SystemTime};

/// The monotonic time, for deadlines, timers and ages.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day, for what is shown to people or kept on disk.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
