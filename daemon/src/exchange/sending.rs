//! How a question leaves: whom it may be asked of and in which order, over which socket, with which marks.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::form::Form;
use super::lookup::{AskingOrder, Attempt, AttemptId, Lookup, LookupId, SentOver, Stage};
use super::peers::Peer;
use super::query::{self, EdnsParams};
use super::{Action, Engine, LookupRequest};
use crate::guard::{Standing, probe, silence, spelling};
use crate::upstream::{Transport, Upstream, UpstreamId};
use crate::wire::QuestionKey;

/// Maximum number of times that a lookup asks upstreams again through which its query came back. Only those that answer
/// some queries themselves are asked again.
const AGAIN: u8 = 3;

/// Maximum number of upstreams that the probe of another Onward is passed on to: the second shows that Onward that we
/// have another upstream. A probe with a foreign tag goes to one only, but that Onward's second probe carries no mark:
/// in a mesh each Onward would pass it on to all its upstreams.
const PROBE_ASKS: usize = 2;

impl Engine {
    /// Whom to ask, in this order: as the route says, but those that are down or half a loop last, and among equivalent
    /// ones the asker itself, and whoever seems to have sent it back, too: what a packet says can be forged. Those in
    /// quarantine are not asked.
    pub(super) fn order(&self, question: &LookupRequest) -> AskingOrder {
        let Some(route) = self.set.route(question.key.name()) else { return AskingOrder::new() };
        let asker = question.from.and_then(|from| silence::not_first(route, from));
        let through = question.through.filter(|_| route.equivalent);
        let group = |upstream: &Upstream| {
            let (id, transport) = (upstream.id, upstream.endpoint.first_transport());
            match self.standing(id, transport, &question.key) {
                Standing::Quarantined => None,
                Standing::LastResort => Some(2),
                Standing::Free | Standing::Suspect | Standing::Intermittent => {
                    let came_from_it = [asker, through].contains(&Some(id));
                    Some(u8::from(came_from_it || self.is_down(id, transport)))
                }
            }
        };
        let mut order: SmallVec<[(u8, UpstreamId); 4]> =
            route.upstreams.iter().filter_map(|upstream| Some((group(upstream)?, upstream.id))).collect();
        order.sort_by_key(|(group, _)| *group); // stable: the route's order within a group
        if probe::nonce(question.key.name()).is_some() {
            order.truncate(if question.passed.foreign() { 1 } else { PROBE_ASKS });
        }
        order.into_iter().map(|(_, number)| number).collect()
    }

    /// The first upstream that would be asked but for a verdict.
    pub(super) fn first_in_quarantine(&self, key: &QuestionKey) -> Option<UpstreamId> {
        let mut all = self.set.route(key.name())?.upstreams.iter().map(|upstream| upstream.id);
        all.find(|id| self.standing(*id, self.first_transport(*id), key) == Standing::Quarantined)
    }

    /// The transport that a query to an upstream of the set begins with.
    pub(super) fn first_transport(&self, id: UpstreamId) -> Transport {
        self.set.get(id).map_or(Transport::Udp, |upstream| upstream.endpoint.first_transport())
    }

    pub(super) fn standing(&self, upstream: UpstreamId, transport: Transport, key: &QuestionKey) -> Standing {
        self.guidance.verdicts.standing(upstream, transport, key.into())
    }

    /// Asks the next upstream; false where there is none.
    pub(super) fn ask_next(&mut self, id: LookupId, now: Instant) -> bool {
        loop {
            let Some(lookup) = self.lookups.get_mut(id.0) else { return false };
            let Some(&number) = lookup.order.get(lookup.asked) else { return false };
            lookup.asked += 1;
            let key = lookup.key.clone();
            let transport = self.first_transport(number);
            let loops = self.standing(number, transport, &key) == Standing::Quarantined; // since the lookup began
            if let Some(target) = self.target(number, &key, now).filter(|_| !loops) {
                let (upstream, rank) = (target.upstream.id, target.rank);
                self.send(id, target, now);
                self.send_where_in_doubt(id, upstream, now);
                self.try_those_before(id, rank, now);
                return true;
            }
        }
    }

    /// An upstream to be asked, if the route of the name still has it: a set that came into use since the lookup began
    /// may send the name elsewhere.
    fn target(&self, id: UpstreamId, key: &QuestionKey, now: Instant) -> Option<Target> {
        let route = self.set.route(key.name())?;
        let (upstream, rank) = (route.get(id).cloned()?, route.rank(id)?);
        let form = self.form_for(id, now);
        Some(Target { upstream, rank, form, stage: Stage::Fresh, begun: now, extra: false })
    }

    /// Asks `upstream` again, through which the question came back: where nobody else is left and it is known to answer
    /// some questions by itself, the next try may be one of them.
    pub(super) fn ask_again(&mut self, id: LookupId, upstream: UpstreamId, now: Instant) {
        let Some(lookup) = self.lookups.get(id.0) else { return };
        let is_passed =
            |attempt: &AttemptId| self.attempts.get(attempt.0).is_none_or(|attempt| attempt.stage >= Stage::Passed);
        let nobody_left = lookup.asked >= lookup.order.len() && lookup.attempts.iter().all(is_passed);
        let answers_some = matches!(
            self.standing(upstream, self.first_transport(upstream), &lookup.key),
            Standing::Intermittent | Standing::LastResort
        );
        let is_wanted = nobody_left && answers_some && !lookup.relayed && lookup.done.is_none();
        let target = self.target(upstream, &lookup.key, now).filter(|_| is_wanted && lookup.order.contains(&upstream));
        if let Some(target) = target
            && let Some(lookup) = self.lookups.get_mut(id.0)
            && lookup.again < AGAIN
        {
            lookup.again += 1;
            self.send(id, target, now);
        }
    }

    pub(super) fn send(&mut self, id: LookupId, target: Target, now: Instant) {
        let Target { form, stage, begun, .. } = target;
        let upstream = &target.upstream;
        let peer = self.peers.of(upstream.id, self.sockets_each);
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        let marks = form.marks(self.guidance.verdicts.marks(upstream.id));
        let key = &self.guidance.key;
        self.options.clear();
        if marks.tag && marks.opt {
            self.tags.write(&lookup.passed, upstream.id, (key, now), &mut self.options);
        }
        let dress = EdnsParams {
            payload: marks.opt.then_some(self.payload),
            options: &self.options,
            without_ad: form >= Form::WithoutAd,
        };
        let transport = upstream.endpoint.first_transport();
        let late_after = peer.health(transport).late_after();
        let told_early = target.is_first() && is_unmeasured(peer, &target) && !lookup.relayed;
        let copies_due = target.is_first() && !walks(lookup) && form < Form::WithoutAd && peer.borne.is_unknown(now);
        let mut assigned = None;
        let attempt_id = self.attempts.insert_with_key(|attempt_id| {
            let mut ask = || peer.pool.ask(AttemptId(attempt_id), now, &mut self.rng, &mut self.next_socket);
            let (sent_over, message_id) = match (transport, &mut assigned) {
                (Transport::Udp, assigned) => {
                    let assigned = assigned.insert(ask());
                    (SentOver::Udp(assigned.socket, assigned.id), assigned.id)
                }
                (stream, _) => (SentOver::Stream(stream), 0), // connections have IDs of their own
            };
            let mut message = query::build(&lookup.key, message_id, dress);
            if marks.spelling {
                spelling::spell(query::name_mut(&mut message, &lookup.key), upstream.id, lookup.spelled(), key);
            }
            let attempt = Attempt {
                question_end: query::question_end(&lookup.key),
                message,
                with_opt: marks.opt,
                spelled: marks.spelling,
                told_early,
                copies_due,
                ..Attempt::new(id, &target, sent_over, now)
            };
            let first_step = attempt.first_step(late_after).min(begun + lookup.patience(late_after)).max(now);
            Attempt { step: (stage == Stage::Fresh).then_some(first_step), ..attempt }
        });
        let attempt_id = AttemptId(attempt_id);
        lookup.attempts.push(attempt_id);
        peer.counters.has_been_asked(now);
        let ends = lookup.ends;
        match assigned {
            Some(assigned) => {
                self.actions.extend(assigned.closes.map(Action::Close));
                let opens = assigned.opens.then_some(Action::Open(assigned.socket, target.upstream));
                self.actions.extend(opens);
                self.actions.push_back(Action::Send(assigned.socket, attempt_id));
            }
            None => self.actions.push_back(Action::Stream(attempt_id, target.upstream, ends)),
        }
    }
}

/// Whether no response of an upstream that is near was measured.
fn is_unmeasured(peer: &Peer, target: &Target) -> bool {
    target.upstream.is_near() && peer.health(Transport::Udp).latency().is_none()
}

/// Whether a query walks among Onwards: it must keep its tag then, which a plainer query has no room for. Probes of
/// others walk, too.
fn walks(lookup: &Lookup) -> bool {
    lookup.relayed || lookup.asked > 1 || probe::nonce(lookup.key.name()).is_some()
}

/// Whom to ask next, and how.
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    /// Where it stands in the route.
    pub(super) rank: usize,
    pub(super) form: Form,
    /// How patient we are with it from the start.
    pub(super) stage: Stage,
    /// When it was first asked the question: see [`Attempt::begun`].
    pub(super) begun: Instant,
    /// Whether it goes beside another one to the same upstream.
    pub(super) extra: bool,
}

impl Target {
    /// Whether the upstream is asked for the first time, over UDP. A stream has to be opened first, which takes its
    /// time, and who speaks TLS bears what queries have.
    fn is_first(&self) -> bool {
        self.upstream.endpoint.first_transport() == Transport::Udp && !self.extra && self.stage == Stage::Fresh
    }
}
