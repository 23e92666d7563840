//! A core as the program has it, but small: little room everywhere, so that bounds are met.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use onward::internals::admit::acl::{AllowList, Allowed};
use onward::internals::cache::{Cache, Limits, TtlBounds};
use onward::internals::clock;
use onward::internals::exchange::{Engine, Guidance};
use onward::internals::forwarder::{Forwarder, Shared};
use onward::internals::guard::{Guard, Settings};
use onward::internals::node_address::Tables;
use onward::internals::upstream::set::UpstreamIds;
use onward::internals::upstream::{Server, UpstreamSet};
use onward::internals::waiters::Waiters;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Largest UDP message, in bytes.
pub(crate) const PAYLOAD: u16 = 1232;
/// Lookups that there is room for, and clients that wait for them.
const LOOKUPS: usize = 4;
const WAITERS: usize = 12;

const LIMITS: Limits = Limits {
    entries: 64,
    bytes: 1 << 16,
    ttl: TtlBounds::new(0, 3_600),
    negative_ttl: TtlBounds::new(0, 900),
    failure_ttl: 5,
    stale_max: 60,
    prefetch: true,
};

/// Sets of upstreams, whose numbers go on over all sets of one run.
#[derive(Default)]
pub(crate) struct Upstreams(UpstreamIds);

impl Upstreams {
    /// Returns one of four sets: two equivalent ones, a private one before a public one, one alone, none.
    pub(crate) fn set(&mut self, which: u8) -> Arc<UpstreamSet> {
        let [one, two, public] = [[10, 0, 0, 1], [10, 0, 0, 2], [192, 0, 2, 53]].map(Ipv4Addr::from);
        let servers = match which % 4 {
            0 => vec![one, two],
            1 => vec![one, public],
            2 => vec![two],
            _ => vec![],
        };
        let servers = servers.into_iter().map(|ip| (Server::new(ip.into(), 53).into(), Arc::from("script"))).collect();
        Arc::new(UpstreamSet::new(servers, None, &mut self.0))
    }
}

/// Makes a core that asks `set`, and its time.
pub(crate) fn forwarder(set: &Arc<UpstreamSet>) -> (Forwarder, Instant) {
    let (guard, _no_judge) = Guard::new(Settings::default(), &[]);
    let shared = Shared {
        cache: Cache::new(LIMITS),
        waiters: Waiters::new(LOOKUPS, WAITERS),
        allow: ArcSwap::from_pointee(AllowList::compile(
            &Allowed { private: true, ..Allowed::default() },
            &Tables::default(),
        )),
        set: ArcSwap::new(Arc::clone(set)),
        names: ArcSwap::default(),
        guard,
        monitor: Arc::default(),
        payload: PAYLOAD,
        started: clock::now(),
    };
    let guidance = Guidance { verdicts: Arc::clone(&shared.guard.verdicts()), key: Arc::clone(&shared.guard.key()) };
    let engine = Engine::new(Arc::clone(set), guidance, 2, PAYLOAD, StdRng::seed_from_u64(1));
    let started = shared.started;
    (Forwarder::new(Arc::new(shared), engine, started), started)
}
