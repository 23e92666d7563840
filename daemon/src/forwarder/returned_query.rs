//! What becomes of a question of ours that came back: its flight goes on, and it alone is refused where nothing better is
//! to be had.
//!
//! Hops set DO or CD on what they send back (Unbound DO, BIND both), by which it has another key than what it stems from.
//! Where it is surely ours it is refused at once, since the answer that is due would not fit it, and so are its repeats
//! for a while, also when its flight is over. Where only a hint says so it is **held** for [`HOLD`]: should a probe of ours
//! come home through that upstream about then, which nobody can forge, it is refused, and its repeats for a while; else it
//! is asked like any other. So a false hint costs 50 ms and no refusal; and a client without any who asks the same meanwhile
//! has it asked at once.

use std::time::{Duration, Instant};

use super::respond::{Content, deliver};
use super::{Arrival, Forwarder};
use crate::exchange::LookupRequest;
use crate::guard::HOLD;
use crate::guard::returned::{self, ReturnedMarks};
use crate::net::outbox::Outbox;
use crate::respond::{Ede, LocalResponse};
use crate::server::mailbox::Order;
use crate::upstream::{Transport, UpstreamId};
use crate::waiters::Waiter;
use crate::wire::{Query, QuestionKey};

/// The spelling of so many upstreams is looked for at most in a question that is being asked.
const SPELLINGS: usize = 3;
/// A probe that came home so long before is evidence, too.
const ABOUT: Duration = HOLD;

impl Forwarder {
    /// The marks on a query.
    pub(super) fn marks(&self, arrival: &Arrival<'_>, query: &Query) -> ReturnedMarks {
        let mut asked = [UpstreamId(0); SPELLINGS];
        let mut count = 0;
        if self.waiters.concerns(query.key(), arrival.at.now)
            || (query.asks_for_more() && self.asking(query).next().is_some())
        {
            for (place, upstream) in asked.iter_mut().zip(&self.set.load().upstreams) {
                *place = upstream.id;
                count += 1;
            }
        }
        let asked = asked.get(..count).unwrap_or_default();
        returned::read(arrival.packet, query, &self.guard.key(), arrival.at.now, asked)
    }

    /// The waiters that ask this question, also those without DO or CD.
    fn asking(&self, query: &Query) -> impl Iterator<Item = QuestionKey> {
        query.keys_that_ask_less().filter(|key| self.waiters.is_flying(key)).map(|key| QuestionKey::new(&key))
    }

    /// Tells the guard where a query is ours come back.
    pub(super) fn tell_guard(&self, marks: &ReturnedMarks, arrival: &Arrival<'_>, query: &Query) {
        if let Some(back) = marks.came_back {
            self.guard.suspect(back.through, Transport::Udp, back.witness, query.into());
            if arrival.over_tcp {
                self.guard.suspect(back.through, Transport::Tcp, back.witness, query.into());
            }
        }
    }

    /// Has the waiters go on that this question seems to come from. Returns whether it has to be refused at once, or else
    /// whether it is to be held.
    pub(super) fn came_back(&self, back: returned::CameBack, query: &Query, until: Instant) -> Treatment {
        let asking: Vec<QuestionKey> = self.asking(query).collect();
        for key in &asking {
            self.tell_workers(|| Order::CameBack(key.clone(), back.through, until));
        }
        match asking.iter().any(|key| key.bytes() == query.key()) {
            true => Treatment::Join,
            // It comes late and what it asked is over, or the answer to it would not fit: it was asked without DO or CD.
            false if back.is_sure => Treatment::Refuse,
            false => Treatment::Hold,
        }
    }

    /// A held question's time is over: true where it is to be asked.
    #[must_use]
    pub fn let_go(&self, question: &LookupRequest, outbox: &mut Outbox, now: Instant) -> bool {
        let since = now.checked_sub(HOLD + ABOUT).unwrap_or(now);
        let through = question.through.filter(|through| self.guard.has_probe_come_home(*through, since));
        if through.is_none() {
            return self.waiters.release(question.key.bytes());
        }
        for waiter in self.waiters.refuse(question.key.bytes(), now) {
            self.refuse(waiter, through, outbox);
        }
        false
    }

    /// A question of ours that came back is refused, it alone: nothing of that is remembered or shared.
    pub(super) fn refuse(&self, waiter: Waiter, through: Option<UpstreamId>, outbox: &mut Outbox) {
        let own = LocalResponse::ServFail(self.loops(through));
        deliver(waiter, Content::LocalResponse(&own), outbox);
    }

    pub(super) fn loops(&self, through: Option<UpstreamId>) -> Ede {
        let set = self.set.load();
        let upstream = through.and_then(|number| set.get(number));
        let text = match upstream {
            Some(upstream) => format!("forwarding loop: {} sends questions back to this node", upstream.server),
            None => "forwarding loop: an upstream sends questions back to this node".to_owned(),
        };
        Ede::new(Ede::NETWORK_ERROR, text)
    }
}

/// What is to be done with a question that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// The very question is being asked: it waits for the answer.
    Join,
    /// It is held.
    Hold,
    /// It is refused at once.
    Refuse,
}
