//! The guard in a model of the world: a network of forwarders, good servers and Onwards that runs in a deterministic
//! simulation. Time passes by events only.
//!
//! The Onward of the model ([`onward`]) is the real one: what it shows is what the program does. [`servers`] has
//! everyone else, [`messages`] what they say to an Onward, in bytes. [`tests`], [`coming_back`], [`odd_loops`] and
//! [`topologies`] say what must hold.

mod coming_back;
mod messages;
mod odd_loops;
mod onward;
mod servers;
mod tests;
mod topologies;

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Where a node stands in the network.
type Place = usize;

/// Failure, as every server says it.
const SERVFAIL: u8 = 2;

#[derive(Debug, Clone)]
struct Query {
    from: Place,
    id: u64,
    name: Vec<u8>,
    /// DO and CD, as in the key of a question.
    bits: u8,
    tag: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Answer {
    id: u64,
    code: u8,
}

#[derive(Debug, Clone)]
enum Packet {
    Query(Query),
    Answer(Answer),
}

/// What rings at a node that set it; the numbers are the node's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Start,
    Attempt(u64, usize),
    ProbeTimeout(u64),
    Due,
}

#[derive(Debug)]
enum Happening {
    Arrives(Place, Packet),
    Rings(Place, Timer),
}

/// What a node does in answer to something.
struct Out {
    now: Instant,
    place: Place,
    sends: Vec<(Place, Packet, Duration)>,
    timers: Vec<(Instant, Timer)>,
}

trait Node {
    fn query(&mut self, query: Query, out: &mut Out);
    fn answer(&mut self, answer: Answer, out: &mut Out);
    fn ring(&mut self, timer: Timer, out: &mut Out);
    /// A forwarder is told other servers.
    fn reconfigure(&mut self, _upstreams: &[Place]) {}
    /// The node as an Onward, to look into it.
    fn onward(&self) -> Option<&onward::Onward> {
        None
    }
}

impl Out {
    fn ask(&mut self, to: Place, query: Query) {
        self.sends.push((to, Packet::Query(query), Duration::ZERO));
    }

    fn reply(&mut self, to: Place, id: u64, code: u8) {
        self.reply_after(Duration::ZERO, to, id, code);
    }

    fn reply_after(&mut self, after: Duration, to: Place, id: u64, code: u8) {
        self.sends.push((to, Packet::Answer(Answer { id, code }), after));
    }

    fn after(&mut self, span: Duration, timer: Timer) {
        self.timers.push((self.now + span, timer));
    }
}

/// What came of a client's question.
#[derive(Debug, Clone, Copy)]
struct ProbeInFlight {
    sent: Instant,
    answered: Option<(Instant, u8)>,
}

struct World {
    now: Instant,
    rng: StdRng,
    nodes: Vec<Box<dyn Node>>,
    agenda: BinaryHeap<std::cmp::Reverse<(Instant, u64)>>,
    happenings: HashMap<u64, Happening>,
    next: u64,
    asked: Vec<ProbeInFlight>,
    /// Queries on the wire for each name, lower-cased.
    queries: BTreeMap<Vec<u8>, usize>,
}

/// The place of all clients.
const CLIENT: Place = usize::MAX;

impl World {
    fn new(seed: u64, nodes: Vec<Box<dyn Node>>) -> Self {
        let mut world = Self {
            now: crate::clock::now(),
            rng: StdRng::seed_from_u64(seed),
            nodes,
            agenda: BinaryHeap::new(),
            happenings: HashMap::new(),
            next: 0,
            asked: Vec::new(),
            queries: BTreeMap::new(),
        };
        for place in 0..world.nodes.len() {
            world.add(world.now, Happening::Rings(place, Timer::Start));
        }
        world
    }

    fn add(&mut self, at: Instant, happening: Happening) {
        self.next += 1;
        self.agenda.push(std::cmp::Reverse((at, self.next)));
        self.happenings.insert(self.next, happening);
    }

    /// A client asks `place`; returns the number of its question.
    fn ask(&mut self, place: Place, name: &[u8]) -> usize {
        let id = u64::try_from(self.asked.len()).unwrap();
        self.asked.push(ProbeInFlight { sent: self.now, answered: None });
        let query = Query { from: CLIENT, id, name: name.to_vec(), bits: 0, tag: None };
        self.send(place, Packet::Query(query), Duration::ZERO);
        self.asked.len() - 1
    }

    fn send(&mut self, to: Place, packet: Packet, after: Duration) {
        if let Packet::Query(query) = &packet {
            *self.queries.entry(query.name.to_ascii_lowercase()).or_default() += 1;
        }
        let way = Duration::from_micros(self.rng.random_range(200..3000));
        self.add(self.now + after + way, Happening::Arrives(to, packet));
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(std::cmp::Reverse((at, number))) = self.agenda.peek().copied().filter(|next| next.0.0 <= end) {
            self.agenda.pop();
            self.now = at;
            match self.happenings.remove(&number).unwrap() {
                Happening::Arrives(CLIENT, Packet::Answer(answer)) => {
                    let asked = &mut self.asked[usize::try_from(answer.id).unwrap()];
                    asked.answered.get_or_insert((at, answer.code));
                }
                Happening::Arrives(place, packet) => self.at(place, |node, out| match packet {
                    Packet::Query(query) => node.query(query, out),
                    Packet::Answer(answer) => node.answer(answer, out),
                }),
                Happening::Rings(place, timer) => self.at(place, |node, out| node.ring(timer, out)),
            }
        }
        self.now = end;
    }

    fn at(&mut self, place: Place, does: impl FnOnce(&mut dyn Node, &mut Out)) {
        let mut out = Out { now: self.now, place, sends: Vec::new(), timers: Vec::new() };
        does(&mut *self.nodes[place], &mut out);
        for (to, packet, after) in out.sends {
            self.send(to, packet, after);
        }
        for (when, timer) in out.timers {
            self.add(when, Happening::Rings(place, timer));
        }
    }

    fn onwards(&self) -> impl Iterator<Item = (Place, &onward::Onward)> {
        self.nodes.iter().enumerate().filter_map(|(place, node)| Some((place, node.onward()?)))
    }

    /// How many queries crossed the network for `name`.
    fn queries(&self, name: &[u8]) -> usize {
        self.queries.get(name).copied().unwrap_or(0)
    }
}
