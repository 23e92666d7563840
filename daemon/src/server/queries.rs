//! Queries that came over TCP: the same trip as over UDP, but that the connection's task waits for what must be asked.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::mailbox::Order;
use super::tcp::{Answer, Answered};
use crate::clock;
use crate::forwarder::{Arrival, Forwarder, Step, Waits};
use crate::guard::PROBE_HOLD;
use crate::respond::local;
use crate::waiters::WayBack;
use crate::wire::Query;

/// Room that is made for an answer at first, in bytes; it grows where that is not enough.
const ROOM: usize = 512;

/// Answers queries that came over TCP.
#[derive(Debug)]
pub struct Queries {
    forwarder: Arc<Forwarder>,
}

impl Queries {
    /// What is not in the cache is asked by the forwarder's workers; there is at least one.
    #[must_use]
    pub fn new(forwarder: Arc<Forwarder>) -> Self {
        Self { forwarder }
    }

    /// Has one of the workers do what is to be done.
    fn tell_one(&self, client: SocketAddr, order: Order) {
        let workers = &self.forwarder.workers;
        if let Some(worker) = workers.get(usize::from(client.port()) % workers.len().max(1)) {
            worker.tell(order);
        }
    }

    /// The answer, or where it will come from.
    fn take(&self, packet: &[u8], from: SocketAddr) -> Answered<PendingAnswer> {
        let (mut query, mut out) = (Query::default(), Vec::with_capacity(ROOM));
        let at = self.forwarder.moment(clock::now());
        let mut arrival = Arrival { packet, from, over_tcp: true, at: &at };
        let plain;
        let mut step = self.forwarder.take(&arrival, &mut query, &mut out);
        if let Step::TakeInstead(packet) = step {
            plain = packet;
            arrival.packet = &plain;
            step = self.forwarder.take(&arrival, &mut query, &mut out);
        }
        match step {
            Step::Silence | Step::TakeInstead(_) => Answered::Now(None),
            Step::Answer => Answered::Now(Some(out)),
            Step::AnswerLater => Answered::Later(PendingAnswer::Held(out)),
            Step::AnswerAndRefresh => {
                if let Some(question) = self.forwarder.refresh(&query) {
                    self.tell_one(from, Order::Ask(question));
                }
                Answered::Now(Some(out))
            }
            Step::Ask(marks) => {
                let (back, answer) = oneshot::channel();
                match self.forwarder.wait(arrival, &query, marks, WayBack::Tcp(back)) {
                    Waits::Ask(question) => self.tell_one(from, Order::Ask(question)),
                    Waits::Hold(question) => self.tell_one(from, Order::Hold(question)),
                    Waits::Joined => {}
                    Waits::Answer(own) => {
                        let written = local::write(arrival.packet, &own, self.forwarder.payload, &mut out);
                        return Answered::Now(written.map(|()| out));
                    }
                }
                Answered::Later(PendingAnswer::ProbeInFlight(answer))
            }
        }
    }
}

/// An answer that takes time.
enum PendingAnswer {
    /// It is there, but is held for [`PROBE_HOLD`].
    Held(Vec<u8>),
    /// It comes from an upstream.
    ProbeInFlight(oneshot::Receiver<Vec<u8>>),
}

impl PendingAnswer {
    async fn wait(self) -> Option<Vec<u8>> {
        match self {
            Self::Held(answer) => {
                tokio::time::sleep(PROBE_HOLD).await;
                Some(answer)
            }
            Self::ProbeInFlight(answer) => answer.await.ok(),
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
        match self.take(&query, peer) {
            Answered::Now(answer) => Answered::Now(answer),
            Answered::Later(pending) => Answered::Later(pending.wait()),
        }
    }
}
