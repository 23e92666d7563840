//! What becomes of an answer, or of the lack of one: it is remembered, and all who wait get it, each in its own spelling.

use std::time::Instant;

use super::Forwarder;
use crate::cache::{CachedResponse, TtlBounds};
use crate::exchange::{Failure, OwnedUpstreamResponse, UpstreamResponse};
use crate::guard::Standing;
use crate::net::outbox::Outbox;
use crate::respond::{Age, Ede, LocalResponse, local, write_cached};
use crate::upstream::Transport;
use crate::waiters::{Waiter, WayBack};
use crate::wire::{QuestionKey, rcode};

/// How long a failure is remembered where a witness has spoken, in seconds: longer than hops resend.
const SUSPECT_TTL: u32 = 5;
/// How long it is remembered that no upstream answered, in seconds. A client's timeout alone is no verdict on a name.
const NO_ANSWER_TTL: u32 = 1;

/// What a waiter gets.
#[derive(Clone, Copy)]
pub(super) enum Content<'c> {
    /// What an upstream said.
    CachedResponse(&'c CachedResponse, Age),
    /// What we say ourselves.
    LocalResponse(&'c LocalResponse),
}

impl Forwarder {
    /// An upstream answered: remember it, and tell all who wait.
    pub fn give(&self, landed: &UpstreamResponse<'_>, outbox: &mut Outbox, now: Instant) {
        let UpstreamResponse { key, upstream, answer } = landed;
        if self.set.load().get(*upstream).is_none() {
            // Asked before others came into use: those who wait get it, but it is no longer worth remembering.
            return self.give_unremembered(landed, outbox, now);
        }
        if matches!(u8::try_from(answer.rcode()), Ok(rcode::NOERROR | rcode::NXDOMAIN)) {
            self.guard.answered(*upstream, key.name());
        }
        match self.cache.learn(key.bytes(), answer, *upstream, self.seconds(now)) {
            Some(block) => self.tell_all(key, Content::CachedResponse(&block, Age::Seconds(0)), outbox),
            None => self.give_up(key, Failure::NoAnswer, outbox, now),
        }
    }

    /// All that upstreams said is this failure. What was known before is worth more (RFC 8767, section 4).
    pub fn give_failure(&self, said: &OwnedUpstreamResponse, outbox: &mut Outbox, now: Instant) {
        let key = &said.key;
        let Some(landed) = said.landed() else { return self.give_up(key, Failure::NoAnswer, outbox, now) };
        if self.waiters.is_alone(key.bytes()) {
            // One upstream was asked, which says nothing of the others.
            return self.give_unremembered(&landed, outbox, now);
        }
        match self.cache.stale(key.bytes(), self.seconds(now)) {
            Some(stale) => {
                self.remember_failure(key, Failure::NoAnswer, now);
                self.tell_all(key, Content::CachedResponse(&stale, Age::Stale), outbox);
            }
            None => self.give(&landed, outbox, now),
        }
    }

    /// All who wait get it, and it is not remembered, here or by them.
    fn give_unremembered(&self, landed: &UpstreamResponse<'_>, outbox: &mut Outbox, now: Instant) {
        match CachedResponse::new(landed.key.bytes(), &landed.answer, TtlBounds::new(0, 0)) {
            Some(block) => self.tell_all(&landed.key, Content::CachedResponse(&block, Age::Seconds(0)), outbox),
            None => self.give_up(&landed.key, Failure::NoAnswer, outbox, now),
        }
    }

    /// No upstream answered: tell all who wait, with what was known before if there is anything.
    pub fn give_up(&self, key: &QuestionKey, why: Failure, outbox: &mut Outbox, now: Instant) {
        self.remember_failure(key, why, now);
        self.console(key, self.waiters.finish(key.bytes()), why, (outbox, now));
    }

    /// Remembers that no upstream answered, unless that says nothing of the next try. To be called before the flight
    /// ends.
    fn remember_failure(&self, key: &QuestionKey, why: Failure, now: Instant) {
        let lifetime = match why {
            Failure::NoUpstream => None,
            _ if self.waiters.is_alone(key.bytes()) => None,
            Failure::NoAnswer if !self.is_anyone_suspect(key) => Some(NO_ANSWER_TTL),
            Failure::NoAnswer | Failure::Loops(_) => Some(SUSPECT_TTL),
        };
        if let Some(lifetime) = lifetime {
            self.cache.learn_failure(key.bytes(), lifetime, self.seconds(now));
        }
    }

    /// Answers those whose time is up, though the flight goes on; returns when the next one's is.
    pub fn give_overdue(&self, key: &QuestionKey, outbox: &mut Outbox, now: Instant) -> Option<Instant> {
        let (waiters, next) = self.waiters.overdue(key.bytes(), now);
        let (marked, waiters): (Vec<Waiter>, Vec<Waiter>) =
            waiters.into_iter().partition(|waiter| waiter.came_through.is_some());
        self.console(key, waiters, Failure::NoAnswer, (outbox, now));
        for waiter in marked {
            let through = waiter.came_through;
            self.refuse(waiter, through, outbox);
        }
        next
    }

    /// The flight is over: all who wait get the same.
    fn tell_all(&self, key: &QuestionKey, content: Content<'_>, outbox: &mut Outbox) {
        for waiter in self.waiters.finish(key.bytes()) {
            deliver(waiter, content, outbox);
        }
    }

    /// A stale answer, or else SERVFAIL with the reason.
    fn console(
        &self,
        key: &QuestionKey,
        waiters: impl IntoIterator<Item = Waiter>,
        why: Failure,
        (outbox, now): (&mut Outbox, Instant),
    ) {
        let mut waiters = waiters.into_iter().peekable();
        if waiters.peek().is_none() {
            return;
        }
        let stale = self.cache.stale(key.bytes(), self.seconds(now));
        let own = LocalResponse::ServFail(match why {
            Failure::NoUpstream => Ede::new(Ede::NOT_READY, "no upstream server is known"),
            Failure::NoAnswer => Ede::new(Ede::NO_REACHABLE_AUTHORITY, "no upstream server answered in time"),
            Failure::Loops(upstream) => self.loops(Some(upstream)),
        });
        let content =
            stale.as_ref().map_or(Content::LocalResponse(&own), |block| Content::CachedResponse(block, Age::Stale));
        waiters.for_each(|waiter| deliver(waiter, content, outbox));
    }

    /// Whether a witness has spoken against an upstream, for this name.
    fn is_anyone_suspect(&self, key: &QuestionKey) -> bool {
        let (verdicts, set) = (self.guard.verdicts(), self.set.load());
        let mut upstreams = set.upstreams.iter();
        upstreams.any(|upstream| verdicts.standing(upstream.id, Transport::Udp, key.into()) > Standing::Free)
    }
}

/// Gives a waiter its answer, over UDP with the others of the outbox. One that is gone, or cannot be reached, is not waited
/// for.
pub(super) fn deliver(waiter: Waiter, content: Content<'_>, outbox: &mut Outbox) {
    let Waiter { packet, question_end, wants, back, .. } = waiter;
    let write = |out: &mut Vec<u8>| match content {
        Content::CachedResponse(block, age) => {
            write_cached(packet.get(..question_end).unwrap_or_default(), wants, block, age, out);
            true
        }
        Content::LocalResponse(own) => local::write(&packet, own, wants.payload, out).is_some(),
    };
    match back {
        WayBack::Udp(socket, client) => outbox.push(&socket, client, write),
        WayBack::Tcp(task) => {
            let mut out = Vec::new();
            if write(&mut out) {
                let _ = task.send(out);
            }
        }
    }
}
