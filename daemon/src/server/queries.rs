//! Queries that came over TCP: decided as those over UDP, but that the connection's task waits for what must be asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::clients::{Clients, PendingResponse};
use super::mailbox::Mailboxes;
use super::tcp::{Answer, Answered};
use crate::clock;
use crate::forwarder::{Counters, Disposition, Incoming, Ingress, Intake, Outcome, Reply, Shared};

/// Bytes that are allotted for a response at first; it grows where that is not enough.
const ROOM: usize = 512;

/// Answers queries that came over TCP.
#[derive(Debug)]
pub(crate) struct Queries {
    shared: Arc<Shared>,
    workers: Mailboxes,
    clients: Arc<Clients>,
    counters: Mutex<Counters>,
}

impl Queries {
    /// What is not in the cache is asked by `workers`, of which there is at least one, and comes back through
    /// `clients`.
    #[must_use]
    pub(crate) fn new(shared: Arc<Shared>, workers: Mailboxes, clients: Arc<Clients>) -> Self {
        Self { shared, workers, clients, counters: Mutex::default() }
    }

    /// Returns what was counted of queries over TCP, but for what workers do for them.
    #[must_use]
    pub(crate) fn counters(&self) -> Counters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the response, or what brings it.
    fn handle_query(&self, packet: Vec<u8>, from: SocketAddr) -> Answered<PendingResponse> {
        let mut intake = Intake::new(self.shared.context(clock::now()));
        let answered = self.handle_with(&mut intake, packet, from);
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).add(intake.counters());
        answered
    }

    fn handle_with(&self, intake: &mut Intake, packet: Vec<u8>, from: SocketAddr) -> Answered<PendingResponse> {
        let mut out = Vec::with_capacity(ROOM);
        let client = self.clients.name();
        let incoming = Incoming { packet: &packet, from, ingress: Ingress::Stream(client) };
        let disposition = self.shared.decide(intake, &incoming, &mut out);
        if disposition == Disposition::Respond {
            return Answered::Now(Some(out));
        }
        let pending = self.clients.enter(client);
        let Outcome { reply, event, broadcast } = self.shared.carry_out(disposition, intake, &incoming, &mut out);
        if let Some(event) = event {
            self.workers.tell_one(from, event);
        }
        for event in broadcast {
            self.workers.tell_all(|| event.clone());
        }
        match reply {
            Reply::Now => Answered::Now(Some(out)),
            Reply::Later => Answered::Later(packet, pending),
            Reply::None => Answered::Now(None),
        }
    }
}

impl Answer for Queries {
    fn answer(
        &self,
        query: Vec<u8>,
        peer: SocketAddr,
        _local: SocketAddr,
    ) -> Answered<impl Future<Output = Option<Vec<u8>>> + Send> {
        match self.handle_query(query, peer) {
            Answered::Now(response) => Answered::Now(response),
            Answered::Later(query, pending) => Answered::Later(query, pending.wait()),
        }
    }
}
