//! The core by itself, with time as a number and the network as lists: what it answers, sends and holds.

mod counting;
mod endings;
mod queries;
mod stale;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::admit::acl::Allowed;
use crate::cache::{Limits, TtlBounds};
use crate::exchange::pool::Socket;
use crate::exchange::{AttemptId, Engine, Guidance};
use crate::guard::{self, Driver};
use crate::node_address::table::Tables;
use crate::upstream::UpstreamId;
use crate::upstream::set::UpstreamIds;
use crate::waiters::{ClientId, ListenerId, ReplyTo};
use crate::wire::{flag, rcode, rtype};

const LIMITS: Limits = Limits {
    entries: 1_000,
    bytes: 1 << 20,
    ttl: TtlBounds::new(0, 86_400),
    negative_ttl: TtlBounds::new(0, 900),
    failure_ttl: 5,
    stale_max: 86_400,
    prefetch: true,
};

/// What went to an upstream.
struct Sent {
    upstream: UpstreamId,
    socket: Socket,
    message: Vec<u8>,
}

/// A core with its shell.
struct World {
    forwarder: Forwarder,
    driver: Driver,
    now: Instant,
    started: Instant,
    sockets: HashMap<Socket, UpstreamId>,
    sent: Vec<Sent>,
    streams: Vec<(AttemptId, Vec<u8>)>,
    responses: Vec<(ReplyTo, Vec<u8>)>,
    told: Vec<Event>,
    /// Probes that the guard sent.
    probes: Vec<Vec<u8>>,
    ids: UpstreamIds,
}

fn set(servers: &[&str], ids: &mut UpstreamIds) -> Arc<UpstreamSet> {
    let servers = servers.iter().map(|server| (server.parse().unwrap(), "test".into())).collect();
    Arc::new(UpstreamSet::new(servers, None, ids))
}

fn engine(shared: &Shared) -> Engine {
    let guidance = Guidance { verdicts: Arc::clone(&shared.guard.verdicts()), key: Arc::clone(&shared.guard.key()) };
    Engine::new(shared.set.load_full(), guidance, 4, shared.payload, StdRng::seed_from_u64(1))
}

fn world(servers: &[&str]) -> World {
    let mut ids = UpstreamIds::default();
    let (guard, driver) = Guard::seeded(guard::Settings::default(), 1);
    let started = crate::clock::now();
    let allowed = Allowed { private: true, ..Allowed::default() };
    let shared = Arc::new(Shared {
        cache: Cache::new(LIMITS),
        waiters: Waiters::new(100, 100),
        allow: ArcSwap::from_pointee(AllowList::compile(&allowed, &Tables::default())),
        set: ArcSwap::new(set(servers, &mut ids)),
        names: ArcSwap::default(),
        guard,
        monitor: Arc::default(),
        payload: 1232,
        started,
    });
    let engine = engine(&shared);
    let forwarder = Forwarder::new(shared, engine, started);
    let mut world = World {
        forwarder,
        driver,
        now: started,
        started,
        sockets: HashMap::new(),
        sent: vec![],
        streams: vec![],
        responses: vec![],
        told: vec![],
        probes: vec![],
        ids,
    };
    world.judge();
    world
}

impl World {
    /// Takes everything that the core wants sent.
    fn act(&mut self) {
        let mut bytes = vec![];
        while let Some(transmit) = self.forwarder.poll_transmit(self.now, &mut bytes) {
            match transmit {
                Transmit::Open(socket, upstream) => drop(self.sockets.insert(socket, upstream.id)),
                Transmit::Close(socket) => drop(self.sockets.remove(&socket)),
                Transmit::Send(socket) => {
                    let upstream = self.sockets[&socket];
                    self.sent.push(Sent { upstream, socket, message: bytes.clone() });
                }
                Transmit::Stream(attempt, ..) => self.streams.push((attempt, bytes.clone())),
                Transmit::Respond(reply_to) => self.responses.push((reply_to, bytes.clone())),
                Transmit::Tell(event) => self.told.push(event),
                Transmit::HealthChanged => {}
            }
        }
    }

    /// Lets the guard hear of the upstreams, and the core of its verdicts.
    fn judge(&mut self) {
        let set = self.forwarder.shared().set.load_full();
        let probes = &mut self.probes;
        self.driver.step(Some(guard::Event::SetChanged(set)), (self.now, None), |_, _, _, probe| probes.push(probe));
        self.forwarder.handle_event(Event::Guidance, self.now);
        self.act();
    }

    /// Lets time pass until `ms` milliseconds after the start.
    fn until(&mut self, ms: u64) {
        let end = self.started + Duration::from_millis(ms);
        while let Some(at) = self.forwarder.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.forwarder.handle_timeout(self.now);
            self.act();
        }
        self.now = end;
    }

    /// A packet comes in. Returns the response that is there at once.
    fn take(&mut self, packet: &[u8], ingress: Ingress) -> (Reply, Vec<u8>) {
        let mut out = vec![];
        self.forwarder.begin_batch(self.now);
        let reply = self.forwarder.handle_query(&Incoming { packet, from: CLIENT, ingress }, &mut out);
        self.act();
        (reply, out)
    }

    /// A client asks over UDP. Returns the response that is there at once.
    fn ask(&mut self, name: &str) -> Option<Vec<u8>> {
        let (reply, out) = self.take(&query(name, 7), LISTENER);
        (reply == Reply::Now).then_some(out)
    }

    /// The upstream answers the query that was sent last.
    fn answer(&mut self, response: impl FnOnce(&[u8]) -> Vec<u8>) {
        self.answer_to(self.sent.len() - 1, response);
    }

    fn answer_to(&mut self, index: usize, response: impl FnOnce(&[u8]) -> Vec<u8>) {
        let Sent { upstream, socket, message } = &self.sent[index];
        let response = response(message);
        self.forwarder.handle_datagram(*upstream, *socket, &response, self.now);
        self.act();
    }

    /// Nothing listens where the last query went to.
    fn refuse(&mut self) {
        let (upstream, socket) = self.sent.last().map(|sent| (sent.upstream, sent.socket)).unwrap();
        self.forwarder.handle_refused(upstream, socket, self.now);
        self.act();
    }

    /// Other upstreams are in use from now on.
    fn change_upstreams(&mut self, servers: &[&str]) {
        let set = set(servers, &mut self.ids);
        self.forwarder.shared().adopt(&set, self.now);
        self.forwarder.handle_event(Event::Upstreams(set), self.now);
        self.judge();
    }

    /// The responses since this was asked last.
    fn answered(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.responses).into_iter().map(|(_, response)| response).collect()
    }
}

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 244, 0, 9)), 5_300);
const LISTENER: Ingress = Ingress::Udp(ListenerId(3));

/// A plain query of type A with an OPT.
fn query(name: &str, id: u8) -> Vec<u8> {
    let mut packet = vec![0, id, flag::RD, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    packet
}

/// The head of a response to `query`: header and question section.
fn head(query: &[u8], code: u8, answers: u8) -> Vec<u8> {
    let end = crate::wire::name_end(query, 12).unwrap() + 4;
    let mut response = query[..end].to_vec();
    response[2..12].copy_from_slice(&[flag::QR | flag::RD, flag::RA | code, 0, 1, 0, answers, 0, 0, 0, 0]);
    response
}

/// A response with the address 192.0.2.`host`, which may be kept for `ttl` seconds.
fn address(host: u8, ttl: u32) -> impl Fn(&[u8]) -> Vec<u8> {
    move |query| {
        let mut response = head(query, rcode::NOERROR, 1);
        response.extend([0xc0, 12, 0, 1, 0, 1]);
        response.extend(ttl.to_be_bytes());
        response.extend([0, 4, 192, 0, 2, host]);
        response
    }
}

/// NXDOMAIN, which may be kept for a minute.
fn denial(query: &[u8]) -> Vec<u8> {
    let mut response = head(query, rcode::NXDOMAIN, 0);
    response[9] = 1;
    response.extend([0xc0, 12]);
    response.extend(rtype::SOA.to_be_bytes());
    response.extend([0, 1, 0, 0, 3, 132, 0, 22, 0, 0]);
    response.extend([0; 16]);
    response.extend(60_u32.to_be_bytes());
    response
}

fn failure(query: &[u8]) -> Vec<u8> {
    head(query, rcode::SERVFAIL, 0)
}

/// The response code, the last byte of the address if there is one, and the extended error if there is one.
fn read(response: &[u8]) -> (u8, Option<u8>, Option<u16>) {
    let end = crate::wire::name_end(response, 12).unwrap() + 4;
    let read = crate::wire::Response::read(response, end).unwrap();
    let host = (read.counts()[0] > 0).then(|| response[end + 15]);
    (response[3] & flag::RCODE, host, read.extended_errors().next())
}
