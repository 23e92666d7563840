//! A core and the judge of its guard, joined as the program joins them, with time as a number: what the simulation and
//! the model put their networks around.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Event, Forwarder, Shared};
use crate::admit::acl::{AllowList, Allowed};
use crate::cache::{Cache, Limits, TtlBounds};
use crate::exchange::{Engine, Guidance};
use crate::guard::{Driver, Guard};
use crate::node_address::table::Tables;
use crate::upstream::UpstreamSet;
use crate::waiters::Waiters;

/// As the program has it, but with little room, and without stale responses.
pub(crate) const CACHE: Limits = Limits {
    entries: 4096,
    bytes: 1 << 20,
    ttl: TtlBounds::new(0, 3_600),
    negative_ttl: TtlBounds::new(0, 900),
    failure_ttl: 5,
    stale_max: 0,
    prefetch: true,
};

/// See the module.
pub(crate) struct GuardedCore {
    pub(crate) forwarder: Forwarder,
    pub(crate) driver: Driver,
    due: Option<Instant>,
}

impl GuardedCore {
    /// Makes a core that private addresses may ask, and that asks `set`. The same `seed` makes the same.
    pub(crate) fn new(
        (guard, driver): (Guard, Driver),
        cache: Limits,
        set: Arc<UpstreamSet>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let guidance = Guidance { verdicts: Arc::clone(&guard.verdicts()), key: Arc::clone(&guard.key()) };
        let allowed = Allowed { private: true, ..Allowed::default() };
        let shared = Shared {
            cache: Cache::new(cache),
            waiters: Waiters::new(1_000, 100),
            allow: ArcSwap::from_pointee(AllowList::compile(&allowed, &Tables::default())),
            set: ArcSwap::new(Arc::clone(&set)),
            names: ArcSwap::default(),
            guard,
            monitor: Arc::default(),
            payload: 1232,
            started: now,
        };
        let engine = Engine::new(set, guidance, 4, shared.payload, StdRng::seed_from_u64(seed));
        Self { forwarder: Forwarder::new(Arc::new(shared), engine, now), driver, due: None }
    }

    /// Tells the core of other verdicts, if that `is_news`, and returns it.
    pub(crate) fn heed(&mut self, is_news: bool, now: Instant) -> bool {
        if is_news {
            self.forwarder.handle_event(Event::Guidance, now);
        }
        is_news
    }

    /// Event: a time that [`Self::next_due`] named has come. Returns whether the judge is to be told that, too.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.forwarder.handle_timeout(now);
        self.driver.due(now).is_some_and(|at| at <= now)
    }

    /// Returns when core or judge is to be called next; `None` where that is already known, or never.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Instant> {
        let due = [self.forwarder.poll_timeout(), self.driver.due(now)].into_iter().flatten().min()?;
        let due = due.max(now + Duration::from_millis(1));
        let is_sooner = self.due.is_none_or(|before| before <= now || due < before);
        is_sooner.then(|| *self.due.insert(due))
    }
}
