//! The whole core, driven by bytes: clients' queries, upstreams' responses, lost sockets, new upstreams, queries that
//! come back, and time, in any order. Whatever happens, each query is answered once, in time, with its own ID and
//! question.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use onward::internals::exchange::pool::Socket;
use onward::internals::exchange::stream::StreamError;
use onward::internals::exchange::{AttemptId, CLIENT_BUDGET};
use onward::internals::forwarder::{Event, Forwarder, Incoming, Ingress, Reply, Transmit};
use onward::internals::upstream::UpstreamId;
use onward::internals::waiters::{ClientId, ListenerId, ReplyTo};
use onward::internals::wire::{HEADER, Query, flag};

use crate::script::{Script, Step};
use crate::world::{PAYLOAD, Upstreams, forwarder};

/// Longest time that a timer may be late, here where none is late: its own coarseness.
const COARSENESS: Duration = Duration::from_millis(20);
/// Time after which a lookup has ended though no upstream says a word.
const QUIET: Duration = Duration::from_secs(10);
/// Maximum number of attempts that are kept for responses.
const KEPT: usize = 64;
/// Maximum number of queries to upstreams for each client's query: three upstreams, asked again without EDNS, plainly,
/// over another socket, and once more after a return.
const SENDS_PER_QUERY: usize = 24;

/// Runs the script in `bytes`.
pub fn check(bytes: &[u8]) {
    let mut run = Run::new();
    let mut script = Script::new(bytes);
    while let Some(step) = script.next_step() {
        run.take(step);
    }
    run.advance(QUIET);
    assert!(run.waiting.is_empty(), "unanswered: {:02x?}", run.waiting);
    assert!(run.forwarder.is_done(), "a lookup has no end");
    assert!(run.sent <= SENDS_PER_QUERY * run.asked, "{} queries to upstreams for {} of clients", run.sent, run.asked);
}

/// A query to an upstream, with the way on which its response would come.
enum Attempt {
    Datagram(UpstreamId, Socket, Vec<u8>),
    Stream(AttemptId, Vec<u8>),
}

/// A client's query that waits for its response.
#[derive(Debug)]
struct Waiting {
    reply_to: ReplyTo,
    packet: Vec<u8>,
    asked_at: Instant,
}

struct Run {
    forwarder: Forwarder,
    now: Instant,
    upstreams: Upstreams,
    sockets: BTreeMap<Socket, UpstreamId>,
    attempts: Vec<Attempt>,
    waiting: Vec<Waiting>,
    /// Queries of clients, and to upstreams, so far.
    asked: usize,
    sent: usize,
    /// Tells clients apart.
    clients: u16,
}

impl Run {
    fn new() -> Self {
        let mut upstreams = Upstreams::default();
        let (forwarder, now) = forwarder(&upstreams.set(0));
        let (sockets, attempts, waiting) = Default::default();
        Self { forwarder, now, upstreams, sockets, attempts, waiting, asked: 0, sent: 0, clients: 0 }
    }

    fn take(&mut self, step: Step<'_>) {
        match step {
            Step::Query(packet, from, is_over_stream) => self.query(packet, from, is_over_stream),
            Step::Return(which, is_over_stream) => {
                if let Some((_, query)) = self.attempt(which) {
                    self.query(query, 2, is_over_stream);
                }
            }
            Step::Response(which, response) => {
                let Some((at, query)) = self.attempt(which) else { return };
                self.upstream_says(at, &response.to(&query));
            }
            Step::Lost(which) => match self.attempt(which).map(|(at, _)| &self.attempts[at]) {
                Some(&Attempt::Datagram(upstream, socket, _)) if self.sockets.contains_key(&socket) => {
                    self.forwarder.handle_refused(upstream, socket, self.now);
                }
                Some(&Attempt::Stream(attempt, _)) => {
                    self.forwarder.handle_stream(attempt, Err(StreamError::Closed), self.now)
                }
                _ => {} // nothing is heard of a closed socket
            },
            Step::Wait(time) => self.advance(time),
            Step::Upstreams(which) => {
                let set = self.upstreams.set(which);
                self.forwarder.shared().adopt(&set, self.now);
                self.forwarder.handle_event(Event::Upstreams(set), self.now);
            }
            Step::RenewSockets => self.forwarder.handle_event(Event::RenewSockets, self.now),
            Step::Guidance => self.forwarder.handle_event(Event::Guidance, self.now),
        }
        self.transmit();
    }

    /// The attempt that a script means by this number.
    fn attempt(&self, which: u8) -> Option<(usize, Vec<u8>)> {
        let at = usize::from(which).checked_rem(self.attempts.len())?;
        let (Attempt::Datagram(_, _, query) | Attempt::Stream(_, query)) = &self.attempts[at];
        Some((at, query.clone()))
    }

    fn upstream_says(&mut self, at: usize, message: &[u8]) {
        match &self.attempts[at] {
            Attempt::Datagram(_, socket, _) if !self.sockets.contains_key(socket) => {}
            Attempt::Datagram(upstream, socket, _) => {
                self.forwarder.handle_datagram(*upstream, *socket, message, self.now);
            }
            Attempt::Stream(attempt, _) => self.forwarder.handle_stream(*attempt, Ok(message), self.now),
        }
    }

    /// A query comes in, from an upstream's address or a pod's.
    fn query(&mut self, packet: Vec<u8>, from: u8, is_over_stream: bool) {
        self.clients += 1;
        let ip: IpAddr = if from == 0 { Ipv4Addr::new(10, 244, 0, 10) } else { Ipv4Addr::new(10, 0, 0, from) }.into();
        let from = SocketAddr::new(ip, self.clients);
        let ingress = match is_over_stream {
            true => Ingress::Stream(ClientId(self.clients.into())),
            false => Ingress::Udp(ListenerId(0)),
        };
        let incoming = Incoming { packet: &packet, from, ingress };
        let reply_to = incoming.reply_to();
        let mut response = vec![];
        self.forwarder.begin_batch(self.now);
        self.asked += 1;
        match self.forwarder.handle_query(&incoming, &mut response) {
            Reply::Now => is_its_response(&packet, &response, reply_to),
            Reply::Later => self.waiting.push(Waiting { reply_to, packet, asked_at: self.now }),
            Reply::None => assert!(packet.len() < HEADER || packet[2] & flag::QR != 0, "no response to {packet:02x?}"),
        }
    }

    /// Lets time go by, from one timer to the next.
    fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.forwarder.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.forwarder.handle_timeout(self.now);
            self.transmit();
        }
        self.now = until;
        let late = self.waiting.iter().find(|waiting| self.now > waiting.asked_at + CLIENT_BUDGET + COARSENESS);
        assert!(late.is_none(), "not answered in time: {late:02x?}");
    }

    fn transmit(&mut self) {
        let mut out = vec![];
        while let Some(transmit) = self.forwarder.poll_transmit(self.now, &mut out) {
            match transmit {
                Transmit::Open(socket, upstream) => {
                    assert!(self.sockets.insert(socket, upstream.id).is_none(), "opened twice");
                }
                Transmit::Close(socket) => assert!(self.sockets.remove(&socket).is_some(), "closed twice"),
                Transmit::Send(socket) => {
                    let upstream = *self.sockets.get(&socket).expect("sent over an open socket");
                    self.keep(Attempt::Datagram(upstream, socket, out.clone()));
                }
                Transmit::Stream(attempt, ..) => self.keep(Attempt::Stream(attempt, out.clone())),
                Transmit::Respond(reply_to) => {
                    let at = self.waiting.iter().position(|waiting| waiting.reply_to == reply_to);
                    let waiting = self.waiting.swap_remove(at.expect("each query is answered once"));
                    is_its_response(&waiting.packet, &out, reply_to);
                }
                Transmit::HealthChanged | Transmit::Tell(_) => {} // no service, no other worker
            }
        }
    }

    fn keep(&mut self, attempt: Attempt) {
        self.sent += 1;
        let (Attempt::Datagram(_, _, query) | Attempt::Stream(_, query)) = &attempt;
        assert!(Query::default().read(query).is_ok(), "what is asked is plain: {query:02x?}");
        if self.attempts.len() == KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
    }
}

/// A response has its query's ID and, letter for letter, its question; it fits, and is whole over a stream.
fn is_its_response(packet: &[u8], response: &[u8], reply_to: ReplyTo) {
    assert!(response.len() >= HEADER && response[..2] == packet[..2], "the ID: {response:02x?}");
    assert!(response[2] & flag::QR != 0);
    let is_over_stream = matches!(reply_to, ReplyTo::Stream(_));
    let mut query = Query::default();
    if query.read(packet).is_err() {
        return;
    }
    let question = HEADER..query.question_end();
    assert_eq!(response.get(question.clone()), packet.get(question), "the question");
    if is_over_stream {
        assert_eq!(response[2] & flag::TC, 0, "truncated over a stream");
    } else {
        assert!(response.len() <= usize::from(query.payload().unwrap_or(512).min(PAYLOAD)), "{} bytes", response.len());
    }
}
