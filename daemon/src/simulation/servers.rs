//! Everyone who is not an Onward: servers that know, and forwarders of many kinds.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Answer, Node, Out, Place, Query, SERVFAIL, Timer};
use crate::guard::probe;
use crate::wire::flag;
use crate::wire::name;
use crate::wire::rcode::NXDOMAIN;

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
    /// DO and CD where it sets them on what it sends, as unbound (DO) and BIND (both) do: that is another question
    /// then.
    pub(super) sets: u8,
    /// Asks one of its servers, by chance that begins with this, and passes on what that says, as CoreDNS does.
    pub(super) random: Option<u64>,
    /// Number of further times that it asks its servers where all have failed, as unbound does.
    pub(super) again: usize,
    /// Denies what the root does not have from its cache, as those do that validate (RFC 8198).
    pub(super) denies: bool,
    /// Asks its first server for the names under this one only, and the last for all others.
    pub(super) zone: Option<&'static str>,
}

/// A forwarder that asks its servers in order, 2 s each.
pub(super) struct Forwarder {
    manners: Manners,
    upstreams: Vec<Place>,
    rng: StdRng,
    next: u64,
    pending: HashMap<u64, Pending>,
    attempts: HashMap<u64, u64>,
}

struct Pending {
    query: Query,
    waiters: Vec<(Place, u64)>,
    servers: Vec<Place>,
    tried: usize,
    due: usize,
}

/// A server that answers every query, and sends each but probes to another place, with DO and as it was spelled: it
/// replays what it saw.
pub(super) struct Replays {
    pub(super) takes: Duration,
    pub(super) to: Place,
}

impl Node for Replays {
    fn query(&mut self, query: Query, out: &mut Out) {
        out.reply_after(self.takes, query.from, query.id, 0);
        if probe::nonce(&query.name.to_ascii_lowercase()).is_none() {
            out.ask(self.to, Query { from: out.place, bits: flag::DO, tag: None, ..query });
        }
    }

    fn answer(&mut self, answer: Answer, _: &mut Out) {
        assert_eq!(answer.code, 0, "what it asks is answered like anybody's");
    }

    fn ring(&mut self, _: Timer, _: &mut Out) {}
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
        let rng = StdRng::seed_from_u64(manners.random.unwrap_or_default());
        Self { manners, upstreams, rng, next: 0, pending: HashMap::new(), attempts: HashMap::new() }
    }

    /// Whom to ask for a name, in this order.
    fn servers(&mut self, name: &[u8]) -> Vec<Place> {
        let all = &self.upstreams;
        let is_within = |zone| name::is_within(&name.to_ascii_lowercase(), &name::wire(zone));
        let some = match (self.manners.random, self.manners.zone) {
            (Some(_), _) => vec![all[self.rng.random_range(0..all.len())]],
            (None, Some(zone)) if is_within(zone) => vec![all[0]],
            (None, Some(_)) => all.last().copied().into_iter().collect(),
            (None, None) => all.clone(),
        };
        some.repeat(1 + self.manners.again)
    }

    fn next_server(&mut self, number: u64, out: &mut Out) {
        let Some(pending) = self.pending.get_mut(&number) else { return };
        let Some(upstream) = pending.servers.get(pending.tried) else { return };
        pending.tried += 1;
        pending.due += 1;
        self.next += 1;
        self.attempts.insert(self.next, number);
        out.ask(*upstream, Query { from: out.place, id: self.next, ..pending.query.clone() });
        out.after(Duration::from_secs(2), Timer::Attempt(number, pending.tried));
    }

    fn end(&mut self, number: u64, code: u8, out: &mut Out) {
        for (to, id) in self.pending.remove(&number).map(|pending| pending.waiters).unwrap_or_default() {
            out.reply(to, id, code);
        }
    }
}

impl Node for Forwarder {
    fn query(&mut self, query: Query, out: &mut Out) {
        let Query { from, id, mut name, bits, tag } = query;
        let bits = bits | self.manners.sets;
        let lowered = name.to_ascii_lowercase();
        let is_of_root = name::parent(name::parent(&lowered)) == name::ROOT;
        if self.manners.denies && is_of_root && probe::nonce(&lowered).is_some() {
            return out.reply(from, id, NXDOMAIN);
        }
        let same =
            |pending: &&mut Pending| pending.query.bits == bits && pending.query.name.eq_ignore_ascii_case(&name);
        if self.manners.merges
            && let Some(pending) = self.pending.values_mut().find(same)
        {
            pending.waiters.push((from, id));
            return;
        }
        self.next += 1;
        let number = self.next;
        if self.manners.lowers {
            name.make_ascii_lowercase();
        }
        let query = Query { from, id, name, bits, tag: tag.filter(|_| !self.manners.strips) };
        let servers = self.servers(&query.name);
        let at_once = if self.manners.all { servers.len() } else { 1 };
        self.pending.insert(number, Pending { query, waiters: vec![(from, id)], servers, tried: 0, due: 0 });
        for _ in 0..at_once {
            self.next_server(number, out);
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        let Some(number) = self.attempts.remove(&answer.id) else { return };
        if answer.code != SERVFAIL {
            return self.end(number, answer.code, out);
        }
        let Some(pending) = self.pending.get_mut(&number) else { return };
        pending.due -= 1;
        if pending.tried < pending.servers.len() {
            self.next_server(number, out);
        } else if pending.due == 0 {
            self.end(number, SERVFAIL, out);
        }
    }

    fn ring(&mut self, timer: Timer, out: &mut Out) {
        let Timer::Attempt(number, tried) = timer else { return };
        let Some(pending) = self.pending.get(&number).filter(|pending| pending.tried == tried) else { return };
        if tried < pending.servers.len() {
            self.next_server(number, out);
        } else {
            self.end(number, SERVFAIL, out);
        }
    }

    fn reconfigure(&mut self, upstreams: &[Place]) {
        self.upstreams = upstreams.to_vec();
    }
}
