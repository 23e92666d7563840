//! Tells those who watch ([`super::Monitor`]) what becomes of queries that are not answered at once, and what goes on
//! between Onward and upstreams. What is answered at once is told by `query.rs`.

use std::time::Instant;

use super::Forwarder;
use super::monitor::{Seen, What};
use super::respond::Content;
use crate::exchange::{AttemptId, Trace, TraceKind};
use crate::respond::Age;
use crate::upstream::{Transport, UpstreamId};
use crate::waiters::{ReplyTo, Waiter};
use crate::wire::{HEADER, QuestionKey};

impl Forwarder {
    /// Tells those who watch of a client that gets what it waited for.
    #[cold]
    pub(super) fn observe_waiter(&self, waiter: &Waiter, content: &Content, by: Option<UpstreamId>, now: Instant) {
        let is_stale = matches!(content, Content::Cached(_, Age::Stale));
        self.shared.monitor.put(Seen {
            at: now,
            what: if is_stale { What::Stale } else { What::Miss },
            question: waiter.packet.get(HEADER..waiter.question_end).unwrap_or_default().into(),
            client: Some(waiter.from),
            transport: match waiter.reply_to {
                ReplyTo::Udp(..) => Transport::Udp,
                ReplyTo::Stream(_) => Transport::Tcp,
            },
            upstream: by,
            took: Some(waiter.waited(now)),
            rcode: Some(content.rcode()),
            error: content.error(),
        });
    }

    /// Tells those who watch of a lookup that no client waited for.
    pub(super) fn observe_refresh(&self, key: &QuestionKey, rcode: u8, by: Option<UpstreamId>, now: Instant) {
        if self.shared.monitor.is_on() {
            self.shared.monitor.put(Seen {
                at: now,
                what: What::Refresh,
                question: key.question().into(),
                client: None,
                transport: Transport::Udp,
                upstream: by,
                took: None,
                rcode: Some(rcode),
                error: None,
            });
        }
    }

    /// Tells those who watch of what happened in lookups since the last call.
    pub(super) fn observe_traces(&mut self) {
        let is_watched = self.shared.monitor.is_on();
        if self.engine.watch(is_watched) {
            self.engine.take_traces().iter().for_each(|trace| self.observe_trace(trace));
        }
    }

    fn observe_trace(&self, trace: &Trace) {
        let (what, took, rcode) = match trace.what {
            TraceKind::Sent => (What::Sent, None, None),
            TraceKind::Heard(took, rcode) => (What::Heard, Some(took), Some(rcode)),
            TraceKind::Silent(took) => (What::Silent, Some(took), None),
        };
        self.shared.monitor.put(Seen {
            at: trace.at,
            what,
            question: trace.key.question().into(),
            client: None,
            transport: trace.transport,
            upstream: Some(trace.upstream),
            took,
            rcode,
            error: None,
        });
    }

    /// Tells those who watch of a query to an upstream.
    pub(super) fn observe_sent(&self, attempt: AttemptId, now: Instant) {
        if self.shared.monitor.is_on()
            && let Some(trace) = self.engine.sent(attempt, now)
        {
            self.observe_trace(&trace);
        }
    }
}
