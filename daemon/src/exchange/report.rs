//! What an engine knows of its upstreams and its work, for whoever asks: the service's status, metrics.

use std::time::{Duration, Instant};

use super::{Engine, UpstreamCounters};
use crate::upstream::UpstreamId;

/// The state of one engine at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineReport {
    /// The upstreams that it has asked.
    pub upstreams: Vec<UpstreamReport>,
    /// Lookups without an answer.
    pub lookups: usize,
}

/// What an engine knows of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamReport {
    /// Which.
    pub id: UpstreamId,
    /// Whether it does not answer.
    pub is_down: bool,
    /// When it answered last; none where it never did.
    pub last_answer: Option<Instant>,
    /// The mean time of its answers; none before there was one.
    pub latency: Option<Duration>,
    /// What was counted of it while it is in use.
    pub counters: UpstreamCounters,
    /// The same of the last one to two minutes.
    pub of_late: UpstreamCounters,
}

impl Engine {
    /// Returns what is known now.
    #[must_use]
    pub fn report(&self, now: Instant) -> EngineReport {
        let upstreams = self.peers.0.iter().filter(|peer| self.set.get(peer.id).is_some());
        let upstreams = upstreams.map(|peer| {
            let first = self.first_transport(peer.id);
            UpstreamReport {
                id: peer.id,
                is_down: self.is_down(peer.id, first),
                last_answer: peer.health(first).last_answer(),
                latency: peer.health(first).latency(),
                counters: peer.counters.total().clone(),
                of_late: peer.counters.of_late(now),
            }
        });
        EngineReport { upstreams: upstreams.collect(), lookups: self.lookups_running() }
    }
}
