//! Everyone who is not an Onward: servers that know, and forwarders of many kinds.

use std::collections::HashMap;
use std::time::Duration;

use super::{Answer, Node, Out, Place, Query, SERVFAIL, Timer};

/// A server that knows every name.
pub(super) struct Good {
    pub(super) takes: Duration,
}

/// What a forwarder does with what passes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manners {
    /// Drops EDNS options, as unbound and BIND do.
    pub(super) strips: bool,
    /// Lowers names, as Knot Resolver does.
    pub(super) lowers: bool,
    /// Lets equal questions wait for one, as dnsmasq does.
    pub(super) merges: bool,
    /// Asks all its servers at once.
    pub(super) all: bool,
}

/// A forwarder that asks its servers in order, 2 s each.
pub(super) struct Forwarder {
    manners: Manners,
    upstreams: Vec<Place>,
    next: u64,
    flights: HashMap<u64, Flight>,
    asks: HashMap<u64, u64>,
}

struct Flight {
    name: Vec<u8>,
    tag: Option<Vec<u8>>,
    waiters: Vec<(Place, u64)>,
    tried: usize,
    due: usize,
}

impl Node for Good {
    fn query(&mut self, query: Query, out: &mut Out) {
        out.reply_after(self.takes, query.from, query.id, 0);
    }

    fn answer(&mut self, _: Answer, _: &mut Out) {}

    fn ring(&mut self, _: Timer, _: &mut Out) {}
}

impl Forwarder {
    pub(super) fn new(manners: Manners, upstreams: Vec<Place>) -> Self {
        Self { manners, upstreams, next: 0, flights: HashMap::new(), asks: HashMap::new() }
    }

    fn next_server(&mut self, number: u64, out: &mut Out) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(upstream) = self.upstreams.get(flight.tried) else { return };
        flight.tried += 1;
        flight.due += 1;
        self.next += 1;
        self.asks.insert(self.next, number);
        let tag = flight.tag.clone();
        out.ask(*upstream, self.next, &flight.name, tag);
        out.after(Duration::from_secs(2), Timer::Attempt(number, flight.tried));
    }

    fn end(&mut self, number: u64, code: u8, out: &mut Out) {
        for (to, id) in self.flights.remove(&number).map(|flight| flight.waiters).unwrap_or_default() {
            out.reply(to, id, code);
        }
    }
}

impl Node for Forwarder {
    fn query(&mut self, query: Query, out: &mut Out) {
        let same = |flight: &&mut Flight| flight.name.eq_ignore_ascii_case(&query.name);
        if self.manners.merges
            && let Some(flight) = self.flights.values_mut().find(same)
        {
            flight.waiters.push((query.from, query.id));
            return;
        }
        self.next += 1;
        let number = self.next;
        let mut name = query.name;
        if self.manners.lowers {
            name.make_ascii_lowercase();
        }
        let tag = query.tag.filter(|_| !self.manners.strips);
        self.flights.insert(number, Flight { name, tag, waiters: vec![(query.from, query.id)], tried: 0, due: 0 });
        let servers = if self.manners.all { self.upstreams.len() } else { 1 };
        for _ in 0..servers {
            self.next_server(number, out);
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        let Some(number) = self.asks.remove(&answer.id) else { return };
        if answer.code != SERVFAIL {
            return self.end(number, answer.code, out);
        }
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.due -= 1;
        if flight.tried < self.upstreams.len() {
            self.next_server(number, out);
        } else if flight.due == 0 {
            self.end(number, SERVFAIL, out);
        }
    }

    fn ring(&mut self, timer: Timer, out: &mut Out) {
        let Timer::Attempt(number, tried) = timer else { return };
        if self.flights.get(&number).is_none_or(|flight| flight.tried != tried) {
            return;
        }
        if tried < self.upstreams.len() {
            self.next_server(number, out);
        } else {
            self.end(number, SERVFAIL, out);
        }
    }

    fn reconfigure(&mut self, upstreams: &[Place]) {
        self.upstreams = upstreams.to_vec();
    }
}
