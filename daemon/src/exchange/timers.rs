//! When each lookup is to be looked at again. Pure.
//!
//! A heap of times. Nothing is taken out of the middle: a time that holds no longer, since its lookup has ended or has
//! another, is dropped when it comes to the top. Most lookups end long before their time, in the order in which they
//! began, so that the top is mostly theirs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::lookup::LookupId;

/// The times.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, LookupId)>>,
}

impl Timers {
    /// `lookup` is to be looked at when `at` has come.
    pub(super) fn set(&mut self, at: Instant, lookup: LookupId) {
        self.heap.push(Reverse((at, lookup)));
    }

    /// The next time that holds, as `holds` says.
    pub(super) fn next(&mut self, holds: impl Fn(LookupId, Instant) -> bool) -> Option<Instant> {
        loop {
            let Reverse((at, lookup)) = *self.heap.peek()?;
            if holds(lookup, at) {
                return Some(at);
            }
            self.heap.pop();
        }
    }

    /// Takes out the next lookup whose time has come.
    pub(super) fn take_due(&mut self, now: Instant, holds: impl Fn(LookupId, Instant) -> bool) -> Option<LookupId> {
        let at = self.next(holds)?;
        if at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, lookup))| lookup)
    }

    /// How many times there are, those that hold no longer among them.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn times_come_in_order_and_those_that_hold_no_longer_are_dropped() {
        let (start, mut lookups, mut timers) = (crate::clock::now(), SlotMap::new(), Timers::default());
        let at = |ms| start + Duration::from_millis(ms);
        let [one, two, three] = [30, 10, 20].map(|ms| {
            let id = LookupId(lookups.insert(at(ms)));
            timers.set(at(ms), id);
            id
        });
        lookups.remove(two.0);
        lookups[one.0] = at(25);
        timers.set(at(25), one);
        let holds = |id: LookupId, at| lookups.get(id.0) == Some(&at);
        assert_eq!(timers.next(holds), Some(at(20)));
        assert_eq!(timers.take_due(at(19), holds), None);
        assert_eq!(timers.take_due(at(26), holds), Some(three));
        assert_eq!(timers.take_due(at(26), holds), Some(one));
        assert_eq!((timers.take_due(at(99), holds), timers.len()), (None, 0));
    }
}
