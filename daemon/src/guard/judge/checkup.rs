//! Health probes: what the judge sends where an upstream may be down, and what it makes of the outcome. Pure; the rules
//! stand in [`health`](crate::guard::health).

use std::sync::Arc;
use std::time::Instant;

use rand::RngExt;

use super::{Counters, Judge, Whom};
use crate::guard::event::Action;
use crate::guard::health::Ask;
use crate::guard::mark_support::Marks;
use crate::guard::probe::{self, Nonce, Probe};
use crate::upstream::{Transport, Upstream};
use crate::wire::{name, rtype};

impl Judge {
    /// An upstream let queries wait over this transport, and may be down.
    pub(super) fn perhaps_down(&mut self, whom: Whom, answered: Option<Box<[u8]>>, now: Instant) {
        if self.set.get(whom.0).is_some() {
            let is_probed = self.tracks.get(&whom).is_some_and(|track| track.asked.is_some());
            let health = self.health.entry(whom).or_default();
            health.suspect(answered, now);
            if is_probed {
                health.is_probed(now); // what is said to the judge's own probe is life, too
            }
        }
    }

    /// An upstream said something over this transport.
    pub(super) fn is_alive(&mut self, whom: Whom) {
        if let Some(health) = self.health.get_mut(&whom) {
            health.heard();
        }
    }

    /// Takes the end of a probe. Returns whether it was one for health alone.
    pub(super) fn checkup_over(&mut self, nonce: Nonce, was_heard: bool, now: Instant) -> bool {
        let asked = self.asked.get(&nonce).map(|asked| asked.whom);
        let checkup = self.checkups.remove(&nonce);
        if let Some(whom) = asked.or(checkup).filter(|_| was_heard) {
            self.is_alive(whom);
        } else if let Some(health) = checkup.and_then(|whom| self.health.get_mut(&whom)) {
            health.unreachable(now);
        }
        checkup.is_some()
    }

    /// Sends the health probes that are due.
    pub(super) fn send_checkups(&mut self, now: Instant) {
        let set = Arc::clone(&self.set);
        for upstream in &set.upstreams {
            for transport in upstream.endpoint.transports().iter().copied() {
                let Some(health) = self.health.get_mut(&(upstream.id, transport)) else { continue };
                if health.due().is_none_or(|at| at > now) || !self.checkup_window.take(now) {
                    continue;
                }
                if let Some(ask) = health.step(now) {
                    self.send_checkup(upstream, transport, &ask, now);
                }
            }
        }
    }

    fn send_checkup(&mut self, upstream: &Arc<Upstream>, transport: Transport, ask: &Ask, now: Instant) {
        let nonce = Nonce::new(self.rng.random(), &self.key);
        let id = self.rng.random();
        let message = match ask {
            // Without marks, since some drop queries that carry them.
            Ask::Nonce => {
                let sent =
                    Probe { nonce, upstream: upstream.id, suffix: name::ROOT, qtype: rtype::A, marks: Marks::NONE };
                probe::query(&sent, id, &self.key, self.key.bucket(now))
            }
            Ask::Answered(name) => probe::plain(name, id),
        };
        let [.., health] = &mut self.counters.probes;
        Counters::count(health);
        self.checkups.insert(nonce, (upstream.id, transport));
        self.actions.push(Action::SendProbe { nonce, upstream: Arc::clone(upstream), transport, message });
    }

    /// When the next health probe is due.
    pub(super) fn checkup_due(&self) -> Option<Instant> {
        let in_use = self.health.iter().filter(|((number, _), _)| self.set.get(*number).is_some());
        let due = in_use.filter_map(|(_, health)| health.due()).min();
        due.map(|at| self.checkup_window.room_at().map_or(at, |room| at.max(room)))
    }

    /// Those that are down, and since when.
    pub(super) fn down(&self) -> Vec<(Whom, Instant)> {
        self.health.iter().filter_map(|(whom, health)| Some((*whom, health.down_since()?))).collect()
    }
}
