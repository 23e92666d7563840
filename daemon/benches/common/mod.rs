//! What all benchmarks share: queries, the answers to them, and a forwarder whose cache knows them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use onward::internals::admit::acl::{AllowList, Allowed};
use onward::internals::cache::{Cache, Limits, Origin, Seconds, TtlBounds};
use onward::internals::clock;
use onward::internals::exchange::{Engine, Guidance};
use onward::internals::forwarder::{Forwarder, Incoming, Ingress, Shared};
use onward::internals::guard::{self, Guard, Verdicts};
use onward::internals::node_address::Tables;
use onward::internals::upstream::{UpstreamId, UpstreamSet};
use onward::internals::waiters::{ListenerId, Waiters};
use onward::internals::wire::{HEADER, Query, QuestionKey, Response};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Who asks: a pod.
pub(crate) const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 244, 0, 10)), 40_000);
/// The upstream that all answers came from.
pub(crate) const UPSTREAM: UpstreamId = UpstreamId(0);

/// Whom all answers came from.
const ORIGIN: Origin = Origin { upstream: UPSTREAM, provisional: None };

/// A query for the `n`th name, type A, spelled in mixed case; with an OPT (1232 bytes, no options) or without.
pub(crate) fn query(n: usize, opt: bool) -> Vec<u8> {
    let label = format!("Host{n}");
    let mut packet = vec![0xab, 0xcd, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, u8::from(opt)];
    packet.push(u8::try_from(label.len()).unwrap_or_default());
    packet.extend(label.as_bytes());
    packet.extend(b"\x07service\x07example\0\0\x01\0\x01");
    if opt {
        packet.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    packet
}

/// What an upstream answers to a query without OPT: one address, for an hour.
pub(crate) fn answer(query: &[u8]) -> Vec<u8> {
    let mut message = query.to_vec();
    if let Some(counts_and_flags) = message.get_mut(2..8) {
        counts_and_flags.copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
    }
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 1]);
    message
}

/// The key of a plain query.
pub(crate) fn key(packet: &[u8]) -> QuestionKey {
    let mut query = Query::default();
    assert!(query.read(packet).is_ok(), "the benchmark's queries are plain");
    QuestionKey::new(query.key())
}

/// A cache that knows the answers to the first `names` queries.
pub(crate) fn cache(names: usize) -> Cache {
    let cache = Cache::new(Limits {
        entries: 4 * names, // by chance some shards get twice their share, and none may lose an entry
        bytes: 1 << 30,
        ttl: TtlBounds::new(0, 86_400),
        negative_ttl: TtlBounds::new(0, 10_800),
        failure_ttl: 5,
        stale_max: 86_400,
        prefetch: true,
    });
    for n in 0..names {
        let packet = query(n, false);
        let message = answer(&packet);
        let learnt = Response::read(&message, packet.len())
            .and_then(|answer| cache.learn(key(&packet).bytes(), &answer, ORIGIN, Seconds(0)));
        assert!(learnt.is_some() && packet.len() > HEADER, "the benchmark's answers can be kept");
    }
    cache
}

/// Sockets to the upstream, as the daemon has them.
const SOCKETS: usize = 64;

/// A forwarder with that cache, which admits private addresses and asks `set` as `verdicts` say; without these as the
/// guard says at the start.
pub(crate) fn forwarder(names: usize, set: &Arc<UpstreamSet>, verdicts: Option<Arc<Verdicts>>) -> Forwarder {
    let allowed = Allowed { local: true, private: true, networks: Vec::new() };
    // The guard's task does not run: its verdicts are those of the start.
    let (guard, _task) = Guard::new(guard::Settings::default(), &[]);
    let shared = Shared {
        cache: cache(names),
        waiters: Waiters::new(16, 16),
        allow: ArcSwap::from_pointee(AllowList::compile(&allowed, &Tables::default())),
        set: ArcSwap::new(Arc::clone(set)),
        names: ArcSwap::default(),
        guard,
        monitor: Arc::default(),
        payload: 1232,
        started: clock::now(),
    };
    let verdicts = verdicts.unwrap_or_else(|| Arc::clone(&shared.guard.verdicts()));
    let guidance = Guidance { verdicts, key: Arc::clone(&shared.guard.key()) };
    let engine = Engine::new(Arc::clone(set), guidance, SOCKETS, shared.payload, StdRng::seed_from_u64(1));
    let started = shared.started;
    Forwarder::new(Arc::new(shared), engine, started)
}

/// That packet from [`CLIENT`] over UDP.
pub(crate) fn incoming(packet: &[u8]) -> Incoming<'_> {
    Incoming { packet, from: CLIENT, ingress: Ingress::Udp(ListenerId(0)) }
}
