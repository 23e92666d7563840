//! When each flight is to be looked at again. Pure.
//!
//! A heap of times. Nothing is taken out of the middle: a time that holds no longer, since its flight has ended or has
//! another, is dropped when it comes to the top. Most flights end long before their time, in the order in which they
//! began, so that the top is mostly theirs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::flying::FlightId;

/// The times.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, FlightId)>>,
}

impl Timers {
    /// `flight` is to be looked at when `at` has come.
    pub(super) fn set(&mut self, at: Instant, flight: FlightId) {
        self.heap.push(Reverse((at, flight)));
    }

    /// The next time that holds, as `holds` says.
    pub(super) fn next(&mut self, holds: impl Fn(FlightId, Instant) -> bool) -> Option<Instant> {
        loop {
            let Reverse((at, flight)) = *self.heap.peek()?;
            if holds(flight, at) {
                return Some(at);
            }
            self.heap.pop();
        }
    }

    /// Takes out the next flight whose time has come.
    pub(super) fn take_due(&mut self, now: Instant, holds: impl Fn(FlightId, Instant) -> bool) -> Option<FlightId> {
        let at = self.next(holds)?;
        if at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, flight))| flight)
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
        let (start, mut flights, mut timers) = (crate::clock::now(), SlotMap::new(), Timers::default());
        let at = |ms| start + Duration::from_millis(ms);
        let [one, two, three] = [30, 10, 20].map(|ms| {
            let id = FlightId(flights.insert(at(ms)));
            timers.set(at(ms), id);
            id
        });
        flights.remove(two.0);
        flights[one.0] = at(25);
        timers.set(at(25), one);
        let holds = |id: FlightId, at| flights.get(id.0) == Some(&at);
        assert_eq!(timers.next(holds), Some(at(20)));
        assert_eq!(timers.take_due(at(19), holds), None);
        assert_eq!(timers.take_due(at(26), holds), Some(three));
        assert_eq!(timers.take_due(at(26), holds), Some(one));
        assert_eq!((timers.take_due(at(99), holds), timers.len()), (None, 0));
    }
}
