//! Queries that came over TCP: the same trip as over UDP, but that a task waits for the answer.

use std::net::SocketAddr;
use std::sync::Arc;

use super::inbox::Order;
use super::tcp::Answer;
use crate::clock;
use crate::flight::Back;
use crate::guard::HOLD;
use crate::trip::{Arrival, Forwarder, Step};
use crate::upstream::engine::Question;
use crate::wire::Query;

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

    /// Has one of the workers ask.
    fn ask(&self, client: SocketAddr, question: Question) {
        let workers = &self.forwarder.workers;
        if let Some(worker) = workers.get(usize::from(client.port()) % workers.len().max(1)) {
            worker.tell(Order::Ask(question));
        }
    }

    /// The answer, or where it will come from.
    fn take(&self, packet: &[u8], from: SocketAddr) -> Taken {
        let (mut query, mut out) = (Query::default(), Vec::new());
        let at = self.forwarder.moment(clock::now());
        let mut arrival = Arrival { packet, from, over_tcp: true, at: &at };
        let plain;
        let mut step = self.forwarder.take(arrival, &mut query, &mut out);
        if let Step::TakeInstead(packet) = step {
            plain = packet;
            arrival.packet = &plain;
            step = self.forwarder.take(arrival, &mut query, &mut out);
        }
        match step {
            Step::Silence | Step::TakeInstead(_) => Taken::Silence,
            Step::Answer => Taken::Answer(out),
            Step::AnswerLater => Taken::AnswerLater(out),
            Step::AnswerAndRefresh => {
                if let Some(question) = self.forwarder.refresh(&query) {
                    self.ask(from, question);
                }
                Taken::Answer(out)
            }
            Step::Ask(marks) => {
                let (back, answer) = tokio::sync::oneshot::channel();
                if let Some(question) = self.forwarder.wait(arrival, &query, marks, Back::Tcp(back)) {
                    self.ask(from, question);
                }
                Taken::Waits(answer)
            }
        }
    }
}

enum Taken {
    Silence,
    Answer(Vec<u8>),
    AnswerLater(Vec<u8>),
    Waits(tokio::sync::oneshot::Receiver<Vec<u8>>),
}

impl Answer for Queries {
    async fn answer(&self, query: Vec<u8>, peer: SocketAddr, _local: SocketAddr) -> Option<Vec<u8>> {
        match self.take(&query, peer) {
            Taken::Silence => None,
            Taken::Answer(answer) => Some(answer),
            Taken::AnswerLater(answer) => {
                tokio::time::sleep(HOLD).await;
                Some(answer)
            }
            Taken::Waits(answer) => answer.await.ok(),
        }
    }
}
