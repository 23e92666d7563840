//! One client that waits, and what of it decides about the lookup that it waits for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ReplyTo;
use crate::exchange::CLIENT_BUDGET;
use crate::guard::Relay;
use crate::respond::ResponseParams;
use crate::upstream::UpstreamId;

/// A client that waits for a response.
#[derive(Debug)]
pub struct Waiter {
    /// The query.
    pub packet: Arc<[u8]>,
    /// Where its question section ends.
    pub question_end: usize,
    /// What else the response needs to know of the query.
    pub wants: ResponseParams,
    /// Time by which it is answered with whatever there is.
    pub deadline: Instant,
    /// The upstream that sent this query of ours back to us, where a witness is sure of that.
    pub returned_through: Option<UpstreamId>,
    /// For whose sake the lookup is.
    pub asker: Asker,
    /// The other Onwards that the query has passed, if any.
    pub relay: Option<Relay>,
    /// Whether its lookup may start at once.
    pub start: Start,
    /// Who asked.
    pub from: SocketAddr,
    /// The way back.
    pub reply_to: ReplyTo,
}

impl Waiter {
    /// How long it has waited: a client's deadline is its whole budget after it asked.
    #[must_use]
    pub fn waited(&self, now: Instant) -> Duration {
        CLIENT_BUDGET.saturating_sub(self.deadline.saturating_duration_since(now))
    }
}

/// For whose sake a lookup is; the larger one holds for all who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// Another Onward, or ourselves come back: the lookup is not hedged, and that it failed is not remembered.
    Onward,
    /// A client.
    Client,
}

/// Whether a lookup may start; the larger one holds for all who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// Not yet: the query is perhaps ours come back, and asks for more than what it stems from.
    Held,
    /// At once.
    AtOnce,
}
