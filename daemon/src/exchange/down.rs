//! Upstreams that are down, as an engine deals with them: it says when one may be, heeds who is, and tells of the first
//! word of one that was. Who is down is for the guard to say, by health probes, and holds for all engines.

use std::time::{Duration, Instant};

use super::check::Worth;
use super::lookup::{Attempt, AttemptId, LookupId, Stage};
use super::sending::Target;
use super::stream::StreamError;
use super::{Action, Engine, Guidance, TraceKind};
use crate::upstream::{Transport, UpstreamId};
use crate::wire::flag;

/// Maximum time between a lookup's end and a response that is the echo of that end: an upstream that sends queries back
/// to us responds with what we have just answered, which says nothing of how fast it is.
const ECHO: Duration = Duration::from_millis(25);

impl Engine {
    /// Takes note that the upstream of an attempt responded, before the attempt ends.
    pub(super) fn heard(&mut self, attempt: &Attempt, (worth, message): (Worth, &[u8]), now: Instant) {
        let (id, transport) = (attempt.upstream.id, attempt.transport());
        let (Some(lookup), Some(peer)) = (self.lookups.get(attempt.lookup.0), self.peers.get_mut(id)) else { return };
        let is_echo = lookup.done.is_some_and(|at| now.saturating_duration_since(at) < ECHO);
        let is_measure = attempt.sends == 1 && !is_echo;
        let down_since = self.guidance.verdicts.down_since(id, transport);
        let was_silent = down_since.is_some_and(|since| !peer.health(transport).was_heard_since(since));
        let after = is_measure.then(|| now.saturating_duration_since(attempt.sent));
        let was_suspected = peer.health_mut(transport).heard(after, now);
        peer.has_answered(lookup.key.name(), now);
        peer.counters.has_answered(after, worth == Worth::Failure, now);
        if transport == Transport::Udp {
            peer.borne.answered(attempt.form, now);
        }
        if self.is_watched {
            let key = lookup.key.clone();
            let code = message.get(3).copied().unwrap_or(0) & flag::RCODE;
            let heard = TraceKind::Heard(now.saturating_duration_since(attempt.sent), code);
            self.trace(&key, (id, transport), now, heard);
        }
        if was_silent {
            self.actions.push_back(Action::HealthChanged);
        }
        if was_suspected || was_silent {
            self.actions.push_back(Action::Alive(id, transport));
        }
    }

    /// Whether an upstream is down, and has said nothing to us since.
    pub(super) fn is_down(&self, upstream: UpstreamId, transport: Transport) -> bool {
        let Some(since) = self.guidance.verdicts.down_since(upstream, transport) else { return false };
        !self.peers.get(upstream).is_some_and(|peer| peer.health(transport).was_heard_since(since))
    }

    /// A query of `sent` is late, or met a closed port. Where the upstream has said nothing since to any query, the
    /// guard is to find out whether it is down; and its sockets may be to blame, bound to a way that is no more without
    /// anything having said so: further queries go out over new ones.
    pub(super) fn suspect_down(&mut self, upstream: UpstreamId, transport: Transport, sent: Instant, now: Instant) {
        if self.is_down(upstream, transport) {
            return;
        }
        let Some(peer) = self.peers.get_mut(upstream) else { return };
        if peer.health_mut(transport).suspect(sent, now) {
            self.actions.push_back(Action::PerhapsDown(upstream, transport, peer.answered()));
            if transport == Transport::Udp {
                self.actions.extend(peer.pool.renew().into_iter().map(Action::Close));
            }
        }
    }

    /// An attempt over a stream has failed. Where queries begin with that transport, the upstream may be down: there is
    /// no way on to it, while one that is asked over TCP for the whole of a response answers over UDP.
    pub(super) fn stream_failed(&mut self, attempt_id: AttemptId, why: StreamError, now: Instant) {
        let Some(attempt) = self.attempts.get(attempt_id.0) else { return };
        let (upstream, transport, lookup) = (attempt.upstream.id, attempt.transport(), attempt.lookup);
        let is_first = !attempt.is_second_transport();
        if let (StreamError::Untrusted(distrust), Some(lookup)) = (why, self.lookups.get_mut(lookup.0)) {
            lookup.untrusted.get_or_insert((upstream, distrust));
        }
        let _ = self.came(attempt_id, Worth::Failure, &[], now);
        if is_first && !matches!(why, StreamError::Busy | StreamError::Timeout) {
            self.suspect_down(upstream, transport, now, now);
        }
    }

    /// Takes what the guard says now. What waits for an upstream that has gone down need not wait any more.
    pub(super) fn heed(&mut self, guidance: Guidance, now: Instant) {
        if !self.guidance.verdicts.is_any_down() && !guidance.verdicts.is_any_down() {
            self.guidance = guidance;
            return;
        }
        let all = self.peers.0.iter().flat_map(|peer| Transport::ALL.map(|over| (peer.id, over)));
        let before: Vec<_> = all.map(|(id, over)| (id, over, self.is_down(id, over))).collect();
        self.guidance = guidance;
        for (id, transport, was_down) in before {
            let is_down = self.is_down(id, transport);
            if is_down != was_down {
                self.actions.push_back(Action::HealthChanged);
            }
            if is_down && !was_down {
                self.give_up_on(id, transport, now);
            }
        }
    }

    fn give_up_on(&mut self, upstream: UpstreamId, transport: Transport, now: Instant) {
        let waits = |attempt: &&mut Attempt| {
            (attempt.upstream.id, attempt.transport()) == (upstream, transport) && attempt.stage != Stage::GivenUp
        };
        let give_up = |attempt: &mut Attempt| {
            (attempt.stage, attempt.step) = (Stage::GivenUp, None);
            attempt.lookup
        };
        let lookups: Vec<LookupId> = self.attempts.values_mut().filter(waits).map(give_up).collect();
        for id in lookups {
            self.go_on(id, now);
            self.set_timer(id);
        }
    }

    /// Asks upstreams that are down and come before the one that is asked now: the query was to go there anyway, and
    /// who is back is found sooner, also where it does not answer probes. Once a second for each. Those that come later
    /// are never tried so, since names would leave for servers that were not to be asked.
    pub(super) fn try_those_before(&mut self, id: LookupId, asked: usize, now: Instant) {
        if !self.guidance.verdicts.is_any_down() {
            return;
        }
        let Some(lookup) = self.lookups.get(id.0) else { return };
        if lookup.passed.foreign() {
            return; // each Onward on its way would try them
        }
        let Some(route) = self.set.route(lookup.key.name()) else { return };
        let was_asked = |id: UpstreamId| lookup.order.iter().take(lookup.asked).any(|asked| *asked == id);
        let before = route.upstreams.iter().take(asked).cloned().enumerate();
        let before: Vec<_> = before.filter(|(_, upstream)| !was_asked(upstream.id)).collect();
        for (rank, upstream) in before {
            let transport = upstream.endpoint.first_transport();
            if self.is_down(upstream.id, transport)
                && self.peers.of(upstream.id, self.sockets_each).health_mut(transport).may_be_tried(now)
            {
                let form = self.form_for(upstream.id, now);
                self.send(id, Target { upstream, rank, form, stage: Stage::GivenUp, begun: now, extra: true }, now);
            }
        }
    }
}
