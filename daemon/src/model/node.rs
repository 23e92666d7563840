//! The Onward of the model: the real core and the real judge of the guard. A shell, like `server::worker`: it carries
//! bytes and decides nothing. One worker; streams are answered whole.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Happening, Out};
use crate::cache;
use crate::exchange::pool::Socket;
use crate::exchange::stream::StreamError;
use crate::forwarder::guarded_core::{self, GuardedCore};
use crate::forwarder::{self, Incoming, Ingress, Reply, Transmit};
use crate::guard::{Event, Guard, Mark, Settings, probe};
use crate::upstream::set::UpstreamIds;
use crate::upstream::{Server, UpstreamId, UpstreamSet};
use crate::waiters::{ClientId, ListenerId, ReplyTo};

/// Time that an upstream has to answer a probe.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// Time that a response may be served past its end, in seconds.
pub(super) const STALE_MAX: u32 = 600;

const CACHE: cache::Limits = cache::Limits { stale_max: STALE_MAX, ..guarded_core::CACHE };

pub(super) struct Node {
    core: GuardedCore,
    ids: UpstreamIds,
    equivalent: bool,
    /// The server behind each upstream.
    servers: HashMap<UpstreamId, usize>,
    sockets: HashMap<Socket, UpstreamId>,
}

/// The address of a server; all are near.
fn address(server: usize) -> Server {
    Server::new(Ipv4Addr::new(10, 0, 0, u8::try_from(server).unwrap() + 1).into(), 53)
}

impl Node {
    pub(super) fn new(seed: u64, order: &[usize], equivalent: bool, now: Instant) -> Self {
        let settings = Settings { tag: Mark::Auto, spelling: Mark::Auto };
        let guard = Guard::seeded(settings, seed.to_le_bytes()[0]);
        let mut node = Self {
            core: GuardedCore::new(guard, CACHE, Arc::default(), seed, now),
            ids: UpstreamIds::default(),
            equivalent,
            servers: HashMap::new(),
            sockets: HashMap::new(),
        };
        node.adopt(order, &mut Out::at(now));
        node
    }

    /// Takes these servers into use, in this order.
    pub(super) fn adopt(&mut self, order: &[usize], out: &mut Out) {
        let servers = order.iter().map(|server| (address(*server).into(), "a".into())).collect();
        let set = Arc::new(UpstreamSet::new(servers, Some(self.equivalent), &mut self.ids));
        self.servers.extend(set.upstreams.iter().map(|upstream| upstream.id).zip(order.iter().copied()));
        self.core.forwarder.shared().adopt(&set, out.now);
        self.core.forwarder.handle_event(forwarder::Event::Upstreams(Arc::clone(&set)), out.now);
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
        self.core.forwarder.begin_batch(out.now);
        match self.core.forwarder.handle_query(&Incoming { packet, from, ingress }, &mut response) {
            Reply::Now => out.responses.push((client, response)),
            Reply::Later => {}
            Reply::None => panic!("a plain query that is allowed gets a response"),
        }
        self.settle(None, out);
    }

    pub(super) fn datagram(&mut self, socket: Socket, message: &[u8], out: &mut Out) {
        if let Some(upstream) = self.sockets.get(&socket) {
            self.core.forwarder.handle_datagram(*upstream, socket, message, out.now);
        }
        self.settle(None, out);
    }

    pub(super) fn other(&mut self, happening: Happening, out: &mut Out) {
        let event = match happening {
            Happening::Streamed(attempt, message) => {
                self.core.forwarder.handle_stream(attempt, message.as_deref().ok_or(StreamError::Closed), out.now);
                None
            }
            Happening::Probed(nonce, heard) => Some(Event::ProbeOver { nonce, heard }),
            Happening::Due => {
                let is_judge_due = self.core.handle_timeout(out.now);
                is_judge_due.then_some(Event::Tick)
            }
            _ => unreachable!("it is the world's"),
        };
        self.settle(event, out);
    }

    /// Whether nothing is asked, held or due, and no upstream is awaited.
    pub(super) fn is_idle(&self) -> bool {
        self.core.forwarder.is_idle()
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
        out.later.extend(self.core.next_due(out.now).map(|due| (due, Happening::Due)));
    }

    fn transmit(&mut self, out: &mut Out) {
        let mut bytes = Vec::new();
        while let Some(transmit) = self.core.forwarder.poll_transmit(out.now, &mut bytes) {
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
        let is_news = self.core.driver.step(event, (now, None), |nonce, upstream, transport, message| {
            let probe = Happening::Probe(servers[&upstream.id], nonce, transport, message, now + PROBE_PATIENCE);
            later.push((now, probe));
        });
        self.core.heed(is_news, out.now)
    }
}

/// What a server's response says to a probe.
pub(super) fn heard(probe: &[u8], response: Option<&[u8]>) -> Option<probe::ProbeReply> {
    probe::heard(probe, response?)
}
