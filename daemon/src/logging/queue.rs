//! The records between those who log and the one who writes: bounded, never a wait for the one who logs.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::Owned;

/// A bounded queue with one taker.
#[derive(Debug)]
pub(super) struct Queue {
    most: usize,
    state: Mutex<State>,
    /// Rung when a record has come.
    arrived: Condvar,
    /// Rung when nothing is left to write.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Owned>,
    /// Records dropped since this was last told.
    lost: u64,
    /// Whether the taker still has a record in hand.
    writing: bool,
}

impl State {
    fn is_busy(&self) -> bool {
        self.writing || !self.records.is_empty()
    }
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self { most, state: Mutex::default(), arrived: Condvar::new(), idle: Condvar::new() }
    }

    /// Adds a record, or counts it as lost where there is no room.
    pub(super) fn put(&self, record: Owned) {
        let mut state = self.lock();
        if state.records.len() >= self.most {
            state.lost = state.lost.saturating_add(1);
            return;
        }
        state.records.push_back(record);
        drop(state);
        self.arrived.notify_one();
    }

    /// Waits for the next record; with it, how many were lost since the last time. To be followed by
    /// [`Queue::written`].
    pub(super) fn take(&self) -> (Owned, u64) {
        let mut state = self.lock();
        loop {
            if let Some(record) = state.records.pop_front() {
                state.writing = true;
                return (record, std::mem::take(&mut state.lost));
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The record that was taken is written.
    pub(super) fn written(&self) {
        let mut state = self.lock();
        state.writing = false;
        if !state.is_busy() {
            self.idle.notify_all();
        }
    }

    /// Waits until everything is written, but not for longer than this. Says whether it is.
    pub(super) fn wait_until_written(&self, patience: Duration) -> bool {
        let waited = self.idle.wait_timeout_while(self.lock(), patience, |state| state.is_busy());
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_busy()
    }

    /// A thread that died with the lock leaves a queue that is still whole: each change is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> Owned {
        Owned {
            level: log::Level::Info,
            target: "onward".into(),
            message: message.to_owned(),
            fields: Vec::new(),
            event: None,
        }
    }

    #[test]
    fn a_full_queue_drops_and_tells_how_many() {
        let queue = Queue::new(2);
        for message in ["a", "b", "c", "d"] {
            queue.put(record(message));
        }
        assert_eq!(queue.take(), (record("a"), 2));
        queue.put(record("e"));
        assert_eq!(queue.take(), (record("b"), 0));
        assert_eq!(queue.take(), (record("e"), 0));
    }

    #[test]
    fn what_is_taken_counts_until_it_is_written() {
        let queue = Queue::new(2);
        assert!(queue.wait_until_written(Duration::ZERO));
        queue.put(record("a"));
        assert!(!queue.wait_until_written(Duration::ZERO));
        queue.take();
        assert!(!queue.wait_until_written(Duration::ZERO));
        queue.written();
        assert!(queue.wait_until_written(Duration::ZERO));
    }

    #[test]
    fn the_end_waits_for_a_writer_that_is_at_work() {
        let queue = Queue::new(64);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..64 {
                    queue.take();
                    queue.written();
                }
            });
            for _ in 0..64 {
                queue.put(record("a"));
            }
            assert!(queue.wait_until_written(Duration::from_secs(60)));
        });
    }
}
