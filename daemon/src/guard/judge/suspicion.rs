//! What the judge hears from witnesses: a probe for it, within limits, and no more than that. Pure.

use std::time::{Duration, Instant};

use super::{Counters, EARLY, Judge, SUSPECT, Whom};
use crate::guard::limits::Provocation;
use crate::guard::report::Kind;
use crate::guard::suffix;
use crate::guard::upstream_state::{Cause, ProbeRequest, Purpose};
use crate::guard::verdict::{Asked, Witness};
use crate::wire::name;

/// Time since it was sent within which a probe tells of what a witness says now: what loops may do so since a moment
/// ago.
const TELLS: Duration = Duration::from_millis(100);

impl Judge {
    /// A witness sends a probe, within limits, and no more than that.
    pub(super) fn witness(&mut self, whom: Whom, cause: Cause, now: Instant) {
        if self.set.get(whom.0).is_none() {
            if self.set.upstreams.is_empty() && self.early.len() < EARLY {
                self.early.push((whom, cause));
            }
            return;
        }
        let [tag, spelling, silence] = &mut self.counters.suspicions;
        Counters::count(match cause.witness {
            Witness::Tag => tag,
            Witness::Spelling => spelling,
            Witness::Silence => silence,
        });
        let track = self.tracks.entry(whom).or_default();
        if track.covers_question(Asked { name: &cause.name, qtype: cause.qtype }) {
            return;
        }
        if let Some(asked) = track.asked.and_then(|nonce| self.asked.get_mut(&nonce))
            && matches!(asked.want.purpose, Purpose::Check | Purpose::Confirm)
            && asked.want.cause.as_ref().is_none_or(|known| is_of_one_domain(known, &cause))
            && now.saturating_duration_since(asked.sent) < TELLS
        {
            // The probe under way will tell (hops resend, so witnesses speak several times); what it does not find is
            // looked for where this witness points.
            asked.want.cause.get_or_insert(cause);
            track.suspect_until.get_or_insert(now + SUSPECT);
            return;
        }
        let provoked = self.provoked.entry(whom.0).or_default();
        let provocation = Provocation::Witness(cause.witness, &cause.name);
        if !provoked.take(provocation, now) {
            // It is looked into as soon as the limits let us: it may be the only query for long. A mark says more than
            // silence.
            let is_more = |known: &Cause| known.witness == Witness::Silence && cause.witness != Witness::Silence;
            if track.late.as_ref().is_none_or(|(_, known)| is_more(known)) {
                track.late = provoked.room_at(provocation).map(|at| (at, cause));
            }
            return;
        }
        track.suspect_until = Some(now + SUSPECT);
        track.want(ProbeRequest::check(name::ROOT, Some(cause.clone())));
        if self.told.take(now) {
            self.tell(Kind::Suspected, whom, name::parent(&cause.name), Some(cause.witness));
        }
    }

    pub(super) fn loop_plugin(&mut self, now: Instant) {
        for upstream in self.set.upstreams.iter().filter(|upstream| upstream.is_near()) {
            if self.provoked.entry(upstream.id).or_default().take(Provocation::LoopPlugin, now) {
                self.tracks
                    .entry((upstream.id, upstream.endpoint.first_transport()))
                    .or_default()
                    .want(ProbeRequest::check(name::ROOT, None));
            }
        }
    }

    /// Hears the witnesses that had to wait.
    pub(super) fn hear_late(&mut self, now: Instant) {
        let late = self.tracks.iter_mut().filter_map(|(whom, track)| {
            let (_, cause) = track.late.take_if(|(at, _)| *at <= now)?;
            Some((*whom, cause))
        });
        for (whom, cause) in late.collect::<Vec<_>>() {
            self.witness(whom, cause, now);
        }
    }
}

fn is_of_one_domain(one: &Cause, other: &Cause) -> bool {
    suffix::domain(&one.name) == suffix::domain(&other.name)
}
