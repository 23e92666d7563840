//! Queries that came back and were refused a moment ago, though no lookup is under way for them: hops resend. Bounded;
//! costs one look at a number while there are none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::wire::QuestionKey;

/// Maximum number of refused queries that are remembered, the latest ones.
const REFUSED_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct RecentlyRefused {
    /// Time for which a refused query is remembered.
    span: Duration,
    refused: Mutex<VecDeque<(QuestionKey, Instant)>>,
    count: AtomicUsize,
}

impl RecentlyRefused {
    pub(super) fn lasting(span: Duration) -> Self {
        Self { span, refused: Mutex::default(), count: AtomicUsize::new(0) }
    }

    pub(super) fn keep(&self, key: QuestionKey, now: Instant) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|(one, _)| *one != key);
        refused.truncate(REFUSED_MAX - 1);
        refused.push_front((key, now));
        self.count.store(refused.len(), Ordering::Relaxed);
    }

    pub(super) fn has(&self, key: &[u8], now: Instant) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        while refused.back().is_some_and(|(_, at)| now.saturating_duration_since(*at) >= self.span) {
            refused.pop_back();
        }
        self.count.store(refused.len(), Ordering::Relaxed);
        refused.iter().any(|(one, _)| one.bytes() == key)
    }
}
