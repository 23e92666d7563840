//! What happens, for people who watch: the latest events, in a ring that workers write to and watchers read from.
//!
//! While nobody watches, an event costs a worker one load and one branch. While a client does, a worker that finds the
//! ring locked drops its event rather than wait, and what comes faster than it is read is overwritten: a watcher is
//! told the number of events that it missed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::upstream::{Transport, UpstreamId};

/// Maximum number of events in the ring: at ten looks a second, 40,000 a second are seen whole.
const EVENTS: usize = 4096;

/// The ring.
#[derive(Debug, Default)]
pub struct Monitor {
    watchers: AtomicUsize,
    /// Events that found the ring locked.
    dropped: AtomicU64,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    latest: VecDeque<Arc<Seen>>,
    /// The number of events that were ever put in.
    count: u64,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub what: What,
    /// What was asked for: a question section's bytes, in any spelling.
    pub question: Box<[u8]>,
    /// Who asked; none where Onward did by itself, and for what happens between it and upstreams.
    pub client: Option<SocketAddr>,
    /// Over what.
    pub transport: Transport,
    /// Who was asked, or said this.
    pub upstream: Option<UpstreamId>,
    /// How long it took; none where it took no time worth telling.
    pub took: Option<Duration>,
    /// The response code, without the upper bits of EDNS; none where there is no response.
    pub rcode: Option<u8>,
    /// The first extended error (RFC 8914), where there is any.
    pub error: Option<u16>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A client got what was in the cache.
    Hit,
    /// A client got what had ended.
    Stale,
    /// A client got what an upstream said, or a failure.
    Miss,
    /// Onward answered by itself.
    Own,
    /// A lookup without a client ended.
    Refresh,
    /// An upstream was asked.
    Sent,
    /// It responded.
    Heard,
    /// It did not until the lookup ended.
    Silent,
}

/// Reads the ring from the moment on at which it was made.
#[derive(Debug)]
pub struct Watch {
    monitor: Arc<Monitor>,
    /// The number of events that were put in before the next one to be read, and of those that were dropped.
    read: u64,
    dropped: u64,
}

impl Monitor {
    /// Whether anyone watches.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Takes an event. A no-op while nobody watches.
    #[cold]
    pub fn put(&self, seen: Seen) {
        if !self.is_on() {
            return;
        }
        let Ok(mut ring) = self.ring.try_lock() else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if ring.latest.len() >= EVENTS {
            ring.latest.pop_front();
        }
        ring.latest.push_back(Arc::new(seen));
        ring.count += 1;
    }

    /// Begins to watch.
    #[must_use]
    pub fn watch(self: &Arc<Self>) -> Watch {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        let read = self.ring.lock().unwrap_or_else(PoisonError::into_inner).count;
        Watch { monitor: Arc::clone(self), read, dropped: self.dropped.load(Ordering::Relaxed) }
    }
}

impl Watch {
    /// Returns the events since the last call, and the number of those that are missing among them.
    pub fn take(&mut self) -> (Vec<Arc<Seen>>, u64) {
        let ring = self.monitor.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = ring.count.saturating_sub(self.read);
        let there = usize::try_from(fresh).unwrap_or(usize::MAX).min(ring.latest.len());
        let events = ring.latest.range(ring.latest.len() - there..).cloned().collect();
        self.read = ring.count;
        drop(ring);
        let dropped = self.monitor.dropped.load(Ordering::Relaxed);
        let missed = fresh - u64::try_from(there).unwrap_or(fresh) + dropped.saturating_sub(self.dropped);
        self.dropped = dropped;
        (events, missed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.monitor.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The last one takes the memory along.
            self.monitor.ring.lock().unwrap_or_else(PoisonError::into_inner).latest = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u16) -> Seen {
        Seen {
            at: crate::clock::now(),
            what: What::Hit,
            question: [0].into(),
            client: None,
            transport: Transport::Udp,
            upstream: Some(UpstreamId(number)),
            took: None,
            rcode: Some(0),
            error: None,
        }
    }

    fn numbers(events: &[Arc<Seen>]) -> Vec<u16> {
        events.iter().filter_map(|seen| seen.upstream).map(|upstream| upstream.0).collect()
    }

    #[test]
    fn each_watcher_sees_what_happens_while_it_watches() {
        let monitor = Arc::new(Monitor::default());
        monitor.put(seen(1));
        let mut first = monitor.watch();
        monitor.put(seen(2));
        let mut second = monitor.watch();
        monitor.put(seen(3));
        assert_eq!((numbers(&first.take().0), numbers(&second.take().0)), (vec![2, 3], vec![3]));
        assert_eq!(first.take(), (vec![], 0));
        drop((first, second));
        assert!(!monitor.is_on() && monitor.ring.lock().unwrap().latest.is_empty());
    }

    #[test]
    fn what_is_overwritten_or_finds_the_ring_locked_is_told_as_missed() {
        let monitor = Arc::new(Monitor::default());
        let mut watch = monitor.watch();
        (0..5_000).for_each(|number| monitor.put(seen(number)));
        let (events, missed) = watch.take();
        assert_eq!((events.len(), missed), (4_096, 904));
        assert_eq!(numbers(&events).last(), Some(&4_999));
        let locked = monitor.ring.lock().unwrap();
        monitor.put(seen(1)); // returns at once
        drop(locked);
        assert_eq!(watch.take(), (vec![], 1));
    }
}
