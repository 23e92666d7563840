//! How a question leaves: whom it may be asked of and in which order, over which socket, with which marks.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::health::Health;
use super::lookup::{AskingOrder, Attempt, AttemptId, LookupId, SentOver, Stage};
use super::pool::Pool;
use super::query::{self, EdnsParams};
use super::{Action, Engine, LookupRequest, Peer};
use crate::guard::{Marks, Standing, probe, silence, spelling};
use crate::upstream::{Transport, Upstream, UpstreamId};
use crate::wire::{HEADER, QuestionKey};

/// A question that came back through an upstream that answers some is asked of it so often again.
const AGAIN: u8 = 3;

/// The probe of another Onward is asked of so many at most: the second shows him that we have somebody else. Its second
/// probe has no mark by which we would ask one only, and in a mesh each would be asked of all, and again by all of
/// those.
const PROBE_ASKS: usize = 2;

impl Engine {
    /// Whom to ask, in this order: as the set says, but those that are down, that are half a loop, (among equals) the
    /// asker itself, and whoever seems to have sent it back, last. Those in quarantine are not asked.
    pub(super) fn order(&self, question: &LookupRequest) -> AskingOrder {
        let asker = question.from.and_then(|from| silence::not_first(&self.set, from));
        let rank = |number: UpstreamId| match self.standing(number, Transport::Udp, &question.key) {
            Standing::Quarantined => None,
            Standing::LastResort => Some(2),
            Standing::Free | Standing::Suspect | Standing::Intermittent => {
                let came_from_it = asker == Some(number) || question.through == Some(number);
                Some(u8::from(came_from_it || self.is_down(number)))
            }
        };
        let numbers = self.set.upstreams.iter().map(|upstream| upstream.id);
        let mut order: SmallVec<[(u8, UpstreamId); 4]> =
            numbers.filter_map(|number| Some((rank(number)?, number))).collect();
        order.sort_by_key(|(rank, _)| *rank); // stable: the set's order within a rank
        if probe::nonce(question.key.name()).is_some() {
            order.truncate(PROBE_ASKS);
        }
        order.into_iter().map(|(_, number)| number).collect()
    }

    pub(super) fn standing(&self, upstream: UpstreamId, transport: Transport, key: &QuestionKey) -> Standing {
        self.guidance.verdicts.standing(upstream, transport, key.name())
    }

    fn is_down(&self, upstream: UpstreamId) -> bool {
        self.peers.get(upstream).is_some_and(|peer| peer.health.is_down())
    }

    /// Asks the next upstream; false where there is none.
    pub(super) fn ask_next(&mut self, id: LookupId, now: Instant) -> bool {
        loop {
            let Some(lookup) = self.lookups.get_mut(id.0) else { return false };
            if lookup.alone && lookup.asked > 0 {
                return false;
            }
            let Some(&number) = lookup.order.get(lookup.asked) else { return false };
            let position = lookup.asked;
            lookup.asked += 1;
            let key = lookup.key.clone();
            let loops = self.standing(number, Transport::Udp, &key) == Standing::Quarantined; // since the lookup began
            if let Some(upstream) = self.set.get(number).cloned().filter(|_| !loops) {
                self.send(id, Target { upstream, position, with_opt: true }, now);
                return true;
            }
        }
    }

    /// Asks `upstream` again, through which the question came back: where nobody else is left and it is known to answer
    /// some questions by itself, the next try may be one of them.
    pub(super) fn ask_again(&mut self, id: LookupId, upstream: UpstreamId, now: Instant) {
        let Some(lookup) = self.lookups.get(id.0) else { return };
        let came_back = |ask: &AttemptId| self.attempts.get(ask.0).is_none_or(|ask| ask.stage >= Stage::Passed);
        let nobody_left = lookup.asked >= lookup.order.len() && lookup.attempts.iter().all(came_back);
        let answers_some = matches!(
            self.standing(upstream, Transport::Udp, &lookup.key),
            Standing::Intermittent | Standing::LastResort
        );
        let position = lookup.order.iter().position(|number| *number == upstream);
        if let (true, Some(position), Some(upstream)) =
            (nobody_left && answers_some && !lookup.alone && !lookup.done, position, self.set.get(upstream).cloned())
            && let Some(lookup) = self.lookups.get_mut(id.0)
            && lookup.again < AGAIN
        {
            lookup.again += 1;
            self.send(id, Target { upstream, position, with_opt: true }, now);
        }
    }

    /// Sends a copy to each upstream that is down and due for a try, but the one that is asked anyway.
    pub(super) fn try_those_that_are_down(&mut self, id: LookupId, now: Instant) {
        let asked = self.lookups.get(id.0).and_then(|lookup| lookup.order.first()).copied();
        for (position, upstream) in self.set.clone().upstreams.iter().enumerate() {
            let peer = self.peers.get_mut(upstream.id).filter(|_| Some(upstream.id) != asked);
            if peer.is_some_and(|peer| peer.health.try_again(now)) {
                let behind_all = self.set.upstreams.len() + position;
                self.send(id, Target { upstream: upstream.clone(), position: behind_all, with_opt: true }, now);
            }
        }
    }

    pub(super) fn send(&mut self, id: LookupId, target: Target, now: Instant) {
        let Target { upstream, position, with_opt } = target;
        if self.peers.get(upstream.id).is_none() {
            let (health, pool) = (Health::default(), Pool::new(self.sockets_each));
            self.peers.0.push(Peer { id: upstream.id, health, pool });
        }
        let Some(peer) = self.peers.get_mut(upstream.id) else { return };
        let Some(lookup) = self.lookups.get_mut(id.0) else { return };
        let marks = self.guidance.verdicts.marks(upstream.id);
        let marks = Marks { opt: with_opt && marks.opt, ..marks };
        let key = &self.guidance.key;
        self.options.clear();
        if marks.tag && marks.opt {
            self.tags.write(&lookup.passed, upstream.id, (key, key.bucket(now)), &mut self.options);
        }
        let dress = EdnsParams { payload: marks.opt.then_some(self.payload), options: &self.options };
        let mut assigned = None;
        let attempt_id = self.attempts.insert_with_key(|attempt_id| {
            let assigned =
                assigned.insert(peer.pool.ask(AttemptId(attempt_id), now, &mut self.rng, &mut self.next_socket));
            let mut message = query::build(&lookup.key, assigned.id, dress);
            let name_end = HEADER + lookup.key.name().len();
            if let Some(name) = message.get_mut(HEADER..name_end).filter(|_| marks.spelling) {
                spelling::spell(name, upstream.id, lookup.spelled(), key);
            }
            Attempt {
                lookup: id,
                position,
                sent_over: SentOver::Udp(assigned.socket, assigned.id),
                question_end: query::question_end(&lookup.key),
                message,
                with_opt: marks.opt,
                spelled: marks.spelling,
                other_spelling: false,
                sent: now,
                sends: 1,
                stage: Stage::Fresh,
                step: Some(now + peer.health.late_after()),
                trial: position >= lookup.order.len(),
                upstream: Arc::clone(&upstream),
            }
        });
        let (attempt_id, Some(assigned)) = (AttemptId(attempt_id), assigned) else { return };
        lookup.attempts.push(attempt_id);
        self.actions.extend(assigned.closes.map(Action::Close));
        if assigned.opens {
            self.actions.push_back(Action::Open(assigned.socket, upstream));
        }
        self.actions.push_back(Action::Send(assigned.socket, attempt_id));
    }
}

/// Whom to ask next, and how.
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    pub(super) position: usize,
    pub(super) with_opt: bool,
}
