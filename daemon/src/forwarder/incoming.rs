//! A query as it comes in: its bytes, its sender, where it came in, and what is the same for all that come with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::counters::Counters;
use crate::admit::acl::AllowList;
use crate::cache::Seconds;
use crate::upstream::Transport;
use crate::waiters::{ClientId, ListenerId, ReplyTo};
use crate::wire::Query;

/// One packet and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'p> {
    /// The packet.
    pub packet: &'p [u8],
    /// Its sender.
    pub from: SocketAddr,
    /// Where it came in.
    pub ingress: Ingress,
}

/// Where a query came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingress {
    /// A datagram at this listener.
    Udp(ListenerId),
    /// A message on a client's connection.
    Stream(ClientId),
}

impl Ingress {
    /// Returns the transport that the query came over.
    #[inline]
    #[must_use]
    pub fn transport(self) -> Transport {
        match self {
            Self::Udp(_) => Transport::Udp,
            Self::Stream(_) => Transport::Tcp,
        }
    }
}

impl Incoming<'_> {
    /// Returns the way back to the client.
    #[must_use]
    pub fn reply_to(&self) -> ReplyTo {
        match self.ingress {
            Ingress::Udp(listener) => ReplyTo::Udp(listener, self.from),
            Ingress::Stream(client) => ReplyTo::Stream(client),
        }
    }
}

/// What one thread reads queries with. Kept, so that nothing is allocated for a packet.
#[derive(Debug)]
pub struct Intake {
    /// The query that was read last.
    pub(super) query: Query,
    /// What is the same for all of a batch.
    pub(super) context: BatchContext,
    /// What has been counted.
    pub(super) counters: Counters,
    /// When the client of the query in hand gives up, where that is known: an earlier process took the query.
    pub(super) deadline: Option<Instant>,
}

impl Intake {
    /// Makes an intake for the time of `context`.
    #[must_use]
    pub fn new(context: BatchContext) -> Self {
        Self { query: Query::default(), context, counters: Counters::default(), deadline: None }
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// What is the same for all queries that are handled together, looked up once for them ([`super::Shared::context`]).
#[derive(Debug)]
pub struct BatchContext {
    pub(super) now: Instant,
    pub(super) seconds: Seconds,
    next_second: Instant,
    /// Whether people watch what happens.
    pub(super) is_watched: bool,
    allow: Arc<AllowList>,
    /// The client that was last found to be allowed: most of what comes together is from one.
    allowed: Option<IpAddr>,
}

impl BatchContext {
    pub(super) fn new(now: Instant, seconds: Seconds, next_second: Instant, allow: Arc<AllowList>) -> Self {
        Self { now, seconds, next_second, is_watched: false, allow, allowed: None }
    }

    /// Moves the context on to `now`; false where another second has begun, for which it does not hold.
    #[inline]
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        self.now = now;
        now < self.next_second
    }

    /// Whether `source` may ask.
    #[inline]
    pub(super) fn admits(&mut self, source: IpAddr) -> bool {
        if self.allowed == Some(source) {
            return true;
        }
        let admits = self.allow.admits(source);
        if admits {
            self.allowed = Some(source);
        }
        admits
    }
}
