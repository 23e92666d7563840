//! What the plan wants done, and what became of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::Level;

use super::state::{Failed, Role};
use crate::kubelet_resolv_conf::Note;
use crate::logging::LogEvent;

/// One step towards what should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Listen there; `why` completes "listening on 10.0.0.5:53, …".
    Open { address: SocketAddr, role: Role, why: String },
    /// Ask the listener something: only one that answers is named to pods.
    Check(SocketAddr),
    /// It is listened on for another reason from now on.
    Role { address: SocketAddr, role: Role },
    /// Listen there no longer.
    Close(SocketAddr),
    /// It need not be listened on any more, so it is not in the way that it cannot be.
    Unblock(SocketAddr),
    /// The node has no address for this reason, or has one again.
    Wait(Option<String>),
    /// Another address, or the other family, may stand in for what was handed out.
    GiveWay,
    /// It need not any more: these addresses are the node's.
    TakeBack(Vec<IpAddr>),
    /// Bring the file for kubelet to disk, where it is not there already; it names these servers.
    File { text: String, servers: Vec<IpAddr>, notes: Vec<Note> },
    /// Bring the addresses that were handed out to disk.
    Remember(Vec<IpAddr>),
    /// Tell people.
    Tell(Line),
    /// Tell systemd that the service is ready, with this status.
    Ready(String),
    /// Tell systemd another status.
    Status(String),
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) event: LogEvent,
    /// The server that it is about, where it is about one.
    pub(super) upstream: Option<String>,
    pub(super) text: String,
}

impl Line {
    /// Writes it to the log.
    pub(super) fn log(&self) {
        let Self { level, event, upstream, text } = self;
        match upstream {
            Some(upstream) => log::log!(*level, event = *event, upstream:%; "{text}"),
            None => log::log!(*level, event = *event; "{text}"),
        }
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Not done, for this reason.
    Failed(String),
}

impl Outcome {
    /// Returns the failure, with the time of the try.
    pub(super) fn failed(self, now: Duration) -> Option<Failed> {
        match self {
            Self::Done => None,
            Self::Failed(why) => Some(Failed { why, last_try: now }),
        }
    }
}
