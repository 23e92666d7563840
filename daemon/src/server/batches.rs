//! Batches of queries, taken from one socket and handed to the core; what it answers at once is sent together.

use std::time::{Duration, Instant};

use super::listeners::Listener;
use crate::clock;
use crate::forwarder::{Forwarder, Incoming, Ingress, Reply};
use crate::net::batch::{self, Family, Outgoing, Patience, Sink};

/// Room for queries of one family, and for the responses to those that are answered at once.
pub(super) struct Batches<F: Family> {
    incoming: batch::Incoming<F>,
    outgoing: Outgoing<F>,
    /// When the last query came.
    last: Option<Instant>,
}

/// Time without a query after which one that comes is expected to be alone: at 2,000 a second most are.
const QUIET: Duration = Duration::from_micros(300);

impl<F: Family> Default for Batches<F> {
    fn default() -> Self {
        Self { incoming: batch::Incoming::default(), outgoing: Outgoing::default(), last: None }
    }
}

/// How a batch went.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchResult {
    /// The number of queries that came.
    pub(super) count: usize,
    /// There may be more.
    pub(super) more: bool,
    /// When they came.
    pub(super) at: Instant,
}

/// What a batch is handed to.
struct Batch<'b, F> {
    forwarder: &'b mut Forwarder,
    outgoing: &'b mut Outgoing<F>,
    ingress: Ingress,
    patience: Patience,
    at: Instant,
}

impl<F: Family> Sink<F> for Batch<'_, F> {
    #[inline]
    fn begin(&mut self) {
        if self.patience == Patience::One {
            self.at = clock::now();
        }
        self.forwarder.begin_batch(self.at);
    }

    #[inline]
    fn datagram(&mut self, packet: &[u8], from: F) {
        let incoming = Incoming { packet, from: from.address(), ingress: self.ingress };
        self.outgoing.push(from, |out| self.forwarder.handle_query(&incoming, out) == Reply::Now);
    }
}

impl<F: Family> Batches<F> {
    /// Takes one batch of queries and sends the responses that are there at once. `now` is the time if none goes by.
    pub(super) fn serve(
        &mut self,
        forwarder: &mut Forwarder,
        listener: &Listener,
        patience: Patience,
        now: Instant,
    ) -> BatchResult {
        let (outgoing, ingress) = (&mut self.outgoing, Ingress::Udp(listener.id));
        let mut batch = Batch { forwarder, outgoing, ingress, patience, at: now };
        let is_quiet = |last: Instant| now.saturating_duration_since(last) > QUIET;
        let (count, more) = if patience == Patience::None && self.last.is_none_or(is_quiet) {
            (self.incoming.receive_one(&listener.socket, &mut batch), false)
        } else {
            self.incoming.receive(&listener.socket, patience, &mut batch)
        };
        let at = batch.at;
        self.last = Some(at);
        self.outgoing.send(&listener.socket);
        BatchResult { count, more, at }
    }
}
