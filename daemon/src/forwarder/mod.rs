//! What becomes of a query, on one screen. This is the core: it decides about queries, responses, timers and events,
//! and does no I/O. It knows no socket, no task and no clock.
//!
//! ```text
//! handle_query     read ─► admitted? ─► in the cache? ─► Reply::Now               query.rs
//!                             └─ no ─► for us to ask at all? ─► enqueue: join the query's lookup, or start one
//! handle_datagram  the exchange checks it ─► respond: cache.learn ─► every waiter, each in its own spelling
//! handle_stream    the same, for what a stream brought                            core.rs, respond.rs
//! handle_event     what another thread decided or found out                       event.rs, core.rs
//! handle_timeout   the exchange's timers, and what was held                       core.rs
//! poll_transmit    what is to be sent: queries to upstreams, responses to clients, events to other workers
//! ```
//!
//! Each worker has one [`Forwarder`]; all of them share one [`Shared`]. Who carries bytes is a shell: `server::worker`
//! with epoll, `server::queries` for TCP, and the simulation with virtual time.

mod core;
mod counters;
mod event;
#[cfg(test)]
pub(crate) mod guarded_core;
mod incoming;
mod monitor;
mod observe;
mod query;
mod respond;
mod returned_query;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::admit::acl::AllowList;
use crate::admit::local_names::LocalNames;
use crate::cache::{Cache, Seconds};
use crate::guard::Guard;
use crate::upstream::UpstreamSet;
use crate::waiters::Waiters;

pub use self::core::Forwarder;
pub(crate) use counters::{Counters, Local, PerQuery, QueryKind};
pub use event::{Event, Transmit};
pub(crate) use incoming::{BatchContext, Intake};
pub use incoming::{Incoming, Ingress};
pub(crate) use monitor::{Monitor, Seen, Watch, What};
pub use query::Reply;
pub(crate) use query::{Disposition, Outcome};

/// What all workers and TCP connections share. Nothing in it waits for anything.
#[derive(Debug)]
pub struct Shared {
    /// What was learnt.
    pub cache: Cache,
    /// What is being asked, and who waits for it.
    pub waiters: Waiters,
    /// Who may ask.
    pub allow: ArcSwap<AllowList>,
    /// The upstreams.
    pub set: ArcSwap<UpstreamSet>,
    /// What is answered here for some names.
    pub names: ArcSwap<LocalNames>,
    /// The loop guard.
    pub guard: Guard,
    /// What happens, for people who watch.
    pub monitor: Arc<Monitor>,
    /// The largest UDP message, in bytes, to clients and from upstreams.
    pub payload: u16,
    /// From when on the cache counts seconds: the start of the process, or long before it, so that what an earlier
    /// process learnt has its age.
    pub started: Instant,
}

impl Shared {
    /// Returns what is the same for all queries that are handled at `now`.
    #[must_use]
    pub fn context(&self, now: Instant) -> BatchContext {
        let seconds = self.seconds(now);
        let next_second = self.started + Duration::from_secs(u64::from(seconds.0) + 1);
        let mut context = BatchContext::new(now, seconds, next_second, self.allow.load_full());
        context.is_watched = self.monitor.is_on();
        context
    }

    /// Refreshes a context that is kept between batches; rebuilds it once a second. The owner must replace it when the
    /// allow-list changes.
    #[inline]
    pub fn renew(&self, context: &mut BatchContext, now: Instant) {
        if !context.advance(now) {
            *context = self.context(now);
        }
        context.is_watched = self.monitor.is_on();
    }

    /// Takes these upstreams into use. What only others answered, or one that another precedes now, is asked again, and
    /// serves only where none of these answers; of names that take another route now nothing is kept. Where a route has
    /// no upstream nothing better can be said: then what there is stays.
    pub fn adopt(&self, set: &Arc<UpstreamSet>, now: Instant) {
        let old = self.set.swap(Arc::clone(set));
        self.cache.change_upstreams(|name, upstream| set.worth(name, upstream, &old), self.seconds(now));
    }

    /// Returns the cache's time.
    pub(crate) fn seconds(&self, now: Instant) -> Seconds {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        Seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}
