//! What the service knows of its own doing, as one value: what is listened on, waited for, tried again, and was told.
//!
//! [`mod@super::plan`] reads it, and [`State::learn`] writes it when a change was made; both are pure. Times are
//! counted from the start of the process.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::change::{Change, Outcome};

/// Time between two tries of what could not be done: a port that was taken, a full disk.
pub(super) const RETRY: Duration = Duration::from_secs(5);
/// Time after which pods count on an address, or a family, that stands in for what they were given before.
pub(super) const STAND_IN: Duration = Duration::from_secs(600);
/// Maximum number of addresses that are remembered as handed out; the oldest are forgotten.
const HANDED_OUT: usize = 8;

/// The whole of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) listeners: Vec<Listener>,
    /// Addresses that could not be listened on.
    pub(super) blocked: Vec<Blocked>,
    pub(super) waiting: Option<Waiting>,
    /// What is wrong with the configuration, while another than the wanted one is in force.
    pub(super) configuration: Option<String>,
    /// The program that does not come up, in whose place this one runs.
    pub(super) in_place_of: Option<String>,
    /// What was handed out was gone for too long: another address, or the other family, may stand in until it is back.
    pub(super) gave_way: Option<GaveWay>,
    pub(super) file: File,
    pub(super) handed_out: HandedOut,
    /// Lines that hold still, so that they are not told again.
    pub(super) told: BTreeSet<String>,
    /// What systemd shows.
    pub(super) status: String,
}

/// What systemd was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) enum Phase {
    #[default]
    Starting,
    Ready,
    /// The configuration is being read again, until systemd hears that the service is ready.
    Reloading,
}

/// An address that is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) role: Role,
    pub(super) check: Check,
}

/// Why an address is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Role {
    /// It is chosen now.
    Chosen,
    /// Pods know it from earlier.
    Former,
}

/// Whether a query to a listener was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Check {
    Unknown,
    Answers,
    Silent { last_try: Duration },
}

/// An address that could not be listened on, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Blocked {
    pub(super) address: SocketAddr,
    pub(super) role: Role,
    pub(super) failed: Failed,
}

/// Something that failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failed {
    pub(super) why: String,
    pub(super) last_try: Duration,
}

/// What the node has no address for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Waiting {
    pub(super) why: String,
    pub(super) since: Duration,
}

/// What another address may stand in for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct GaveWay {
    pub(super) since: Duration,
    /// The addresses that had been handed out until then, the latest first.
    pub(super) handed_out: Vec<IpAddr>,
}

/// The file for kubelet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct File {
    /// Its content, once it has been written, or found to be right, by this process.
    pub(super) text: Option<String>,
    /// Whether people were told of it since they last asked how things are.
    pub(super) shown: bool,
    pub(super) failed: Option<Failed>,
}

/// The addresses that pods were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct HandedOut {
    /// The latest first.
    pub(super) addresses: Vec<IpAddr>,
    /// Whether an earlier run of this service handed out some of them.
    pub(super) remembered: bool,
    /// Whether they are on disk.
    pub(super) saved: bool,
    pub(super) failed: Option<Failed>,
}

impl Failed {
    /// Returns when it is to be tried again.
    pub(super) fn next_try(&self) -> Duration {
        self.last_try + RETRY
    }
}

impl State {
    /// Begins with what an earlier run remembered; none is remembered where this is the first.
    pub(super) fn new(remembered: Option<Vec<IpAddr>>) -> Self {
        let saved = remembered.is_some();
        let addresses = remembered.unwrap_or_default();
        let handed_out = HandedOut { remembered: !addresses.is_empty(), addresses, saved, failed: None };
        Self { handed_out, ..Self::default() }
    }

    /// Forgets what was told and what failed, so that all is told and tried at once: a person wants to see how things
    /// are.
    pub(super) fn tell_anew(&mut self) {
        self.told.clear();
        self.blocked.clear();
        self.file.shown = false;
        (self.file.failed, self.handed_out.failed) = (None, None);
    }

    /// Notes what became of a change.
    pub(super) fn learn(&mut self, change: Change, outcome: Outcome, now: Duration) {
        match change {
            Change::Open { address, role, .. } => self.opened(address, role, outcome, now),
            Change::Check(address) => {
                let check = if outcome == Outcome::Done { Check::Answers } else { Check::Silent { last_try: now } };
                self.listeners.iter_mut().filter(|one| one.address == address).for_each(|one| one.check = check);
            }
            Change::Role { address, role } => {
                self.listeners.iter_mut().filter(|one| one.address == address).for_each(|one| one.role = role);
            }
            Change::Close(address) => self.listeners.retain(|one| one.address != address),
            Change::Unblock(address) => self.blocked.retain(|one| one.address != address),
            Change::Wait(why) => {
                let since = self.waiting.as_ref().map_or(now, |waiting| waiting.since);
                self.waiting = why.map(|why| Waiting { why, since });
            }
            Change::GiveWay => {
                self.gave_way = Some(GaveWay { since: now, handed_out: self.handed_out.addresses.clone() });
            }
            Change::TakeBack(back) => self.taken_back(&back, now),
            Change::File { text, servers, .. } => self.file_written(text, &servers, outcome, now),
            Change::Remember(_) => {
                self.handed_out.saved = outcome == Outcome::Done;
                self.handed_out.failed = outcome.failed(now);
            }
            Change::Tell(line) => {
                self.told.insert(line.text);
            }
            Change::Ready(status) => (self.phase, self.status) = (Phase::Ready, status),
            Change::Status(status) => self.status = status,
        }
    }

    fn opened(&mut self, address: SocketAddr, role: Role, outcome: Outcome, now: Duration) {
        self.blocked.retain(|one| one.address != address);
        match outcome.failed(now) {
            None => self.listeners.push(Listener { address, role, check: Check::Unknown }),
            Some(failed) => self.blocked.push(Blocked { address, role, failed }),
        }
    }

    /// Puts the addresses that are back before those that stood in for them. Forgets those that did so for a short time
    /// alone, so that the file does not name them any more.
    fn taken_back(&mut self, back: &[IpAddr], now: Duration) {
        let Some(gave_way) = self.gave_way.take() else { return };
        let stood_in = |ip: &IpAddr| !back.contains(ip) && !gave_way.handed_out.contains(ip);
        let mut addresses = self.handed_out.addresses.clone();
        addresses.sort_by_key(|ip| (!back.contains(ip), stood_in(ip)));
        if now.saturating_sub(gave_way.since) < STAND_IN {
            addresses.retain(|ip| !stood_in(ip));
        }
        if addresses != self.handed_out.addresses {
            (self.handed_out.addresses, self.handed_out.saved) = (addresses, false);
        }
    }

    fn file_written(&mut self, text: String, servers: &[IpAddr], outcome: Outcome, now: Duration) {
        self.file.failed = outcome.failed(now);
        if self.file.failed.is_some() {
            return;
        }
        (self.file.text, self.file.shown) = (Some(text), true);
        let earlier = self.handed_out.addresses.iter().filter(|ip| !servers.contains(ip));
        let all: Vec<_> = servers.iter().chain(earlier).copied().take(HANDED_OUT).collect();
        if all != self.handed_out.addresses {
            (self.handed_out.addresses, self.handed_out.saved) = (all, false);
        }
    }
}
