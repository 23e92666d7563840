//! Which connections are idle, in the order in which they became so: those that give way when there is no room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The idle connections of a listener.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    connections: BTreeMap<u64, Arc<Notify>>,
}

/// A connection's entry, for as long as it is idle.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    idle: &'a Idle,
    number: u64,
}

impl Idle {
    /// Enters a connection, which ends when `go` is notified.
    pub(super) fn enter(&self, go: &Arc<Notify>) -> Entry<'_> {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(number, Arc::clone(go));
        Entry { idle: self, number }
    }

    /// Tells the connection that is idle longest to end; false where none is idle.
    pub(super) fn end_oldest(&self) -> bool {
        let oldest = self.waiting().connections.pop_first();
        oldest.inspect(|(_, go)| go.notify_one()).is_some()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.idle.waiting().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(go: &Notify) -> bool {
        use futures_util::FutureExt;
        go.notified().now_or_never().is_some()
    }

    #[test]
    fn the_one_idle_longest_goes_first() {
        let idle = Idle::default();
        let [one, two, three]: [Arc<Notify>; 3] = Default::default();
        let first = idle.enter(&one);
        let _two = idle.enter(&two);
        let _three = idle.enter(&three);
        drop(first); // busy
        let _first = idle.enter(&one);
        assert!(idle.end_oldest());
        assert_eq!([told(&one), told(&two), told(&three)], [false, true, false]);
    }

    #[test]
    fn where_none_is_idle_none_goes() {
        let idle = Idle::default();
        let go = Arc::default();
        drop(idle.enter(&go));
        assert!(!idle.end_oldest());
        assert!(!told(&go));
    }
}
