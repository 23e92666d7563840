//! A worker's core: its exchange, what it holds until a time, and what is due to be sent.
//!
//! Events and the time go in, [`Transmit`]s come out. A shell calls one of the `handle_…` functions for whatever
//! happens, then [`Forwarder::poll_transmit`] until there is nothing more, and [`Forwarder::handle_timeout`] when
//! [`Forwarder::poll_timeout`] says so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::counters::Counters;
use super::event::{Event, Transmit};
use super::incoming::{Incoming, Intake};
use super::query::{Disposition, Outcome, Reply};
use super::respond::Due;
use crate::exchange::pool::Socket;
use crate::exchange::stream::StreamError;
use crate::exchange::{Action, AttemptId, CLIENT_BUDGET, Engine, EngineReport, Failure, Guidance, LookupRequest};
use crate::guard::{HOLD, PROBE_HOLD, Witness};
use crate::upstream::UpstreamId;
use crate::waiters::{Asker, ReplyTo};
use crate::wire::QuestionKey;

/// See the module.
pub struct Forwarder {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: Engine,
    pub(super) intake: Intake,
    /// Responses to probes that came home, which nobody can forge, so they are few.
    held_responses: VecDeque<(Instant, (ReplyTo, Vec<u8>))>,
    /// Queries that are perhaps ours come back; bounded by the waiters.
    held_lookups: VecDeque<(Instant, LookupRequest)>,
    /// What this core and all others are to be told.
    broadcast: VecDeque<Event>,
    pub(super) due: VecDeque<Due>,
}

impl Forwarder {
    /// Makes a core that asks upstreams by `engine`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, engine: Engine, now: Instant) -> Self {
        Self {
            intake: Intake::new(shared.context(now)),
            shared,
            engine,
            held_responses: VecDeque::new(),
            held_lookups: VecDeque::new(),
            broadcast: VecDeque::new(),
            due: VecDeque::new(),
        }
    }

    /// What it shares with the others.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sets the time for the queries that follow.
    #[inline]
    pub fn begin_batch(&mut self, now: Instant) {
        self.shared.renew(&mut self.intake.context, now);
    }

    /// Event: a query came. Writes its response to `out` where that is [`Reply::Now`].
    #[inline]
    pub fn handle_query(&mut self, incoming: &Incoming<'_>, out: &mut Vec<u8>) -> Reply {
        match self.shared.decide(&mut self.intake, incoming, out) {
            Disposition::Respond => Reply::Now,
            disposition => self.carry_out(disposition, incoming, out),
        }
    }

    /// Event: a query that an earlier process took, whose client gives up at `deadline`: it has no more time than it
    /// had there. One whose client has given up is dropped.
    pub fn handle_left_query(&mut self, incoming: &Incoming<'_>, deadline: Instant, out: &mut Vec<u8>) -> Reply {
        if deadline <= self.intake.context.now {
            return Reply::None;
        }
        self.intake.deadline = Some(deadline);
        let reply = self.handle_query(incoming, out);
        self.intake.deadline = None;
        if reply == Reply::Later {
            let key = QuestionKey::new(self.intake.query.key());
            self.engine.remind(&key, deadline);
        }
        reply
    }

    /// Does what is not simply to respond. Apart, so that hits need not make room for it.
    #[inline(never)]
    fn carry_out(&mut self, disposition: Disposition, incoming: &Incoming<'_>, out: &mut Vec<u8>) -> Reply {
        let Outcome { reply, event, broadcast } = self.shared.carry_out(disposition, &mut self.intake, incoming, out);
        if let Some(event) = event {
            self.handle_event(event, self.intake.context.now);
        }
        self.broadcast.extend(broadcast);
        reply
    }

    /// Event: a datagram came from `upstream` over `socket`.
    pub fn handle_datagram(&mut self, upstream: UpstreamId, socket: Socket, message: &[u8], now: Instant) {
        let response = self.engine.datagram(upstream, socket, message, now);
        self.observe_traces();
        if let Some(response) = response {
            self.respond(&response, now);
        }
    }

    /// Event: nothing listens where `socket` is connected to, or it could not be opened.
    pub fn handle_refused(&mut self, upstream: UpstreamId, socket: Socket, now: Instant) {
        self.engine.refused(upstream, socket, now);
    }

    /// Event: what a stream brought for an attempt, or nothing.
    pub fn handle_stream(&mut self, attempt: AttemptId, message: Result<&[u8], StreamError>, now: Instant) {
        let response = self.engine.streamed(attempt, message, now);
        self.observe_traces();
        if let Some(response) = response {
            self.respond(&response, now);
        }
    }

    /// Event: what another thread decided or found out.
    pub fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::LookUp(request) => self.look_up(request, now),
            Event::Hold(request) => self.held_lookups.push_back((now + HOLD, request)),
            Event::HoldResponse(reply_to, bytes) => {
                self.held_responses.push_back((now + PROBE_HOLD, (reply_to, bytes)));
            }
            Event::Returned(key, upstream, until) => {
                self.engine.returned(&key, upstream, now);
                self.engine.remind(&key, until);
            }
            Event::Widen(key) => self.engine.widen(&key, now),
            Event::Remind(key, at) => self.engine.remind(&key, at),
            Event::Guidance => {
                let guard = &self.shared.guard;
                let (verdicts, key) = (Arc::clone(&guard.verdicts()), Arc::clone(&guard.key()));
                self.engine.guide(Guidance { verdicts, key }, now);
            }
            Event::AllowList => self.intake.context = self.shared.context(now),
            Event::Upstreams(set) => self.engine.adopt(set),
            Event::RenewSockets => self.engine.renew_sockets(),
        }
    }

    /// Starts a lookup. A client for whom one upstream is not enough may have joined it before it began.
    fn look_up(&mut self, request: LookupRequest, now: Instant) {
        self.observe_traces();
        let is_widened = request.passed.foreign() && self.shared.waiters.asker(request.key.bytes()) == Asker::Client;
        let widened = is_widened.then(|| request.key.clone());
        self.engine.ask(request, now);
        if let Some(key) = widened {
            self.engine.widen(&key, now);
        }
    }

    /// Starts a lookup whose clients have waited for [`HOLD`] already.
    pub(super) fn look_up_held(&mut self, request: LookupRequest, now: Instant) {
        let key = request.key.clone();
        self.look_up(request, now);
        self.engine.remind(&key, now + CLIENT_BUDGET - HOLD);
    }

    /// When [`Self::handle_timeout`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let response = self.held_responses.front().map(|(at, _)| *at);
        let lookup = self.held_lookups.front().map(|(at, _)| *at);
        [self.engine.next_wake(), response, lookup].into_iter().flatten().min()
    }

    /// Event: a time that [`Self::poll_timeout`] named has come. No-op for what is not due yet.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.engine.wake(now);
        self.observe_traces();
        while let Some((reply_to, bytes)) = take_due(&mut self.held_responses, now) {
            self.due.push_back(Due::Written(reply_to, bytes));
        }
        while let Some(request) = take_due(&mut self.held_lookups, now) {
            self.release(request, now);
        }
    }

    /// Event: no time is left. All who wait get what there is.
    pub fn finish(&mut self, now: Instant) {
        self.engine.finish(now);
        for (_, (reply_to, bytes)) in std::mem::take(&mut self.held_responses) {
            self.due.push_back(Due::Written(reply_to, bytes));
        }
        for (_, request) in std::mem::take(&mut self.held_lookups) {
            if self.shared.waiters.release(request.key.bytes()) {
                self.fail(&request.key, Failure::NoAnswer, now);
            }
        }
    }

    /// The next thing to send, open or close, until there is none; the bytes to send are written to `out`.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            if let Some(action) = self.engine.next_action() {
                match self.perform(action, now, out) {
                    Some(transmit) => return Some(transmit),
                    None => continue,
                }
            }
            if !self.due.is_empty()
                && let Some(reply_to) = self.next_response(out)
            {
                return Some(Transmit::Respond(reply_to));
            }
            let event = self.broadcast.pop_front()?;
            self.handle_event(event.clone(), now);
            return Some(Transmit::Tell(event));
        }
    }

    /// Does what the exchange wants done; returns what of that is to be sent.
    #[inline(never)]
    fn perform(&mut self, action: Action, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        match action {
            Action::Open(socket, upstream) => return Some(Transmit::Open(socket, upstream)),
            Action::Send(socket, attempt) => {
                self.write_message(attempt, out)?;
                self.observe_sent(attempt, now);
                return Some(Transmit::Send(socket));
            }
            Action::Close(socket) => return Some(Transmit::Close(socket)),
            Action::Stream(attempt, upstream, deadline) => {
                self.write_message(attempt, out)?;
                self.observe_sent(attempt, now);
                return Some(Transmit::Stream(attempt, upstream, deadline));
            }
            Action::Answered(response) => self.respond_kept(&response, now),
            Action::Refused(failure) => self.respond_failure(&failure, now),
            Action::Failed(key, why) => self.fail(&key, why, now),
            Action::HealthChanged => return Some(Transmit::HealthChanged),
            Action::Overdue(key, truncated) => {
                let next = self.respond_overdue(&key, truncated.as_ref(), now);
                self.engine.remind(&key, next.unwrap_or(now + CLIENT_BUDGET));
            }
            Action::Silent(upstream, transport, key) => {
                self.shared.guard.suspect(upstream, transport, Witness::Silence, (&key).into());
            }
            Action::PerhapsDown(upstream, transport, answered) => {
                self.shared.guard.perhaps_down(upstream, transport, answered.as_deref());
            }
            Action::PerhapsNoEdns(upstream) => self.shared.guard.perhaps_no_edns(upstream),
            Action::Alive(upstream, transport) => self.shared.guard.is_alive(upstream, transport),
        }
        None
    }

    /// Writes an attempt's query to `out`; `None` where the attempt has ended.
    fn write_message(&self, attempt: AttemptId, out: &mut Vec<u8>) -> Option<()> {
        let message = self.engine.message(attempt)?;
        out.clear();
        out.extend_from_slice(message);
        Some(())
    }

    /// Returns what is known of upstreams and lookups now.
    #[must_use]
    pub fn report(&self, now: Instant) -> EngineReport {
        self.engine.report(now)
    }

    /// Returns what this worker has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.intake.counters()
    }

    pub(super) fn counters_mut(&mut self) -> &mut Counters {
        &mut self.intake.counters
    }

    /// Whether nothing is asked, held or due: then nothing but queries can come.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.engine.is_idle() && self.holds_nothing()
    }

    /// Whether no client waits for a response any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.engine.lookups_running() == 0 && self.holds_nothing()
    }

    #[inline]
    fn holds_nothing(&self) -> bool {
        self.held_responses.is_empty() && self.held_lookups.is_empty()
    }
}

/// Takes the first entry of a queue, if its time has come.
fn take_due<T>(queue: &mut VecDeque<(Instant, T)>, now: Instant) -> Option<T> {
    queue.front().filter(|(at, _)| *at <= now)?;
    queue.pop_front().map(|(_, held)| held)
}
