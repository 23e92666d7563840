//! Batches of queries, taken from one socket and handed to the core; what it answers at once is sent together.

use std::time::Instant;

use super::listeners::Listener;
use crate::clock;
use crate::forwarder::{Forwarder, Incoming, Ingress, Reply};
use crate::net::batch::{self, Family, Outgoing, Patience};

/// Room for queries of one family, and for the responses to those that are answered at once.
pub(super) struct Batches<F: Family> {
    incoming: batch::Incoming<F>,
    outgoing: Outgoing<F>,
}

impl<F: Family> Default for Batches<F> {
    fn default() -> Self {
        Self { incoming: batch::Incoming::default(), outgoing: Outgoing::default() }
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

impl<F: Family> Batches<F> {
    /// Takes one batch of queries and sends the responses that are there at once. `now` is the time if none goes by.
    pub(super) fn serve(
        &mut self,
        forwarder: &mut Forwarder,
        listener: &Listener,
        patience: Patience,
        now: Instant,
    ) -> BatchResult {
        let Self { incoming, outgoing } = self;
        let ingress = Ingress::Udp(listener.id);
        let mut at = now;
        let (count, more) = incoming.receive(
            &listener.socket,
            patience,
            forwarder,
            |forwarder| {
                if patience == Patience::One {
                    at = clock::now();
                }
                forwarder.begin_batch(at);
            },
            |forwarder, packet, from| {
                let incoming = Incoming { packet, from: from.address(), ingress };
                outgoing.push(from, |out| forwarder.handle_query(&incoming, out) == Reply::Now);
            },
        );
        outgoing.send(&listener.socket);
        BatchResult { count, more, at }
    }
}
