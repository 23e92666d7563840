//! What a worker tells the service, unasked and when asked.
//!
//! The other way is for [`super::mailbox`]. A notice says only that there is news: whoever wants to know asks all
//! workers by [`Mail::Report`](super::mailbox::Mail::Report), since each knows but what its own queries met with.

use tokio::sync::mpsc;

use crate::exchange::EngineReport;
use crate::forwarder::Counters;

/// News of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// An upstream went down, or is back.
    HealthChanged,
}

/// What a worker knows, when it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WorkerReport {
    /// What its engine knows of upstreams and lookups.
    pub engine: EngineReport,
    /// What it has counted.
    pub counters: Counters,
}

/// The end that workers hold. What waits in it is bounded by the changes of health, which are rare.
pub(crate) type Notices = mpsc::UnboundedSender<Notice>;

/// Where a worker puts its report, with its index; closed once all have reported.
pub(crate) type Reports = mpsc::UnboundedSender<(usize, WorkerReport)>;
