//! A limit for lines that a stranger can trigger.

use std::time::{Duration, Instant};

/// Lets so many through in each stretch of time, and counts the rest.
///
/// A stretch begins with the first line after the last one ended, so that at most twice as many pass in any such time.
#[derive(Debug, Clone)]
pub struct Limiter {
    most: u32,
    per: Duration,
    began: Option<Instant>,
    passed: u32,
    suppressed: u64,
}

impl Limiter {
    /// At most `most` in each stretch of length `per`.
    #[must_use]
    pub const fn new(most: u32, per: Duration) -> Self {
        Self { most, per, began: None, passed: 0, suppressed: 0 }
    }

    /// Whether a line may be written now; if so, how many were not since the last one that was.
    pub fn allow(&mut self, now: Instant) -> Option<u64> {
        let running = self.began.is_some_and(|began| now.saturating_duration_since(began) < self.per);
        if !running {
            self.began = Some(now);
            self.passed = 0;
        }
        if self.passed >= self.most {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_in_each_stretch_and_the_rest_is_counted() {
        let start = crate::clock::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut limiter = Limiter::new(2, Duration::from_secs(1));
        let told: Vec<_> = [0, 1, 2, 999, 1000, 1001, 1002, 9000].map(|millis| limiter.allow(at(millis))).into();
        assert_eq!(told, [Some(0), Some(0), None, None, Some(2), Some(0), None, Some(1)]);
    }

    #[test]
    fn a_limit_of_none_lets_none_through() {
        let now = crate::clock::now();
        let mut limiter = Limiter::new(0, Duration::from_secs(1));
        assert_eq!(limiter.allow(now), None);
        assert_eq!(limiter.allow(now + Duration::from_secs(2)), None);
    }
}
