//! What the judge hears from witnesses: a probe for it, within limits, and no more than that. Pure.

use std::time::Instant;

use super::{EARLY, Judge, SUSPECT, Whom};
use crate::guard::report::Kind;
use crate::guard::upstream_state::{Cause, ProbeRequest, Purpose};
use crate::guard::verdict::Witness;
use crate::upstream::Transport;
use crate::wire::name;

impl Judge {
    /// A witness sends a probe, within limits, and no more than that.
    pub(super) fn witness(&mut self, whom: Whom, witness: Witness, name: &[u8], now: Instant) {
        if self.set.get(whom.0).is_none() {
            if self.set.upstreams.is_empty() && self.early.len() < EARLY {
                self.early.push((whom, witness, name.into()));
            }
            return;
        }
        let track = self.tracks.entry(whom).or_default();
        if track.covers(name) {
            return;
        }
        let cause = Cause { witness, parent: name::parent(name).into() };
        if let Some(asked) = track.asked.and_then(|nonce| self.asked.get_mut(&nonce))
            && matches!(asked.want.purpose, Purpose::Check | Purpose::Confirm)
        {
            // The probe under way will tell (hops resend, so witnesses speak several times); what it does not find is looked
            // for where this witness points.
            asked.want.cause.get_or_insert(cause);
            track.suspect_until.get_or_insert(now + SUSPECT);
            return;
        }
        let provoked = self.provoked.entry(whom.0).or_default();
        if !provoked.take(witness, now) {
            // What a mark says is looked into as soon as the limits let us: it may be the only question for long.
            if witness != Witness::Silence && track.late.is_none() {
                track.late = provoked.room_at(witness).map(|at| (at, witness, name.into()));
            }
            return;
        }
        track.suspect_until = Some(now + SUSPECT);
        track.want(ProbeRequest::check(name::ROOT, Some(cause)));
        if self.told.take(now) {
            self.tell(Kind::Suspected, whom, name::parent(name), Some(witness));
        }
    }

    pub(super) fn loop_plugin(&mut self, now: Instant) {
        for upstream in self.set.upstreams.iter().filter(|upstream| upstream.is_near()) {
            if self.provoked.entry(upstream.id).or_default().take(Witness::Silence, now) {
                self.tracks
                    .entry((upstream.id, Transport::Udp))
                    .or_default()
                    .want(ProbeRequest::check(name::ROOT, None));
            }
        }
    }

    /// Hears the witnesses that had to wait.
    pub(super) fn hear_late(&mut self, now: Instant) {
        let late = self.tracks.iter_mut().filter_map(|(whom, track)| {
            let (_, witness, name) = track.late.take_if(|(at, ..)| *at <= now)?;
            Some((*whom, witness, name))
        });
        for (whom, witness, name) in late.collect::<Vec<_>>() {
            self.witness(whom, witness, &name, now);
        }
    }
}
