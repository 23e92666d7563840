//! The Onward of the model: the real core and the real judge, with time and network of the model. A shell like
//! `server::worker`, which carries bytes and decides nothing. One worker, UDP only.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Answer, CLIENT, Node, Out, Place, Query, Timer, messages};
use crate::cache;
use crate::exchange::pool::Socket;
use crate::forwarder::guarded_core::{self, GuardedCore};
use crate::forwarder::{Incoming, Ingress, Reply, Transmit};
use crate::guard::{Asked, Event, Guard, Mark, Nonce, Settings, Standing, Witness, probe};
use crate::upstream::set::UpstreamIds;
use crate::upstream::{Server, Transport, UpstreamId, UpstreamSet};
use crate::waiters::{ListenerId, ReplyTo};
use crate::wire::name;

/// How long an upstream has to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

const CACHE: cache::Limits = cache::Limits { entries: 256, ..guarded_core::CACHE };

/// Which witnesses there are; a test can switch them off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witnesses {
    pub(super) tag: bool,
    pub(super) spelling: Mark,
    pub(super) silence: bool,
}

pub(super) struct Onward {
    core: GuardedCore,
    /// The witness that the judge does not hear.
    deaf_to: Option<Witness>,
    places: HashMap<UpstreamId, Place>,
    next: u64,
    sockets: HashMap<Socket, UpstreamId>,
    attempts: HashMap<u64, (UpstreamId, Socket, Vec<u8>)>,
    probes: HashMap<u64, (Nonce, Vec<u8>)>,
    /// Queries that wait for a response, by the address that each came from.
    waiting: HashMap<SocketAddr, (Place, u64)>,
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
        let settings = Settings { tag: mark(witnesses.tag), spelling: witnesses.spelling };
        let guard = Guard::seeded(settings, seed);
        let server = |place: &Place| (Server::new(address(*place), 53).into(), "a".into());
        let set = Arc::new(UpstreamSet::new(upstreams.iter().map(server).collect(), None, &mut UpstreamIds::default()));
        let places = set.upstreams.iter().map(|upstream| upstream.id).zip(upstreams.iter().copied()).collect();
        Self {
            core: GuardedCore::new(guard, CACHE, set, seed.into(), crate::clock::now()),
            deaf_to: (!witnesses.silence).then_some(Witness::Silence),
            places,
            next: 0,
            sockets: HashMap::new(),
            attempts: HashMap::new(),
            probes: HashMap::new(),
            waiting: HashMap::new(),
            judges_from: None,
            refused: 0,
        }
    }

    /// Queries that were held, as perhaps ours come back.
    pub(super) fn queries_held(&self) -> usize {
        self.core.forwarder.counters().held.try_into().unwrap()
    }

    /// The standing of the upstream at `place` for all names.
    pub(super) fn standing(&self, place: Place) -> Standing {
        self.standing_for(place, name::ROOT)
    }

    /// Its standing for `name`, in lower case.
    pub(super) fn standing_for(&self, place: Place, name: &[u8]) -> Standing {
        let number = self.places.iter().find(|(_, at)| **at == place).map(|(number, _)| *number).unwrap();
        self.core.forwarder.shared().guard.verdicts().standing(number, Transport::Udp, Asked { name, qtype: 1 })
    }

    /// How many verdicts hold over UDP.
    pub(super) fn verdicts(&self) -> usize {
        let verdicts = self.core.forwarder.shared().guard.verdicts();
        verdicts.all().iter().filter(|verdict| verdict.transport == Transport::Udp).count()
    }

    /// Whether any upstream is convicted.
    pub(super) fn convicts(&self) -> bool {
        !self.core.forwarder.shared().guard.verdicts().all().is_empty()
    }

    fn reply(&mut self, (to, id): (Place, u64), response: &[u8], out: &mut Out) {
        let (code, has_returned) = messages::code(response);
        self.refused += usize::from(has_returned);
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
        out.timers.extend(self.core.next_due(out.now).map(|due| (due, Timer::Due)));
    }

    fn transmit(&mut self, out: &mut Out) {
        let mut bytes = Vec::new();
        while let Some(transmit) = self.core.forwarder.poll_transmit(out.now, &mut bytes) {
            match transmit {
                Transmit::Open(socket, upstream) => drop(self.sockets.insert(socket, upstream.id)),
                Transmit::Close(socket) => drop(self.sockets.remove(&socket)),
                Transmit::Send(socket) => {
                    let upstream = self.sockets[&socket];
                    self.next += 1;
                    out.ask(self.places[&upstream], messages::read(&bytes, out.place, self.next));
                    self.attempts.insert(self.next, (upstream, socket, bytes.clone()));
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
        let is_news = self.core.driver.step(event, (out.now, self.deaf_to), |nonce, upstream, transport, message| {
            *next += 1;
            if transport == Transport::Udp {
                out.ask(places[&upstream.id], messages::read(&message, out.place, *next));
            }
            out.after(PATIENCE, Timer::ProbeTimeout(*next));
            probes.insert(*next, (nonce, message));
        });
        self.core.heed(is_news, out.now)
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
        self.core.forwarder.begin_batch(out.now);
        match self.core.forwarder.handle_query(&incoming, &mut response) {
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
        let Some((upstream, socket, asked)) = self.attempts.remove(&answer.id) else { return };
        self.core.forwarder.handle_datagram(upstream, socket, &messages::answer(&asked, answer.code), out.now);
        self.settle(None, out);
    }

    fn ring(&mut self, timer: Timer, out: &mut Out) {
        match timer {
            Timer::Start if self.judges_from.is_some_and(|from| out.now < from) => {
                out.timers.extend(self.judges_from.map(|from| (from, Timer::Start)));
            }
            Timer::Start => {
                let set = Arc::clone(&self.core.forwarder.shared().set.load());
                self.settle(Some(Event::SetChanged(set)), out);
            }
            Timer::ProbeTimeout(id) => {
                if let Some((nonce, _)) = self.probes.remove(&id) {
                    self.settle(Some(Event::ProbeOver { nonce, heard: None }), out);
                }
            }
            Timer::Due => {
                let is_judge_due = self.core.handle_timeout(out.now);
                self.settle(is_judge_due.then_some(Event::Tick), out);
            }
            Timer::Attempt(..) => {}
        }
    }

    fn onward(&self) -> Option<&Onward> {
        Some(self)
    }
}
