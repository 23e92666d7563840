//! What goes on between Onward and upstreams, for people who watch. Nothing of it is kept while nobody does.

use std::time::{Duration, Instant};

use super::{AttemptId, Engine};
use crate::upstream::{Transport, UpstreamId};
use crate::wire::QuestionKey;

/// One thing that happened in a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The question.
    pub key: QuestionKey,
    /// Whom it is about.
    pub upstream: UpstreamId,
    /// Over what.
    pub transport: Transport,
    /// When.
    pub at: Instant,
    /// What happened.
    pub what: TraceKind,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceKind {
    /// The upstream was asked.
    Sent,
    /// It responded, after that time, with this code.
    Heard(Duration, u8),
    /// The lookup ended before it did, this time after it was asked.
    Silent(Duration),
}

impl Engine {
    /// Says whether anyone watches, from now on. Returns whether something has happened in the meantime.
    pub fn watch(&mut self, is_watched: bool) -> bool {
        self.is_watched = is_watched;
        !self.traces.is_empty()
    }

    /// Returns what happened since the last call.
    pub fn take_traces(&mut self) -> Vec<Trace> {
        std::mem::take(&mut self.traces)
    }

    /// What is to be told of an attempt's message that is sent now; none where it has ended.
    #[must_use]
    pub fn sent(&self, attempt: AttemptId, now: Instant) -> Option<Trace> {
        let attempt = self.attempts.get(attempt.0)?;
        let key = self.lookups.get(attempt.lookup.0)?.key.clone();
        let (upstream, transport) = (attempt.upstream.id, attempt.transport());
        Some(Trace { key, upstream, transport, at: now, what: TraceKind::Sent })
    }

    /// Tells those who watch of something that happened in a lookup.
    pub(super) fn trace(&mut self, key: &QuestionKey, whom: (UpstreamId, Transport), at: Instant, what: TraceKind) {
        if self.is_watched {
            let trace = Trace { key: key.clone(), upstream: whom.0, transport: whom.1, at, what };
            self.traces.push(trace);
        }
    }
}
