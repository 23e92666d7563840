//! One question's lookup through the upstreams, and each attempt at one upstream in it: their state and their times.
//! Pure.
//!
//! The rules of what follows what stand in `failover`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slotmap::DefaultKey;
use smallvec::SmallVec;

use super::form::Form;
use super::pool::Socket;
use super::sending::Target;
use super::stream::Distrust;
use super::{Certainty, LookupRequest, OwnedUpstreamResponse};
use crate::guard::Passed;
use crate::upstream::{Transport, Upstream, UpstreamId};
use crate::wire::{HEADER, QuestionKey};

/// Every client gets an answer within this: CoreDNS gives up after 2 s.
pub const CLIENT_BUDGET: Duration = Duration::from_millis(1800);
/// An exchange outlives its client, so that the client's next try finds the answer in the cache.
pub(super) const LOOKUP_BUDGET: Duration = Duration::from_secs(6);
/// After this the next upstream is asked, whatever the standards of the one before.
const PATIENCE: std::ops::RangeInclusive<Duration> = Duration::from_millis(300)..=Duration::from_millis(600);
/// Time until an upstream that has never answered is asked in plainer forms, too.
const UNKNOWN: Duration = Duration::from_millis(150);
/// Time until the guard is told that a near upstream is silent of which no response was measured. It may loop, and what
/// validates may have denied the guard's own probe from a cache; a probe costs less than the wait of a client.
const UNMEASURED: Duration = Duration::from_millis(25);
/// Time until a negative response of a later upstream no longer waits for an earlier one that was asked.
pub(super) const DUE: Duration = Duration::from_millis(1500);
/// Time before the first client's deadline at which nothing more is waited for that could only contradict what there
/// is.
const LAST_CALL: Duration = Duration::from_millis(50);

/// Names a lookup, which lasts six seconds at most. The same name comes again only after two thousand million others in
/// the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LookupId(pub(super) DefaultKey);

/// Names an attempt. It ends with its lookup, after six seconds at most; the same name comes again only after two
/// thousand million others in the same slot, so that what comes late is not taken for the answer to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId(pub(super) DefaultKey);

/// A message that an upstream sent, kept for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Who sent it.
    pub(super) upstream: UpstreamId,
    /// Where that upstream stands in its route.
    pub(super) rank: usize,
    /// The message.
    pub(super) message: Vec<u8>,
}

impl Kept {
    /// The response to the question `key`, for others.
    pub(super) fn said(&self, key: &QuestionKey) -> OwnedUpstreamResponse {
        OwnedUpstreamResponse {
            key: key.clone(),
            upstream: self.upstream,
            certainty: Certainty::Settled,
            message: self.message.clone(),
        }
    }
}

/// One question on its way through the upstreams.
#[derive(Debug)]
pub(super) struct Lookup {
    /// The question.
    pub(super) key: QuestionKey,
    /// The question's hash, by which it is found.
    pub(super) hash: u64,
    /// The packet of the first asker.
    pub(super) packet: Arc<[u8]>,
    /// The other Onwards that it has passed.
    pub(super) passed: Passed,
    /// Through whom it came back to us, if it did.
    pub(super) returned_through: Option<UpstreamId>,
    /// Whom to ask, in this order.
    pub(super) order: AskingOrder,
    /// How many of them were asked.
    pub(super) asked: usize,
    /// Whether all who wait for it are other Onwards: then it is not hedged, and no reason to probe.
    pub(super) relayed: bool,
    /// How often it was asked again of an upstream that it came back through.
    pub(super) again: u8,
    /// What is still awaited.
    pub(super) attempts: SmallVec<[AttemptId; 2]>,
    /// Since when the clients have their answer; what is still awaited then only teaches how its upstream does.
    pub(super) done: Option<Instant>,
    /// The rank of the upstream whose provisional response the clients got: what one before it still says is worth
    /// more.
    pub(super) provisional: Option<usize>,
    /// The first upstream whose certificate was refused.
    pub(super) untrusted: Option<(UpstreamId, Distrust)>,
    /// A negative answer that waits for a more important upstream.
    pub(super) negative: Option<Kept>,
    /// The first truncated response: what there is for clients over UDP where no stream brings the whole.
    pub(super) truncated: Option<Kept>,
    /// The first lame response, and how many there were: no word on the name, unless all upstreams are lame.
    pub(super) lame: (Option<Kept>, usize),
    /// The first failure that an upstream told of.
    pub(super) failure: Option<Kept>,
    /// When clients whose time is up are to be answered next.
    pub(super) overdue: Instant,
    /// When it ends.
    pub(super) ends: Instant,
    /// What its timer is set to.
    pub(super) timer: Option<Instant>,
}

/// Upstreams in the order in which they are asked.
pub(super) type AskingOrder = SmallVec<[UpstreamId; 4]>;

/// Over what an attempt is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SentOver {
    /// As a datagram over a socket, with an ID.
    Udp(Socket, u16),
    /// Over a stream of this transport.
    Stream(Transport),
}

impl SentOver {
    /// The transport.
    pub(super) fn transport(self) -> Transport {
        match self {
            Self::Udp(..) => Transport::Udp,
            Self::Stream(transport) => transport,
        }
    }
}

/// How patient we are with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It is in time.
    Fresh,
    /// It is late by its upstream's standards.
    Late,
    /// The next was asked; what this one says still counts before a negative answer of a later one.
    Passed,
    /// Nothing waits for it any more, but it is still welcome.
    GivenUp,
}

/// One question to one upstream.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The lookup that it belongs to.
    pub(super) lookup: LookupId,
    /// Who is asked.
    pub(super) upstream: Arc<Upstream>,
    /// Where the upstream stands in the route: whose word counts more.
    pub(super) rank: usize,
    /// Over what.
    pub(super) sent_over: SentOver,
    /// The query as sent.
    pub(super) message: Vec<u8>,
    /// Where its question ends.
    pub(super) question_end: usize,
    /// Whether it has an OPT.
    pub(super) with_opt: bool,
    /// Whether its name is spelled in a pattern of ours, which the answer must repeat.
    pub(super) spelled: bool,
    /// An answer came that was right but for its spelling.
    pub(super) other_spelling: bool,
    /// The form that it was sent in.
    pub(super) form: Form,
    /// Whether it came back to us.
    pub(super) returned: bool,
    /// Whether it goes beside another one to the same upstream: nothing waits for it.
    pub(super) extra: bool,
    /// Whether its silence is told of early, since nobody knows when a response of its upstream is late.
    pub(super) told_early: bool,
    /// Whether plainer copies of it are due, since its upstream may not bear its form.
    pub(super) copies_due: bool,
    /// When its upstream was first asked the question, in whatever form and over whatever transport: our patience with
    /// the upstream begins then.
    pub(super) begun: Instant,
    /// When it was first sent.
    pub(super) sent: Instant,
    /// How often.
    pub(super) sends: u8,
    /// How patient we still are.
    pub(super) stage: Stage,
    /// When that changes.
    pub(super) step: Option<Instant>,
}

impl Attempt {
    /// One that is sent now, without its message.
    pub(super) fn new(lookup: LookupId, target: &Target, sent_over: SentOver, now: Instant) -> Self {
        let Target { upstream, rank, form, stage, begun, extra } = target;
        Self {
            lookup,
            upstream: Arc::clone(upstream),
            rank: *rank,
            sent_over,
            message: Vec::new(),
            question_end: 0,
            with_opt: false,
            spelled: false,
            other_spelling: false,
            form: *form,
            returned: false,
            extra: *extra,
            told_early: false,
            copies_due: false,
            begun: *begun,
            sent: now,
            sends: 1,
            stage: *stage,
            step: None,
        }
    }

    /// Over what it was sent.
    pub(super) fn transport(&self) -> Transport {
        self.sent_over.transport()
    }

    /// Whether it was sent over a second transport, after the one that a query to its upstream begins with.
    pub(super) fn is_second_transport(&self) -> bool {
        self.transport() != self.upstream.endpoint.first_transport()
    }

    /// The same to its upstream in another form.
    pub(super) fn again(&self, upstream: Arc<Upstream>, form: Form) -> Target {
        Target { upstream, rank: self.rank, form, stage: Stage::Fresh, begun: self.begun, extra: false }
    }

    /// When something is to be done about it while it is fresh, given after how long its response is late.
    pub(super) fn first_step(&self, late_after: Duration) -> Instant {
        let after = match (self.told_early, self.copies_due) {
            (true, _) => UNMEASURED,
            (false, true) => late_after.min(UNKNOWN),
            (false, false) => late_after,
        };
        self.sent + after
    }
}

impl Lookup {
    /// A lookup that starts now.
    #[must_use]
    pub(super) fn new(question: LookupRequest, hash: u64, order: AskingOrder, now: Instant) -> Self {
        Self {
            relayed: question.passed.foreign(),
            key: question.key,
            hash,
            packet: question.packet,
            passed: question.passed,
            returned_through: None,
            order,
            asked: 0,
            again: 0,
            attempts: SmallVec::new(),
            done: None,
            provisional: None,
            untrusted: None,
            negative: None,
            truncated: None,
            lame: (None, 0),
            failure: None,
            overdue: now + CLIENT_BUDGET,
            ends: now + LOOKUP_BUDGET,
            timer: None,
        }
    }

    /// The name as the first asker spelled it.
    #[must_use]
    pub(super) fn spelled(&self) -> &[u8] {
        self.packet.get(HEADER..HEADER + self.key.name().len()).unwrap_or_default()
    }

    /// When something is to be done for it next, given when its attempts' stages change.
    #[must_use]
    pub(super) fn next_time(&self, steps: impl Iterator<Item = Instant>) -> Instant {
        let own = if self.done.is_some() { self.ends } else { self.overdue.min(self.ends) };
        steps.fold(own, Instant::min)
    }

    /// The time at which a negative response that is withheld must be told, to be in time for the first client.
    #[must_use]
    pub(super) fn last_call(&self) -> Instant {
        self.ends - LOOKUP_BUDGET + CLIENT_BUDGET - LAST_CALL
    }

    /// How long after it was asked the next is asked instead of an upstream that is late after `late_after`.
    ///
    /// The client's time is shared between all that may have to be asked.
    #[must_use]
    pub(super) fn patience(&self, late_after: Duration) -> Duration {
        let share = CLIENT_BUDGET / u32::try_from(self.order.len()).unwrap_or(u32::MAX).max(1);
        (late_after * 3).clamp(*PATIENCE.start(), *PATIENCE.end()).min(share.max(late_after))
    }
}
