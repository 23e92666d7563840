//! The judge at work step by step, with time and chance given: for a model of the world, in which nothing runs beside
//! it.

use std::sync::Arc;
use std::time::Instant;

use super::Driver;
use crate::guard::{Action, Event, Guard, Nonce, Secret, Settings, Witness};
use crate::upstream::{Transport, Upstream};

impl Guard {
    /// As [`Guard::new`], but that the same `seed` makes the same guard.
    pub(crate) fn seeded(settings: Settings, seed: u8) -> (Self, Driver) {
        Self::with(settings, &[], Secret::new([seed; 16]), [seed; 32])
    }
}

impl Driver {
    /// Takes `event` and all that waits in the queue, as [`Driver::run`] does, but what the witness `deaf_to` says.
    /// Returns whether there are other verdicts.
    pub(crate) fn step(
        &mut self,
        event: Option<Event>,
        (now, deaf_to): (Instant, Option<Witness>),
        mut send: impl FnMut(Nonce, Arc<Upstream>, Transport, Vec<u8>),
    ) -> bool {
        let mut is_news = false;
        let mut next = event.or_else(|| self.events.try_recv().ok());
        while let Some(event) = next {
            let is_heard = !matches!(&event, Event::Witness { witness, .. } if Some(*witness) == deaf_to);
            for action in is_heard.then(|| self.judge.handle(event, now)).into_iter().flatten() {
                is_news |= matches!(action, Action::Publish(_));
                self.perform(action, &mut send);
            }
            next = self.events.try_recv().ok();
        }
        is_news
    }

    /// When [`Event::Tick`] is due.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        self.judge.due(now)
    }
}
