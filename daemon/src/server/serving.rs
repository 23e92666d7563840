//! What a worker does with queries that came in: batches of them, taken from one socket.
//!
//! What is cached is answered at once. The rest waits for its flight, or, rarely, until its time.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use crate::clock;
use crate::exchange::{CLIENT_BUDGET, Engine, LookupRequest};
use crate::forwarder::{Arrival, Forwarder, Moment, Step, Waits};
use crate::guard::{HOLD, PROBE_HOLD};
use crate::net::batch::{Family, Incoming, Outgoing, Patience};
use crate::net::outbox::Outbox;
use crate::respond::local;
use crate::waiters::WayBack;
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
    pub(super) engine: Engine,
    /// Held until these times; few: answers to what nobody can forge, questions that are bounded by the flights.
    held_answers: VecDeque<(Instant, HeldAnswer)>,
    held_questions: VecDeque<(Instant, LookupRequest)>,
    query: Query,
    /// That of the last batch.
    moment: Option<Moment>,
}

/// An answer that is sent when its time has come.
struct HeldAnswer {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    answer: Vec<u8>,
}

/// Where queries come in.
#[derive(Clone, Copy)]
pub(super) struct Entrance<'w> {
    /// What they are answered from. Borrowed: a count of those who hold it would be written to by all workers.
    pub(super) forwarder: &'w Forwarder,
    /// The socket that they come through.
    pub(super) socket: &'w Arc<UdpSocket>,
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
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine,
            held_answers: VecDeque::new(),
            held_questions: VecDeque::new(),
            query: Query::default(),
            moment: None,
        }
    }

    /// Takes one batch of queries, answers what it can, and gives the engine the rest. `now` is the time if none goes by.
    pub(super) fn serve<F: Family>(
        &mut self,
        entrance: Entrance<'_>,
        batches: &mut Batches<F>,
        patience: Patience,
        now: Instant,
    ) -> Took {
        let Entrance { forwarder, socket } = entrance;
        let Batches { incoming, outgoing } = batches;
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
                    step => self.serve_further(entrance, step, &arrival, out),
                });
            },
        );
        outgoing.send(socket);
        self.moment = Some(moment);
        Took { count, more, at }
    }

    /// What is not simply answered; returns whether an answer is in `out` all the same.
    #[inline(never)]
    fn serve_further(&mut self, entrance: Entrance<'_>, step: Step, arrival: &Arrival<'_>, out: &mut Vec<u8>) -> bool {
        let Entrance { forwarder, socket } = entrance;
        let now = arrival.at.now();
        match step {
            Step::Answer => return true,
            Step::AnswerAndRefresh => {
                if let Some(question) = forwarder.refresh(&self.query) {
                    self.engine.ask(question, now);
                }
                return true;
            }
            Step::Silence => {}
            Step::AnswerLater => {
                let held = HeldAnswer { socket: Arc::clone(socket), to: arrival.from, answer: out.clone() };
                self.held_answers.push_back((now + PROBE_HOLD, held));
            }
            Step::Ask(marks) => {
                let back = WayBack::Udp(Arc::clone(socket), arrival.from);
                match forwarder.wait(*arrival, &self.query, marks, back) {
                    Waits::Ask(question) => self.engine.ask(question, now),
                    Waits::Hold(question) => self.hold(question, now),
                    Waits::Joined => {}
                    Waits::Answer(own) => {
                        return local::write(arrival.packet, &own, forwarder.payload, out).is_some();
                    }
                }
            }
            Step::TakeInstead(packet) => {
                let arrival = Arrival { packet: &packet, ..*arrival };
                return match forwarder.take(&arrival, &mut self.query, out) {
                    Step::TakeInstead(_) => false, // what was written anew is plain
                    step => self.serve_further(entrance, step, &arrival, out),
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
        self.engine.is_idle() && self.holds_nothing()
    }

    /// Whether nobody waits for an answer any more.
    pub(super) fn is_done(&self) -> bool {
        self.engine.lookups_running() == 0 && self.holds_nothing()
    }

    #[inline]
    fn holds_nothing(&self) -> bool {
        self.held_answers.is_empty() && self.held_questions.is_empty()
    }

    /// When [`Self::let_go`] or the engine has something to do though nothing comes.
    pub(super) fn next_time(&mut self) -> Option<Instant> {
        let answer = self.held_answers.front().map(|(at, _)| *at);
        let question = self.held_questions.front().map(|(at, _)| *at);
        [self.engine.next_wake(), answer, question].into_iter().flatten().min()
    }

    /// Keeps a question until it is to be asked, if it still is.
    pub(super) fn hold(&mut self, question: LookupRequest, now: Instant) {
        self.held_questions.push_back((now + HOLD, question));
    }

    /// Sends and asks what was held, if it is time.
    pub(super) fn let_go(&mut self, forwarder: &Forwarder, outbox: &mut Outbox, now: Instant) {
        while let Some(held) = take_due(&mut self.held_answers, now) {
            outbox.push(&held.socket, held.to, |out| {
                held.answer.clone_into(out);
                true
            });
        }
        while let Some(question) = take_due(&mut self.held_questions, now) {
            if forwarder.let_go(&question, outbox, now) {
                let key = question.key.clone();
                self.engine.ask(question, now);
                self.engine.remind(&key, now + CLIENT_BUDGET - HOLD); // its client has waited that long already
            }
        }
    }
}

/// What is first in a queue, if its time has come.
fn take_due<T>(queue: &mut VecDeque<(Instant, T)>, now: Instant) -> Option<T> {
    queue.front().filter(|(at, _)| *at <= now)?;
    queue.pop_front().map(|(_, held)| held)
}
