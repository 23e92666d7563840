//! What the guard counts: a few events a minute, raised by its one task.

use std::sync::{MutexGuard, PoisonError};

use super::{Guard, Published};
use crate::guard::Witness;
use crate::guard::report::Kind;
use crate::upstream::UpstreamId;

/// The numbers since the start. Suspicions are told apart by [`Guard::counts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuardCounters {
    /// Times that a witness spoke and was heard.
    pub suspicions: u64,
    /// Probes that were sent.
    pub probes: u64,
    /// Verdicts against upstreams.
    pub verdicts: u64,
    /// Verdicts that ended, since the upstream answers by itself.
    pub releases: u64,
}

impl Guard {
    /// Returns what was counted so far.
    #[must_use]
    pub fn counters(&self) -> GuardCounters {
        *self.0.published.counters()
    }

    /// How often each witness spoke against each upstream, as far as the judge heard.
    #[must_use]
    pub fn counts(&self) -> Vec<((UpstreamId, Witness), u64)> {
        let counts = self.0.published.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(whom, count)| (*whom, *count)).collect()
    }
}

impl Published {
    pub(super) fn counters(&self) -> MutexGuard<'_, GuardCounters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counts_of(&self, upstream: UpstreamId) -> Vec<(Witness, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter(|((of, _), _)| *of == upstream).map(|((_, witness), count)| (*witness, *count)).collect()
    }

    /// Bounded: numbers of upstreams that nobody uses any more could gather over a long life, so a full table starts
    /// anew.
    pub(super) fn count(&self, upstream: UpstreamId, witness: Witness) {
        const MOST: usize = 1024;
        self.counters().suspicions += 1;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST && !counts.contains_key(&(upstream, witness)) {
            counts.clear();
        }
        *counts.entry((upstream, witness)).or_default() += 1;
    }
}

impl GuardCounters {
    /// Counts what people are told.
    pub(super) fn told(&mut self, kind: Kind) {
        match kind {
            Kind::Looping | Kind::HalfLooping | Kind::Halved => self.verdicts += 1,
            Kind::Released => self.releases += 1,
            Kind::Suspected | Kind::Holds(..) | Kind::Learnt(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_and_their_ends_are_counted_and_what_is_told_again_is_not() {
        let mut counters = GuardCounters::default();
        for kind in [Kind::Suspected, Kind::Looping, Kind::Halved, Kind::Released, Kind::HalfLooping] {
            counters.told(kind);
        }
        assert_eq!(counters, GuardCounters { verdicts: 3, releases: 1, ..GuardCounters::default() });
    }
}
