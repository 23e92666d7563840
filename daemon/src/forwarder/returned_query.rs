//! What becomes of a query of ours that came back: its lookup goes on, and it alone is refused where there is nothing
//! better.
//!
//! Hops set DO or CD on what they send back (Unbound DO, BIND both), by which it has another key than what it stems
//! from. Where it is surely ours it is refused at once, since the answer that is due would not fit it, and so are its
//! repeats for a while, also when its lookup is over. Where only a hint says so it is **held** for [`HOLD`]: should a
//! probe of ours come home through that upstream about then, which nobody can forge, it is refused, and its repeats for
//! a while; else it is asked like any other. So a false hint costs 50 ms and no refusal; and a client without any who
//! asks the same meanwhile has it asked at once.

use std::time::{Duration, Instant};

use super::event::Event;
use super::incoming::Incoming;
use super::{Forwarder, Shared};
use crate::exchange::LookupRequest;
use crate::guard::HOLD;
use crate::guard::returned::{self, ReturnedMarks};
use crate::respond::Ede;
use crate::upstream::{Transport, UpstreamId};
use crate::wire::{Query, QuestionKey};

/// Maximum number of upstreams whose spelling is looked for in a query.
const SPELLINGS: usize = 3;
/// Time before the end of a hold from which on a probe that came home counts as evidence, beside the hold itself.
const EVIDENCE: Duration = HOLD;

/// What is to be done with a query that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReturnedQuery {
    /// The very same is being asked: it waits for the response.
    Join,
    /// It is held.
    Hold,
    /// It is refused at once.
    Refuse,
}

impl Shared {
    /// Reads the marks on a query.
    pub(super) fn marks(&self, incoming: &Incoming<'_>, query: &Query, now: Instant) -> ReturnedMarks {
        let mut asked = [UpstreamId(0); SPELLINGS];
        let mut count = 0;
        if self.waiters.concerns(query.key(), now) || (query.asks_for_more() && self.asking(query).next().is_some()) {
            let set = self.set.load();
            let upstreams = set.route(query.name()).into_iter().flat_map(|route| &route.upstreams);
            for (place, upstream) in asked.iter_mut().zip(upstreams) {
                *place = upstream.id;
                count += 1;
            }
        }
        let asked = asked.get(..count).unwrap_or_default();
        returned::read(incoming.packet, query, &self.guard.key(), now, asked)
    }

    /// The keys that are being asked for this query, also those without DO or CD.
    fn asking(&self, query: &Query) -> impl Iterator<Item = QuestionKey> {
        query.keys_that_ask_less().filter(|key| self.waiters.is_asked(key)).map(|key| QuestionKey::new(&key))
    }

    /// Tells the guard where a query is ours come back.
    pub(super) fn tell_guard(&self, marks: &ReturnedMarks, incoming: &Incoming<'_>, query: &Query) {
        if let Some(back) = marks.returned {
            let set = self.set.load();
            let first = set.get(back.through).map_or(Transport::Udp, |through| through.endpoint.first_transport());
            self.guard.suspect(back.through, first, back.witness, query.into());
            if first == Transport::Udp && incoming.ingress.transport() == Transport::Tcp {
                self.guard.suspect(back.through, Transport::Tcp, back.witness, query.into());
            }
        }
    }

    /// Has the lookups go on that this query seems to come from, by what `broadcast` gets. Returns what becomes of the
    /// query itself.
    pub(super) fn returned(
        &self,
        back: returned::ReturnedThrough,
        query: &Query,
        until: Instant,
        broadcast: &mut Vec<Event>,
    ) -> ReturnedQuery {
        let asking: Vec<QuestionKey> = self.asking(query).collect();
        broadcast.extend(asking.iter().map(|key| Event::Returned(key.clone(), back.through, until)));
        if asking.iter().any(|key| key.bytes() == query.key()) {
            return ReturnedQuery::Join;
        }
        // It comes late and what it asked is over, or the answer to that would not fit: it was asked without DO or CD.
        if back.is_sure { ReturnedQuery::Refuse } else { ReturnedQuery::Hold }
    }

    /// The reason that a client is told where its query is ours come back `through` an upstream.
    pub(super) fn loops(&self, through: Option<UpstreamId>) -> Ede {
        let set = self.set.load();
        let upstream = through.and_then(|id| set.get(id));
        let text = match upstream {
            Some(upstream) => format!("forwarding loop: {} sends questions back to this node", upstream.endpoint),
            None => "forwarding loop: an upstream sends questions back to this node".to_owned(),
        };
        Ede::new(Ede::NETWORK_ERROR, text)
    }
}

impl Forwarder {
    /// Ends the hold of a query: it is asked, or refused where a probe came home meanwhile. No-op where it is not held
    /// any more.
    pub(super) fn release(&mut self, request: LookupRequest, now: Instant) {
        let since = now.checked_sub(HOLD + EVIDENCE).unwrap_or(now);
        let through = request.through.filter(|through| self.shared.guard.has_probe_come_home(*through, since));
        if through.is_some() {
            // They alone are refused: nothing of that is remembered or shared.
            let waiters = self.shared.waiters.refuse(request.key.bytes(), now);
            self.refuse(waiters, through, now);
        } else if self.shared.waiters.release(request.key.bytes()) {
            self.look_up_held(request, now);
        }
    }
}
