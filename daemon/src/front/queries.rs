//! Queries that came over TCP: the same trip as over UDP, but that a task waits for the answer.

use std::net::SocketAddr;
use std::sync::Arc;

use super::inbox::{Order, Orders};
use super::tcp::Answer;
use crate::clock;
use crate::flight::Back;
use crate::trip::{Arrival, Forwarder, Step, Waits};
use crate::wire::Query;

/// Answers queries that came over TCP.
#[derive(Debug)]
pub struct Queries {
    forwarder: Arc<Forwarder>,
    workers: Vec<Orders>,
}

impl Queries {
    /// `workers` ask what is not in the cache; there is at least one.
    #[must_use]
    pub fn new(forwarder: Arc<Forwarder>, workers: Vec<Orders>) -> Self {
        Self { forwarder, workers }
    }

    /// The worker that asks for this client.
    fn worker(&self, client: SocketAddr) -> Option<&Orders> {
        self.workers.get(usize::from(client.port()) % self.workers.len().max(1))
    }

    /// The answer, or where it will come from.
    fn take(&self, packet: &[u8], from: SocketAddr) -> Taken {
        let (mut query, mut out) = (Query::default(), Vec::new());
        let mut arrival = Arrival { packet, from, over_tcp: true, now: clock::now() };
        let plain;
        let mut step = self.forwarder.take(arrival, &mut query, &mut out);
        if let Step::TakeInstead(packet) = step {
            plain = packet;
            arrival.packet = &plain;
            step = self.forwarder.take(arrival, &mut query, &mut out);
        }
        match step {
            Step::Silence | Step::TakeInstead(_) => return Taken::Silence,
            Step::Answer => return Taken::Answer(out),
            Step::AnswerAndRefresh => {
                if let (Some(question), Some(worker)) = (self.forwarder.refresh(&query), self.worker(from)) {
                    worker.tell(Order::Ask(question));
                }
                return Taken::Answer(out);
            }
            Step::Ask => {}
        }
        let (back, answer) = tokio::sync::oneshot::channel();
        if let Waits::Start(question) = self.forwarder.wait(arrival, &query, Back::Tcp(back))
            && let Some(worker) = self.worker(from)
        {
            worker.tell(Order::Ask(question));
        }
        Taken::Waits(answer)
    }
}

enum Taken {
    Silence,
    Answer(Vec<u8>),
    Waits(tokio::sync::oneshot::Receiver<Vec<u8>>),
}

impl Answer for Queries {
    async fn answer(&self, query: Vec<u8>, peer: SocketAddr, _local: SocketAddr) -> Option<Vec<u8>> {
        match self.take(&query, peer) {
            Taken::Silence => None,
            Taken::Answer(answer) => Some(answer),
            Taken::Waits(answer) => answer.await.ok(),
        }
    }
}
