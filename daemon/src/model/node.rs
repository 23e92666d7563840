//! The Onward of the model: the real core and the real judge of the guard. A shell, like `server::worker`: it carries bytes
//! and decides nothing. One worker; streams are answered whole.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Happening, Out};
use crate::admit::acl::{AllowList, Allowed};
use crate::cache::{self, Cache, TtlBounds};
use crate::exchange::pool::Socket;
use crate::exchange::{Engine, Guidance};
use crate::forwarder::{self, Forwarder, Incoming, Ingress, Reply, Shared, Transmit};
use crate::guard::{Driver, Event, Guard, Mark, Settings, probe};
use crate::node_address::table::Tables;
use crate::upstream::set::UpstreamIds;
use crate::upstream::{Server, UpstreamId, UpstreamSet};
use crate::waiters::{ClientId, ListenerId, ReplyTo, Waiters};

/// Time that an upstream has to answer a probe.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// Time that a response may be served past its end, in seconds.
pub(super) const STALE_MAX: u32 = 600;

/// As the program has it, but with little room.
const CACHE: cache::Limits = cache::Limits {
    entries: 4096,
    bytes: 1 << 20,
    ttl: TtlBounds::new(0, 3_600),
    negative_ttl: TtlBounds::new(0, 900),
    failure_ttl: 5,
    stale_max: STALE_MAX,
    prefetch: true,
};

pub(super) struct Node {
    forwarder: Forwarder,
    driver: Driver,
    ids: UpstreamIds,
    equivalent: bool,
    /// The server behind each upstream.
    servers: HashMap<UpstreamId, usize>,
    sockets: HashMap<Socket, UpstreamId>,
    due: Option<Instant>,
}

/// The address of a server; all are near.
fn address(server: usize) -> Server {
    Server::new(Ipv4Addr::new(10, 0, 0, u8::try_from(server).unwrap() + 1).into(), 53)
}

impl Node {
    pub(super) fn new(seed: u64, order: &[usize], equivalent: bool, now: Instant) -> Self {
        let settings = Settings { tag: Mark::Auto, spelling: Mark::Auto };
        let (guard, driver) = Guard::seeded(settings, seed.to_le_bytes()[0]);
        let guidance = Guidance { verdicts: Arc::clone(&guard.verdicts()), key: Arc::clone(&guard.key()) };
        let allowed = Allowed { private: true, ..Allowed::default() };
        let shared = Shared {
            cache: Cache::new(CACHE),
            waiters: Waiters::new(1_000, 100),
            allow: ArcSwap::from_pointee(AllowList::compile(&allowed, &Tables::default())),
            set: ArcSwap::default(),
            guard,
            payload: 1232,
            started: now,
        };
        let engine = Engine::new(Arc::default(), guidance, 4, 1232, StdRng::seed_from_u64(seed));
        let mut node = Self {
            forwarder: Forwarder::new(Arc::new(shared), engine, now),
            driver,
            ids: UpstreamIds::default(),
            equivalent,
            servers: HashMap::new(),
            sockets: HashMap::new(),
            due: None,
        };
        node.adopt(order, &mut Out::at(now));
        node
    }

    /// Takes these servers into use, in this order.
    pub(super) fn adopt(&mut self, order: &[usize], out: &mut Out) {
        let servers = order.iter().map(|server| (address(*server).into(), "a".into())).collect();
        let set = Arc::new(UpstreamSet::new(servers, Some(self.equivalent), &mut self.ids));
        self.servers.extend(set.upstreams.iter().map(|upstream| upstream.id).zip(order.iter().copied()));
        self.forwarder.shared().adopt(&set, out.now);
        self.forwarder.handle_event(forwarder::Event::Upstreams(Arc::clone(&set)), out.now);
        self.settle(Some(Event::SetChanged(set)), out);
    }

    /// A client asks; `client` names its query.
    pub(super) fn query(&mut self, packet: &[u8], client: u16, over_stream: bool, out: &mut Out) {
        let from = SocketAddr::new(Ipv4Addr::new(10, 1, 0, 1).into(), client);
        let ingress = match over_stream {
            true => Ingress::Stream(ClientId(client.into())),
            false => Ingress::Udp(ListenerId(0)),
        };
        let mut response = Vec::new();
        self.forwarder.begin_batch(out.now);
        match self.forwarder.handle_query(&Incoming { packet, from, ingress }, &mut response) {
            Reply::Now => out.responses.push((client, response)),
            Reply::Later => {}
            Reply::None => panic!("a plain query that is allowed gets a response"),
        }
        self.settle(None, out);
    }

    pub(super) fn datagram(&mut self, socket: Socket, message: &[u8], out: &mut Out) {
        if let Some(upstream) = self.sockets.get(&socket) {
            self.forwarder.handle_datagram(*upstream, socket, message, out.now);
        }
        self.settle(None, out);
    }

    pub(super) fn other(&mut self, happening: Happening, out: &mut Out) {
        let event = match happening {
            Happening::Streamed(attempt, message) => {
                self.forwarder.handle_stream(attempt, message.as_deref(), out.now);
                None
            }
            Happening::Probed(nonce, heard) => Some(Event::ProbeOver { nonce, heard }),
            Happening::Due => {
                self.forwarder.handle_timeout(out.now);
                self.driver.due(out.now).is_some_and(|at| at <= out.now).then_some(Event::Tick)
            }
            _ => unreachable!("it is the world's"),
        };
        self.settle(event, out);
    }

    /// Whether nothing is asked, held or due, and no upstream is awaited.
    pub(super) fn is_idle(&self) -> bool {
        self.forwarder.is_idle()
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
            out.later.push((due, Happening::Due));
        }
    }

    fn transmit(&mut self, out: &mut Out) {
        let mut bytes = Vec::new();
        while let Some(transmit) = self.forwarder.poll_transmit(out.now, &mut bytes) {
            match transmit {
                Transmit::Open(socket, upstream) => drop(self.sockets.insert(socket, upstream.id)),
                Transmit::Close(socket) => drop(self.sockets.remove(&socket)),
                Transmit::Send(socket) => {
                    let server = self.servers[&self.sockets[&socket]];
                    out.later.push((out.now, Happening::Sent(server, socket, bytes.clone())));
                }
                Transmit::Stream(attempt, upstream, deadline) => {
                    let server = self.servers[&upstream.id];
                    out.later.push((out.now, Happening::Stream(server, attempt, bytes.clone(), deadline)));
                }
                Transmit::Respond(ReplyTo::Udp(_, client)) => out.responses.push((client.port(), bytes.clone())),
                Transmit::Respond(ReplyTo::Stream(client)) => {
                    out.responses.push((u16::try_from(client.0).unwrap(), bytes.clone()));
                }
                Transmit::Tell(_) | Transmit::HealthChanged => {} // there is nobody to tell
            }
        }
    }

    /// Lets the judge take what there is; returns whether there are other verdicts.
    fn judge(&mut self, event: Option<Event>, out: &mut Out) -> bool {
        let servers = &self.servers;
        let (now, later) = (out.now, &mut out.later);
        let is_news = self.driver.step(event, (now, None), |nonce, upstream, transport, message| {
            let probe = Happening::Probe(servers[&upstream.id], nonce, transport, message, now + PROBE_PATIENCE);
            later.push((now, probe));
        });
        if is_news {
            self.forwarder.handle_event(forwarder::Event::Guidance, out.now);
        }
        is_news
    }
}

/// What a server's response says to a probe.
pub(super) fn heard(probe: &[u8], response: Option<&[u8]>) -> Option<probe::ProbeReply> {
    probe::heard(probe, response?)
}
