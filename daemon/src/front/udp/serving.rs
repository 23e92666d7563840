//! What a worker does with queries that came in: batches of them, taken from one socket.
//!
//! What is cached is answered at once. The rest waits for its flight, or, rarely, until its time.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use super::batch::{Family, Incoming, Outgoing, Patience};
use crate::clock;
use crate::flight::WayBack;
use crate::front::outbox::Outbox;
use crate::guard::HOLD;
use crate::reply::own;
use crate::trip::{Arrival, Forwarder, Moment, Step, Waits};
use crate::upstream::engine::{CLIENT_BUDGET, Engine, Question};
use crate::wire::Query;

/// Room for queries of one family, and for the answers to those that are answered at once.
pub(super) struct Batches<F: Family> {
    incoming: Incoming<F>,
    outgoing: Outgoing<F>,
}

impl<F: Family> Default for Batches<F> {
    fn default() -> Self {
        Self { incoming: Incoming::default(), outgoing: Outgoing::default() }
    }
}

/// What a batch of queries needs beside its buffers.
pub(super) struct Serving {
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) engine: Engine,
    /// What is held, all as long; few: answers to what nobody can forge, questions that are bounded by the flights.
    pub(super) held: VecDeque<(Instant, Held)>,
    query: Query,
    /// That of the last batch.
    moment: Option<Moment>,
}

/// What is held until its time.
pub(super) enum Held {
    /// To be sent.
    Answer { socket: Arc<UdpSocket>, to: SocketAddr, answer: Vec<u8> },
    /// To be asked, if it still is.
    Question(Question),
}

/// How a batch went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    /// So many queries came.
    pub(super) count: usize,
    /// There may be more.
    pub(super) more: bool,
    /// When.
    pub(super) at: Instant,
}

impl Serving {
    pub(super) fn new(forwarder: Arc<Forwarder>, engine: Engine) -> Self {
        Self { forwarder, engine, held: VecDeque::new(), query: Query::default(), moment: None }
    }

    /// Takes one batch of queries, answers what it can, and gives the engine the rest. `now` is the time if none goes by.
    pub(super) fn serve<F: Family>(
        &mut self,
        batches: &mut Batches<F>,
        socket: &Arc<UdpSocket>,
        patience: Patience,
        now: Instant,
    ) -> Took {
        let Batches { incoming, outgoing } = batches;
        let forwarder = &*Arc::clone(&self.forwarder);
        let mut moment = self.moment.take().unwrap_or_else(|| forwarder.moment(now));
        let mut at = now;
        let (began, renewed) = (&mut at, &mut moment);
        let (count, more) = incoming.receive(
            socket,
            patience,
            move || {
                if patience == Patience::One {
                    *began = clock::now();
                }
                forwarder.renew(renewed, *began);
                &*renewed
            },
            |at, packet, from| {
                let arrival = Arrival { packet, from: from.address(), over_tcp: false, at };
                outgoing.push(from, |out| match forwarder.take(&arrival, &mut self.query, out) {
                    Step::Answer => true,
                    step => self.serve_further(step, &arrival, socket, out),
                });
            },
        );
        outgoing.send(socket);
        self.moment = Some(moment);
        Took { count, more, at }
    }

    /// What is not simply answered; returns whether an answer is in `out` all the same.
    #[inline(never)]
    fn serve_further(&mut self, step: Step, arrival: &Arrival<'_>, socket: &Arc<UdpSocket>, out: &mut Vec<u8>) -> bool {
        let now = arrival.at.now();
        match step {
            Step::Answer => return true,
            Step::AnswerAndRefresh => {
                if let Some(question) = self.forwarder.refresh(&self.query) {
                    self.engine.ask(question, now);
                }
                return true;
            }
            Step::Silence => {}
            Step::AnswerLater => {
                let answer = Held::Answer { socket: Arc::clone(socket), to: arrival.from, answer: out.clone() };
                self.held.push_back((now + HOLD, answer));
            }
            Step::Ask(marks) => {
                let back = WayBack::Udp(Arc::clone(socket), arrival.from);
                match self.forwarder.wait(*arrival, &self.query, marks, back) {
                    Waits::Ask(question) => self.engine.ask(question, now),
                    Waits::Hold(question) => self.hold(question, now),
                    Waits::Joined => {}
                    Waits::Answer(own) => {
                        return own::answer(arrival.packet, &own, self.forwarder.payload, out).is_some();
                    }
                }
            }
            Step::TakeInstead(packet) => {
                let arrival = Arrival { packet: &packet, ..*arrival };
                return match self.forwarder.take(&arrival, &mut self.query, out) {
                    Step::TakeInstead(_) => false, // what was written anew is plain
                    step => self.serve_further(step, &arrival, socket, out),
                };
            }
        }
        false
    }

    /// The allow-list is another.
    pub(super) fn forget_moment(&mut self) {
        self.moment = None;
    }

    /// Whether nothing is asked and nothing held.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.engine.is_idle() && self.held.is_empty()
    }

    /// Whether nobody waits for an answer any more.
    pub(super) fn is_done(&self) -> bool {
        self.engine.in_flight() == 0 && self.held.is_empty()
    }

    /// Keeps a question until it is to be asked, if it still is.
    pub(super) fn hold(&mut self, question: Question, now: Instant) {
        self.held.push_back((now + HOLD, Held::Question(question)));
    }

    /// Sends or asks what was held, if it is time.
    pub(super) fn let_go(&mut self, outbox: &mut Outbox, now: Instant) {
        while self.held.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, held)) = self.held.pop_front()
        {
            match held {
                Held::Answer { socket, to, answer } => outbox.push(&socket, to, |out| {
                    answer.clone_into(out);
                    true
                }),
                Held::Question(question) => {
                    if self.forwarder.let_go(&question, outbox, now) {
                        let key = question.key.clone();
                        self.engine.ask(question, now);
                        self.engine.remind(&key, now + CLIENT_BUDGET - HOLD); // its client has waited that long already
                    }
                }
            }
        }
    }
}
