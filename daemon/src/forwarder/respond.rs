//! What becomes of an upstream's response, or of the lack of one: it is remembered, and all who wait get it, each in
//! its own spelling. What is due to clients is put in order here and written one by one by
//! [`Forwarder::next_response`].

use std::time::Instant;

use smallvec::SmallVec;

use super::counters::Local;
use super::{Forwarder, Shared};
use crate::cache::{CachedResponse, Origin, TtlBounds};
use crate::exchange::stream::Distrust;
use crate::exchange::{Certainty, Failure, OwnedUpstreamResponse, PROVISIONAL_TTL, UpstreamResponse};
use crate::guard::Standing;
use crate::respond::{Age, Ede, LocalResponse, local, write_cached};
use crate::upstream::{Transport, Upstream, UpstreamId};
use crate::waiters::{Asker, Overdue, ReplyTo, Waiter};
use crate::wire::{self, QuestionKey, rcode};

/// Seconds for which a failure is remembered where a witness has spoken: longer than hops resend.
const SUSPECT_TTL: u32 = 5;
/// Seconds for which it is remembered that no upstream answered. A client's timeout alone is no verdict on a name.
const NO_ANSWER_TTL: u32 = 1;

/// Why a client over TCP has no response.
const TOO_LONG: &str = "the response does not fit into a datagram, and no upstream server gave it over TCP";

/// Responses that are due.
#[derive(Debug)]
pub(super) enum Due {
    /// The same to each of these.
    Same(smallvec::IntoIter<[Waiter; 1]>, Content),
    /// These bytes to one client.
    Written(ReplyTo, Vec<u8>),
}

/// What a waiter gets.
#[derive(Debug)]
pub(super) enum Content {
    /// What an upstream said.
    Cached(CachedResponse, Age),
    /// What we say ourselves.
    Local(LocalResponse),
}

impl Forwarder {
    /// Remembers what an upstream said, and gives it to all who wait.
    pub(super) fn respond(&mut self, response: &UpstreamResponse<'_>, now: Instant) {
        let UpstreamResponse { key, upstream, certainty, answer } = response;
        let set = self.shared.set.load();
        if set.route(key.name()).and_then(|route| route.get(*upstream)).is_none() {
            // It was asked before others came into use: those who wait get it, but it is no longer worth remembering.
            return self.respond_unremembered(response, now);
        }
        let is_failure = !matches!(u8::try_from(answer.rcode()), Ok(rcode::NOERROR | rcode::NXDOMAIN));
        let is_provisional = *certainty == Certainty::Provisional;
        if is_provisional {
            // An old address is worth more, but for one that this upstream or a later one told: it has changed.
            let rank = |id| set.route(key.name()).and_then(|route| route.rank(id));
            self.shared.cache.forget_answer(key.bytes(), |older| rank(older) >= rank(*upstream));
        }
        let is_worth_more = |older: &Content| is_failure || (is_provisional && !older.is_negative());
        let older = self.shared.fallback(key, now).filter(is_worth_more);
        let provisional = is_provisional.then_some(PROVISIONAL_TTL);
        let origin = Origin { upstream: *upstream, provisional };
        // By the engine's copy of the verdicts: the shared one costs more to look at, for each miss.
        if !is_failure && !self.engine.guidance().verdicts.all().is_empty() {
            self.shared.guard.answered(*upstream, key.into());
        }
        let learnt = self.shared.cache.learn(key.bytes(), answer, origin, self.shared.seconds(now));
        match older.or_else(|| learnt.map(|block| Content::Cached(block, Age::Seconds(0)))) {
            Some(content) => self.respond_to_all(key, content, Some(*upstream), now),
            None => self.fail(key, Failure::NoAnswer, now),
        }
    }

    /// Gives a response that was kept for a while.
    pub(super) fn respond_kept(&mut self, kept: &OwnedUpstreamResponse, now: Instant) {
        match kept.landed() {
            Some(response) => self.respond(&response, now),
            None => self.fail(&kept.key, Failure::NoAnswer, now),
        }
    }

    /// Gives a failure, which is all that upstreams said. What was known before is worth more (RFC 8767, section 4).
    pub(super) fn respond_failure(&mut self, failure: &OwnedUpstreamResponse, now: Instant) {
        let key = &failure.key;
        // Of one in quarantine it is our own word, come back: another worker's clients were told a moment before this
        // one heard of the verdict.
        let verdicts = self.shared.guard.verdicts();
        let loops = |over| verdicts.standing(failure.upstream, over, key.into()) == Standing::Quarantined;
        if Transport::ALL.into_iter().any(loops) {
            return self.fail(key, Failure::Loops(failure.upstream), now);
        }
        let Some(response) = failure.landed() else { return self.fail(key, Failure::NoAnswer, now) };
        self.shared.waiters.has_failed(key.bytes(), now);
        let is_for_onwards = self.shared.waiters.asker(key.bytes()) == Asker::Onward;
        match self.shared.fallback(key, now) {
            // What upstreams say to a question that walks among Onwards may be what we said ourselves.
            None if is_for_onwards => self.respond_unremembered(&response, now),
            Some(older) => {
                self.shared.remember_failure(key, Failure::NoAnswer, now);
                self.respond_to_all(key, older, None, now);
            }
            None => self.respond(&response, now),
        }
    }

    /// Gives a response to all who wait, and has it remembered nowhere.
    fn respond_unremembered(&mut self, response: &UpstreamResponse<'_>, now: Instant) {
        match CachedResponse::new(response.key.bytes(), &response.answer, TtlBounds::new(0, 0)) {
            Some(block) => {
                let content = Content::Cached(block, Age::Seconds(0));
                self.respond_to_all(&response.key, content, Some(response.upstream), now);
            }
            None => self.fail(&response.key, Failure::NoAnswer, now),
        }
    }

    /// Tells all who wait that no upstream answered, with what was known before if there is anything.
    pub(super) fn fail(&mut self, key: &QuestionKey, why: Failure, now: Instant) {
        self.shared.remember_failure(key, why, now);
        self.shared.waiters.has_failed(key.bytes(), now);
        let waiters = self.shared.waiters.finish(key.bytes());
        if waiters.is_empty() {
            self.observe_refresh(key, rcode::SERVFAIL, None, now);
        }
        self.respond_stale_or_servfail(key, waiters, why, now);
    }

    /// Answers the waiters whose time is up, though the lookup goes on: by a stale response, by what an upstream said
    /// that was `truncated`, or else with SERVFAIL. Returns the next waiter's deadline.
    pub(super) fn respond_overdue(
        &mut self,
        key: &QuestionKey,
        truncated: Option<&OwnedUpstreamResponse>,
        now: Instant,
    ) -> Option<Instant> {
        let Overdue { waiting: waiters, returned, next } = self.shared.waiters.overdue(key.bytes(), now);
        let truncated = truncated.and_then(OwnedUpstreamResponse::landed).filter(|_| !waiters.is_empty());
        let truncated = truncated.and_then(|it| CachedResponse::new(key.bytes(), &it.answer, TtlBounds::new(0, 0)));
        self.shared.cache.hold_stale(key.bytes(), self.shared.seconds(now));
        match truncated.filter(|_| self.shared.fallback(key, now).is_none()) {
            Some(block) => {
                self.give(waiters.into(), Content::Cached(block, Age::Seconds(0)), None, now);
            }
            None => self.respond_stale_or_servfail(key, waiters.into(), Failure::NoAnswer, now),
        }
        for waiter in returned {
            let through = waiter.returned_through;
            self.refuse(SmallVec::from_buf([waiter]), through, now);
        }
        next
    }

    /// Ends a lookup: all who wait get the same.
    fn respond_to_all(&mut self, key: &QuestionKey, content: Content, by: Option<UpstreamId>, now: Instant) {
        let waiters = self.shared.waiters.finish(key.bytes());
        if waiters.is_empty() {
            self.observe_refresh(key, content.rcode(), by, now);
        }
        self.give(waiters, content, by, now);
    }

    /// Puts in order what is due to these waiters; `by` is who said it, where an upstream did just now.
    fn give(&mut self, waiters: SmallVec<[Waiter; 1]>, content: Content, by: Option<UpstreamId>, now: Instant) {
        if waiters.is_empty() {
            return;
        }
        let clients = u64::try_from(waiters.len()).unwrap_or(u64::MAX);
        match content {
            Content::Cached(_, Age::Seconds(_)) => self.counters_mut().answered += clients,
            Content::Cached(_, Age::Stale) => self.counters_mut().waited_stale += clients,
            Content::Local(_) => {} // told by its reason
        }
        for waiter in waiters.iter().filter(|waiter| waiter.returned_through.is_none()) {
            self.counters_mut().waits.record(waiter.waited(now));
            if self.shared.monitor.is_on() {
                self.observe_waiter(waiter, &content, by, now);
            }
        }
        self.due.push_back(Due::Same(waiters.into_iter(), content));
    }

    /// Refuses queries of ours that came back, them alone.
    pub(super) fn refuse(&mut self, waiters: SmallVec<[Waiter; 1]>, through: Option<UpstreamId>, now: Instant) {
        waiters.iter().for_each(|_| self.counters_mut().answered_locally(Local::Returned));
        let loops = LocalResponse::ServFail(self.shared.loops(through));
        self.give(waiters, Content::Local(loops), through, now);
    }

    /// Gives what is remembered, stale mostly, or else SERVFAIL with the reason.
    fn respond_stale_or_servfail(
        &mut self,
        key: &QuestionKey,
        waiters: SmallVec<[Waiter; 1]>,
        why: Failure,
        now: Instant,
    ) {
        if waiters.is_empty() {
            return;
        }
        if let Some(older) = self.shared.fallback(key, now) {
            return self.give(waiters, older, None, now);
        }
        self.counters_mut().failed(why, waiters.len());
        let reason = match why {
            Failure::NoUpstream => Ede::new(Ede::NOT_READY, "no upstream server is known"),
            Failure::NoAnswer => Ede::new(Ede::NO_REACHABLE_AUTHORITY, "no upstream server gave an answer"),
            Failure::Loops(upstream) => self.shared.loops(Some(upstream)),
            Failure::Untrusted(upstream, why) => self.shared.is_untrusted(upstream, why),
        };
        self.give(waiters, Content::Local(LocalResponse::ServFail(reason)), None, now);
    }

    /// Writes the next response that is due to `out`; returns its way.
    pub(super) fn next_response(&mut self, out: &mut Vec<u8>) -> Option<ReplyTo> {
        loop {
            match self.due.front_mut()? {
                Due::Same(waiters, content) => {
                    let payload = self.shared.payload;
                    let written = waiters.find(|waiter| content.write(waiter, payload, out));
                    if let Some(waiter) = written {
                        self.intake.counters.responses.raise(out);
                        return Some(waiter.reply_to);
                    }
                    self.due.pop_front();
                }
                Due::Written(reply_to, bytes) => {
                    let reply_to = *reply_to;
                    std::mem::swap(out, bytes);
                    self.due.pop_front();
                    return Some(reply_to);
                }
            }
        }
    }
}

impl Content {
    /// The response code, without the upper bits of EDNS.
    pub(super) fn rcode(&self) -> u8 {
        match self {
            Self::Cached(block, _) => block.rcode(),
            Self::Local(response) => response.rcode(),
        }
    }

    /// The first extended error.
    pub(super) fn error(&self) -> Option<u16> {
        match self {
            Self::Cached(block, _) => wire::u16_at(block.errors(), 4),
            Self::Local(response) => response.ede().map(|ede| ede.code),
        }
    }

    /// Whether it says that there is nothing.
    fn is_negative(&self) -> bool {
        matches!(self, Self::Cached(block, _) if block.is_negative())
    }

    /// Writes the response to a waiter's query; false where silence is due.
    fn write(&self, waiter: &Waiter, payload: u16, out: &mut Vec<u8>) -> bool {
        let is_over_stream = matches!(waiter.reply_to, ReplyTo::Stream(_));
        match self {
            // Over TCP nothing is truncated: a client would take it for the whole (RFC 7766, section 5).
            Self::Cached(block, _) if is_over_stream && block.is_truncated() => {
                let too_long = LocalResponse::ServFail(Ede::new(Ede::NO_REACHABLE_AUTHORITY, TOO_LONG));
                local::write(&waiter.packet, &too_long, payload, out).is_some()
            }
            Self::Cached(block, age) => {
                let head = waiter.packet.get(..waiter.question_end).unwrap_or_default();
                write_cached(head, waiter.wants, block, *age, out);
                true
            }
            Self::Local(response) => local::write(&waiter.packet, response, payload, out).is_some(),
        }
    }
}

impl Shared {
    /// What was known before, where no upstream tells better: what lives, or may be served stale.
    fn fallback(&self, key: &QuestionKey, now: Instant) -> Option<Content> {
        let (block, age) = self.cache.fallback(key.bytes(), self.seconds(now))?;
        Some(Content::Cached(block, age.map_or(Age::Stale, Age::Seconds)))
    }

    /// Remembers that no upstream answered, unless that says nothing of the next try. To be called before the waiters'
    /// entry ends.
    fn remember_failure(&self, key: &QuestionKey, why: Failure, now: Instant) {
        let lifetime = match why {
            Failure::NoUpstream => None,
            _ if self.waiters.asker(key.bytes()) == Asker::Onward => None,
            Failure::NoAnswer | Failure::Untrusted(..) if !self.is_anyone_suspect(key) => Some(NO_ANSWER_TTL),
            Failure::NoAnswer | Failure::Untrusted(..) | Failure::Loops(_) => Some(SUSPECT_TTL),
        };
        if let Some(lifetime) = lifetime {
            self.cache.learn_failure(key.bytes(), lifetime, self.seconds(now));
        }
    }

    /// Whether a witness has spoken against an upstream, for this name.
    fn is_anyone_suspect(&self, key: &QuestionKey) -> bool {
        let (verdicts, set) = (self.guard.verdicts(), self.set.load());
        let mut upstreams = set.route(key.name()).into_iter().flat_map(|route| &route.upstreams);
        let over = |upstream: &Upstream| upstream.endpoint.first_transport();
        upstreams.any(|upstream| verdicts.standing(upstream.id, over(upstream), key.into()) > Standing::Free)
    }

    /// The reason that a client is told where no upstream answered, this one since its certificate is refused.
    fn is_untrusted(&self, upstream: UpstreamId, why: Distrust) -> Ede {
        let text = match self.set.load().get(upstream) {
            Some(upstream) => format!("the certificate of {} is refused: {why}", upstream.endpoint),
            None => format!("the certificate of an upstream server is refused: {why}"),
        };
        Ede::new(Ede::NO_REACHABLE_AUTHORITY, text)
    }
}
