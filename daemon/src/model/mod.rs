//! The core in random worlds: upstreams that know some zones only, are silent for some names, go away and come back,
//! cut what they say, count TTLs as they like; clients that ask; lists that change. Time passes by events only.
//!
//! The Onward of the model ([`node`]) is the real one. [`server`] has the upstreams; [`reference`] and [`case`] hold
//! what Onward may say, for how long, and whom it may ask; [`tests`] makes the worlds. Loops are the business of
//! `crate::simulation`.
//!
//! `ONWARD_WORLDS=1000000 cargo test --release -p onward --lib model` plays that many worlds.

mod case;
mod node;
mod reference;
mod server;
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use crate::exchange::AttemptId;
use crate::exchange::pool::Socket;
use crate::guard::Nonce;
use crate::guard::probe::ProbeReply;
use crate::upstream::Transport;
use node::Node;
use reference::Record;
use server::{Name, Server};

/// What happens at a time.
#[derive(Debug)]
enum Happening {
    /// A client asks for a name, over a stream or not.
    Asks(Name, bool),
    /// The list of servers is in another order from now on.
    Reorders(Vec<usize>),
    /// A query leaves for a server.
    Sent(usize, Socket, Vec<u8>),
    /// The same over a stream, with the time until which its response is waited for.
    Stream(usize, AttemptId, Vec<u8>, Instant),
    /// A probe leaves for a server, with the time until which its response is waited for.
    Probe(usize, Nonce, Transport, Vec<u8>, Instant),
    /// A server's response to a query arrives.
    Said(usize, Socket, Vec<u8>),
    /// A stream brings a response, or none.
    Streamed(AttemptId, Option<Vec<u8>>),
    /// A probe's time is over.
    Probed(Nonce, Option<ProbeReply>),
    /// A time that the core or the judge named has come.
    Due,
}

/// What the node does.
struct Out {
    now: Instant,
    later: Vec<(Instant, Happening)>,
    /// To clients, by their numbers.
    responses: Vec<(u16, Vec<u8>)>,
}

impl Out {
    fn at(now: Instant) -> Self {
        Self { now, later: Vec::new(), responses: Vec::new() }
    }
}

struct World {
    start: Instant,
    now: Instant,
    servers: Vec<Server>,
    node: Node,
    agenda: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: HashMap<u64, Happening>,
    next: u64,
    record: Record,
}

impl World {
    /// A world whose servers are asked in their order.
    fn new(seed: u64, servers: Vec<Server>, equivalent: bool) -> Self {
        let now = crate::clock::now();
        let order: Vec<usize> = (0..servers.len()).collect();
        Self {
            start: now,
            now,
            node: Node::new(seed, &order, equivalent, now),
            record: Record::new(now, order, equivalent),
            servers,
            agenda: BinaryHeap::new(),
            happenings: HashMap::new(),
            next: 0,
        }
    }

    fn add(&mut self, at: Instant, happening: Happening) {
        self.next += 1;
        self.agenda.push(Reverse((at, self.next)));
        self.happenings.insert(self.next, happening);
    }

    fn asks(&mut self, at: Duration, name: Name, over_stream: bool) {
        self.add(self.start + at, Happening::Asks(name, over_stream));
    }

    fn run(&mut self, until: Duration) {
        let end = self.start + until;
        while let Some(Reverse((at, number))) = self.agenda.peek().copied().filter(|next| next.0.0 <= end) {
            self.agenda.pop();
            self.now = at;
            if let Some(happening) = self.happenings.remove(&number) {
                self.happens(happening);
            }
        }
        self.now = end;
    }

    fn happens(&mut self, happening: Happening) {
        let since = self.now - self.start;
        let mut out = Out::at(self.now);
        match happening {
            Happening::Asks(name, over_stream) => {
                let client = self.record.asked(name, over_stream, self.now);
                let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                query.extend(name.wire());
                query.extend([0, 1, 0, 1]);
                self.node.query(&query, client, over_stream, &mut out);
            }
            Happening::Reorders(order) => {
                self.record.reordered(order.clone(), self.now);
                self.node.adopt(&order, &mut out);
            }
            Happening::Sent(server, socket, query) => {
                self.record.sent(server, &query, self.now);
                if let Some(response) = self.servers[server].response(&query, false, since) {
                    self.add(self.now + self.servers[server].latency, Happening::Said(server, socket, response));
                }
            }
            Happening::Stream(server, attempt, query, deadline) => {
                let response = self.servers[server].response(&query, true, since);
                let at = if response.is_some() { self.now + 3 * self.servers[server].latency } else { deadline };
                if let Some(response) = &response {
                    self.record.said(server, response, at);
                }
                self.add(at, Happening::Streamed(attempt, response));
            }
            Happening::Probe(server, nonce, transport, probe, deadline) => {
                let response = self.servers[server].response(&probe, transport == Transport::Tcp, since);
                let at = if response.is_some() { self.now + self.servers[server].latency } else { deadline };
                let heard = node::heard(&probe, response.as_deref());
                self.add(at, Happening::Probed(nonce, heard));
            }
            Happening::Said(server, socket, response) => {
                self.record.said(server, &response, self.now);
                self.node.datagram(socket, &response, &mut out);
            }
            other => self.node.other(other, &mut out),
        }
        for (at, happening) in out.later {
            self.add(at, happening);
        }
        for (client, response) in out.responses {
            self.record.answered(client, response, self.now);
        }
    }
}
