//! The Onward of the model: the real core and the real judge, with time and network of the model. A shell like
//! `server::worker`, which carries bytes and decides nothing. One worker, UDP only.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Answer, CLIENT, Node, Out, Place, Query, Timer, messages};
use crate::admit::acl::{AllowList, Allowed};
use crate::cache::{self, Cache, TtlBounds};
use crate::exchange::pool::Socket;
use crate::exchange::{Engine, Guidance};
use crate::forwarder::{self, Forwarder, Incoming, Ingress, Reply, Shared, Transmit};
use crate::guard::{Driver, Event, Guard, Mark, Nonce, Settings, Standing, Witness, probe};
use crate::node_address::table::Tables;
use crate::upstream::set::UpstreamIds;
use crate::upstream::{Server, Transport, UpstreamId, UpstreamSet};
use crate::waiters::{ListenerId, ReplyTo, Waiters};
use crate::wire::name;

/// How long an upstream has to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// As the program has it, but with little room.
const CACHE: cache::Limits = cache::Limits {
    entries: 256,
    bytes: 1 << 20,
    ttl: TtlBounds::new(0, 3_600),
    negative_ttl: TtlBounds::new(0, 900),
    failure_ttl: 5,
    stale_max: 0,
    prefetch: true,
};

/// Which witnesses there are; a test can switch them off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witnesses {
    pub(super) tag: bool,
    pub(super) spelling: bool,
    pub(super) silence: bool,
}

pub(super) struct Onward {
    forwarder: Forwarder,
    driver: Driver,
    /// The witness that the judge does not hear.
    deaf_to: Option<Witness>,
    places: HashMap<UpstreamId, Place>,
    next: u64,
    sockets: HashMap<Socket, UpstreamId>,
    asks: HashMap<u64, (UpstreamId, Socket, Vec<u8>)>,
    probes: HashMap<u64, (Nonce, Vec<u8>)>,
    /// Queries that wait for a response, by the address that each came from.
    waiting: HashMap<SocketAddr, (Place, u64)>,
    due: Option<Instant>,
    /// When the judge hears of the upstreams, if not at once.
    pub(super) judges_from: Option<Instant>,
    /// Packets that were refused for a mark.
    pub(super) refused: usize,
}

/// The address of a place.
fn address(place: Place) -> IpAddr {
    let host = if place == CLIENT { 255 } else { u8::try_from(place).unwrap() };
    Ipv4Addr::new(10, 0, 0, host).into()
}

impl Onward {
    pub(super) fn new(seed: u8, witnesses: Witnesses, upstreams: &[Place]) -> Self {
        let mark = |on: bool| if on { Mark::Auto } else { Mark::Never };
        let settings = Settings { tag: mark(witnesses.tag), spelling: mark(witnesses.spelling) };
        let (guard, driver) = Guard::seeded(settings, seed);
        let server = |place: &Place| (Server::new(address(*place), 53), "a".into());
        let set = Arc::new(UpstreamSet::new(upstreams.iter().map(server).collect(), None, &mut UpstreamIds::default()));
        let places = set.upstreams.iter().map(|upstream| upstream.id).zip(upstreams.iter().copied()).collect();
        let guidance = Guidance { verdicts: Arc::clone(&guard.verdicts()), key: Arc::clone(&guard.key()) };
        let allowed = Allowed { private: true, ..Allowed::default() };
        let shared = Shared {
            cache: Cache::new(CACHE),
            waiters: Waiters::new(1_000, 100),
            allow: ArcSwap::from_pointee(AllowList::compile(&allowed, &Tables::default())),
            set: ArcSwap::new(Arc::clone(&set)),
            guard,
            payload: 1232,
            started: crate::clock::now(),
        };
        let engine = Engine::new(set, guidance, 4, 1232, StdRng::seed_from_u64(seed.into()));
        let started = shared.started;
        Self {
            forwarder: Forwarder::new(Arc::new(shared), engine, started),
            driver,
            deaf_to: (!witnesses.silence).then_some(Witness::Silence),
            places,
            next: 0,
            sockets: HashMap::new(),
            asks: HashMap::new(),
            probes: HashMap::new(),
            waiting: HashMap::new(),
            due: None,
            judges_from: None,
            refused: 0,
        }
    }

    /// Queries that were held, as perhaps ours come back.
    pub(super) fn queries_held(&self) -> usize {
        self.forwarder.queries_held
    }

    /// The standing of the upstream at `place` for all names.
    pub(super) fn standing(&self, place: Place) -> Standing {
        self.standing_for(place, name::ROOT)
    }

    /// Its standing for `name`, in lower case.
    pub(super) fn standing_for(&self, place: Place, name: &[u8]) -> Standing {
        let number = self.places.iter().find(|(_, at)| **at == place).map(|(number, _)| *number).unwrap();
        self.forwarder.shared().guard.verdicts().standing(number, Transport::Udp, name)
    }

    /// Whether any upstream is convicted.
    pub(super) fn convicts(&self) -> bool {
        !self.forwarder.shared().guard.verdicts().all().is_empty()
    }

    fn reply(&mut self, (to, id): (Place, u64), response: &[u8], out: &mut Out) {
        let (code, came_back) = messages::code(response);
        self.refused += usize::from(came_back);
        out.reply(to, id, code);
    }

    /// Does all that is to be done now, and sets the time of what comes next.
    fn settle(&mut self, event: Option<Event>, out: &mut Out) {
        let mut event = event;
        loop {
            self.transmit(out);
            if !self.judge(event.take(), out) {
                break;
            }
        }
        let due = [self.forwarder.poll_timeout(), self.driver.due(out.now)].into_iter().flatten().min();
        if let Some(due) = due.map(|due| due.max(out.now + Duration::from_millis(1)))
            && self.due.is_none_or(|before| before <= out.now || due < before)
        {
            self.due = Some(due);
            out.timers.push((due, Timer::Due));
        }
    }

    fn transmit(&mut self, out: &mut Out) {
        let mut bytes = Vec::new();
        while let Some(transmit) = self.forwarder.poll_transmit(out.now, &mut bytes) {
            match transmit {
                Transmit::Open(socket, upstream) => drop(self.sockets.insert(socket, upstream.id)),
                Transmit::Close(socket) => drop(self.sockets.remove(&socket)),
                Transmit::Send(socket) => {
                    let upstream = self.sockets[&socket];
                    self.next += 1;
                    out.ask(self.places[&upstream], messages::read(&bytes, out.place, self.next));
                    self.asks.insert(self.next, (upstream, socket, bytes.clone()));
                }
                Transmit::Respond(ReplyTo::Udp(_, client)) => {
                    let to = self.waiting.remove(&client).unwrap();
                    self.reply(to, &bytes, out);
                }
                Transmit::Tell(_) | Transmit::HealthChanged => {} // there is nobody to tell
                Transmit::Stream(..) | Transmit::Respond(ReplyTo::Stream(_)) => panic!("there is no TCP"),
            }
        }
    }

    /// Lets the judge take what there is; returns whether there are other verdicts. No place listens over TCP.
    fn judge(&mut self, event: Option<Event>, out: &mut Out) -> bool {
        let (next, probes, places) = (&mut self.next, &mut self.probes, &self.places);
        let is_news = self.driver.step(event, (out.now, self.deaf_to), |nonce, upstream, transport, message| {
            *next += 1;
            if transport == Transport::Udp {
                out.ask(places[&upstream.id], messages::read(&message, out.place, *next));
            }
            out.after(PATIENCE, Timer::ProbeTimeout(*next));
            probes.insert(*next, (nonce, message));
        });
        if is_news {
            self.forwarder.handle_event(forwarder::Event::Guidance, out.now);
        }
        is_news
    }

    /// An address that no other query waits at.
    fn client(&mut self, place: Place) -> SocketAddr {
        self.next += 1;
        let port = u16::try_from(self.next % 60_000).unwrap() + 1_024;
        SocketAddr::new(address(place), port)
    }
}

impl Node for Onward {
    fn query(&mut self, query: Query, out: &mut Out) {
        let (packet, to) = (messages::query(&query), (query.from, query.id));
        let from = self.client(query.from);
        let incoming = Incoming { packet: &packet, from, ingress: Ingress::Udp(ListenerId(0)) };
        let mut response = Vec::new();
        self.forwarder.begin_batch(out.now);
        match self.forwarder.handle_query(&incoming, &mut response) {
            Reply::Now => self.reply(to, &response, out),
            Reply::Later => drop(self.waiting.insert(from, to)),
            Reply::None => panic!("a plain query that is allowed"),
        }
        self.settle(None, out);
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        if let Some((nonce, message)) = self.probes.remove(&answer.id) {
            let heard = probe::heard(&message, &messages::answer(&message, answer.code));
            return self.settle(Some(Event::ProbeOver { nonce, heard }), out);
        }
        let Some((upstream, socket, asked)) = self.asks.remove(&answer.id) else { return };
        self.forwarder.handle_datagram(upstream, socket, &messages::answer(&asked, answer.code), out.now);
        self.settle(None, out);
    }

    fn ring(&mut self, timer: Timer, out: &mut Out) {
        match timer {
            Timer::Start if self.judges_from.is_some_and(|from| out.now < from) => {
                out.timers.extend(self.judges_from.map(|from| (from, Timer::Start)));
            }
            Timer::Start => {
                let set = Arc::clone(&self.forwarder.shared().set.load());
                self.settle(Some(Event::SetChanged(set)), out);
            }
            Timer::ProbeTimeout(id) => {
                if let Some((nonce, _)) = self.probes.remove(&id) {
                    self.settle(Some(Event::ProbeOver { nonce, heard: None }), out);
                }
            }
            Timer::Due => {
                self.forwarder.handle_timeout(out.now);
                let is_due = self.driver.due(out.now).is_some_and(|at| at <= out.now);
                self.settle(is_due.then_some(Event::Tick), out);
            }
            Timer::Attempt(..) => {}
        }
    }

    fn onward(&self) -> Option<&Onward> {
        Some(self)
    }
}
