//! How a lookup ends: by a response, with what the first upstream told of its failure, or because no
//! time is left. When it does is for `failover` to say.

use std::time::Instant;

use super::lookup::{Kept, LookupId};
use super::{Action, Certainty, Engine, Failure, OwnedUpstreamResponse, TraceKind, Worth};
use crate::upstream::UpstreamId;
use crate::wire::QuestionKey;

impl Engine {
    /// Nobody is left: what the first told of its failure, unless that is what we said ourselves, come back.
    pub(super) fn end_without_answer(&mut self, id: LookupId, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        let key = lookup.key.clone();
        // What was truncated exists, and clients over UDP can ask for it over TCP: more than any failure says. Where
        // all are lame, stubs that ask on would end with what the first of them said.
        let (lame, lames) = (lookup.lame.0.take(), lookup.lame.1);
        let lame = lame.filter(|_| lames >= lookup.order.len());
        let said = lookup.truncated.take().or_else(|| lookup.failure.take()).or(lame);
        let result = match (lookup.returned_through, said) {
            (None, Some(Kept { upstream, message, .. })) => {
                Action::Refused(OwnedUpstreamResponse { key, upstream, certainty: Certainty::Settled, message })
            }
            (None, None) => {
                let why = lookup.untrusted.map_or(Failure::NoAnswer, |(whom, why)| Failure::Untrusted(whom, why));
                Action::Failed(key, why)
            }
            (Some(through), _) => Action::Failed(key, Failure::Loops(through)),
        };
        if self.close(id, now).is_some() {
            self.actions.push_back(result);
        }
    }

    /// Ends a lookup by a response of an upstream with that rank. Returns the question and what the response counts.
    pub(super) fn close_with(
        &mut self,
        id: LookupId,
        (upstream, rank): (UpstreamId, usize),
        worth: Worth,
        now: Instant,
    ) -> Option<(QuestionKey, Certainty)> {
        let key = self.lookups.get(id.0)?.key.clone();
        let certainty = self.certainty(&key, upstream, worth);
        if let Some(lookup) = self.lookups.get_mut(id.0) {
            lookup.provisional = (certainty == Certainty::Provisional).then_some(rank);
        }
        self.close(id, now)?;
        Some((key, certainty))
    }

    /// What a response counts: a negative one is provisional where an upstream before its own, which is not equivalent,
    /// has not answered. (Had it answered, its own response would be the one that is told.)
    pub(super) fn certainty(&self, key: &QuestionKey, upstream: UpstreamId, worth: Worth) -> Certainty {
        let route = self.set.route(key.name()).filter(|route| !route.equivalent);
        let is_later = route.is_some_and(|route| route.rank(upstream).is_some_and(|rank| rank > 0));
        if worth == Worth::Negative && is_later { Certainty::Provisional } else { Certainty::Settled }
    }

    /// Event: no time is left. Each lookup ends with what there is.
    pub fn finish(&mut self, now: Instant) {
        let open = self.lookups.iter().filter(|(_, lookup)| lookup.done.is_none());
        let open: Vec<_> = open.map(|(id, lookup)| (LookupId(id), lookup.negative.is_some())).collect();
        for (id, has_negative) in open {
            if has_negative {
                self.finish_with_negative(id, now);
            } else {
                self.end_without_answer(id, now);
            }
        }
    }

    /// The negative answer that was kept is the answer.
    pub(super) fn finish_with_negative(&mut self, id: LookupId, now: Instant) {
        let kept = self.lookups.get_mut(id.0).and_then(|lookup| lookup.negative.take());
        if let Some(Kept { upstream, message, rank }) = kept
            && let Some((key, certainty)) = self.close_with(id, (upstream, rank), Worth::Negative, now)
        {
            self.actions.push_back(Action::Answered(OwnedUpstreamResponse { key, upstream, certainty, message }));
        }
    }

    /// The clients get their answer; what is still awaited only teaches how its upstream does. Returns the question.
    fn close(&mut self, id: LookupId, now: Instant) -> Option<QuestionKey> {
        let lookup = self.lookups.get_mut(id.0)?;
        lookup.done = Some(now);
        let key = lookup.key.clone();
        if self.by_hash.get(&lookup.hash) == Some(&id) {
            self.by_hash.remove(&lookup.hash);
        }
        if lookup.attempts.is_empty() {
            self.remove(id);
        } else {
            self.set_timer(id);
        }
        Some(key)
    }

    pub(super) fn remove(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.remove(id.0) else { return };
        for attempt in lookup.attempts {
            if let Some(attempt) = self.end_attempt(attempt)
                && let Some(peer) = self.peers.get_mut(attempt.upstream.id)
            {
                peer.counters.has_timed_out(attempt.sent);
                let whom = (attempt.upstream.id, attempt.transport());
                let silent = TraceKind::Silent(lookup.ends.saturating_duration_since(attempt.sent));
                self.trace(&lookup.key, whom, lookup.ends, silent);
            }
        }
    }
}
