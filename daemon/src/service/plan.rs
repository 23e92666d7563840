//! What is to be done, from what is and what should be. Pure: time is a number, and nothing is touched.
//!
//! ```text
//! choose an address ─► listen there, check that it answers ─► name it in the file for kubelet ─► remember it ─► ready
//! ```
//!
//! Each step waits for the outcome of the one before, which [`State::learn`] notes: the plan is made again until there
//! is nothing left to do. Rules for the file, for readiness and for the status are in `plan/`.

mod file;
pub(super) mod status;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::Level;

use super::change::{Change, Line};
use super::state::{Check, Phase, RETRY, Role, STAND_IN, State};
use crate::config::Settings;
use crate::discovery::kubelet::Kubelet;
use crate::kubelet_resolv_conf;
use crate::logging::LogEvent;
use crate::node_address::choose::{ListenAddress, Place};
use crate::node_address::{Awaited, Chosen, NoAddress, Tables, Wanted, choose};
use crate::upstream::server::DNS_PORT;

/// Time until systemd is told that the service is ready though the node has no address, so that the boot goes on; and
/// until a family that pods may need is no longer waited for at start.
const READY_AT_LAST: Duration = Duration::from_secs(20);
/// Time for which a default route is waited for at start, which would tell which address is the node's.
const SETTLING: Duration = Duration::from_secs(5);
/// Time until what was handed out and is gone gives way: a family to the other one, an address to another link's. New
/// pods wait meanwhile, or are born with an address that is away, like the old ones; pods that were given an address
/// that they cannot reach keep it.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is, at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed<'o> {
    /// Time since the start of the process.
    pub(super) now: Duration,
    pub(super) settings: &'o Settings,
    /// The kernel's tables; none where they could not be read.
    pub(super) tables: Option<&'o Tables>,
    pub(super) kubelet: &'o Kubelet,
    /// Search domains and options of the node.
    pub(super) found: kubelet_resolv_conf::Found<'o>,
    /// The file for kubelet, where it is there and sound.
    pub(super) file: Option<&'o str>,
    pub(super) upstreams: &'o [UpstreamState],
}

/// An upstream that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UpstreamState {
    pub(super) server: String,
    pub(super) is_down: bool,
}

/// What is to be done now, and when to look again though nothing has happened.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) wake: Option<Duration>,
    /// The lines that hold now, told or not.
    pub(super) lines: BTreeSet<String>,
    /// Why there will be no address to listen on, however long the service waits.
    pub(super) hopeless: Option<String>,
}

/// Plans the next changes; none where all is as it should be, or waits for something.
pub(super) fn plan(observed: &Observed<'_>, state: &State) -> Plan {
    let mut planner = Planner { observed, state, plan: Plan::default() };
    match planner.choice() {
        Choice::Chosen(chosen) => {
            planner.wait(None);
            planner.listeners(Some(&chosen.addresses));
            planner.file(&chosen.addresses);
        }
        Choice::Awaited => {}
        Choice::None(reason) => {
            planner.wait(Some(&reason));
            planner.listeners(None);
            planner.file(&[]);
        }
        Choice::Unread => planner.file(&[]),
    }
    planner.remember();
    planner.readiness();
    planner.plan
}

/// What the node's tables come to.
enum Choice {
    /// These addresses, at least one.
    Chosen(Chosen),
    /// Something better may come in a moment.
    Awaited,
    /// None.
    None(NoAddress),
    /// The tables could not be read: all stays as it is.
    Unread,
}

struct Planner<'p> {
    observed: &'p Observed<'p>,
    state: &'p State,
    plan: Plan,
}

impl Planner<'_> {
    fn change(&mut self, change: Change) {
        self.plan.changes.push(change);
    }

    /// Tells people, once for as long as it holds.
    fn tell(&mut self, level: Level, event: LogEvent, text: String) {
        if !self.state.told.contains(&text) && !self.plan.lines.contains(&text) {
            self.change(Change::Tell(Line { level, event, upstream: None, text: text.clone() }));
        }
        self.plan.lines.insert(text);
    }

    fn wake(&mut self, at: Duration) {
        self.plan.wake = Some(self.plan.wake.map_or(at, |earlier| earlier.min(at)));
    }

    /// Returns whether what failed is to be tried now; where not, the plan is made again when it is.
    fn is_due(&mut self, next_try: Option<Duration>) -> bool {
        let Some(at) = next_try.filter(|at| *at > self.observed.now) else { return true };
        self.wake(at);
        false
    }

    fn has(&self, address: SocketAddr) -> bool {
        self.observed.tables.is_some_and(|tables| tables.has(address.ip()))
    }

    fn choice(&mut self) -> Choice {
        let now = self.observed.now;
        let Some(tables) = self.observed.tables else {
            self.wake(now + RETRY);
            return Choice::Unread;
        };
        let families_stick = self.state.handed_out.remembered
            || now >= STAND_IN
            || self.state.handed_out.addresses.iter().any(IpAddr::is_ipv4);
        let before =
            self.state.gave_way.as_ref().map_or(&self.state.handed_out.addresses, |gave_way| &gave_way.handed_out);
        let mut found = choose(&Wanted { families_stick, ..self.wanted(before) }, tables);
        match &found {
            Ok(back) if self.state.gave_way.is_some() => {
                let back = back.addresses.iter().map(|address| address.socket.ip()).collect();
                self.change(Change::TakeBack(back));
                return Choice::Awaited;
            }
            Err(_) if self.gives_way() => {
                let wanted = self.wanted(&self.state.handed_out.addresses);
                found = choose(&Wanted { families_stick: false, address_sticks: false, ..wanted }, tables);
            }
            _ => {}
        }
        let chosen = match found {
            Ok(chosen) => chosen,
            Err(reason) => return Choice::None(reason),
        };
        if self.is_awaited(&chosen) {
            return Choice::Awaited;
        }
        for warning in &chosen.warnings {
            self.tell(Level::Warn, LogEvent::AddressChosen, warning.clone());
        }
        for missing in &chosen.missing {
            self.tell(Level::Warn, LogEvent::AddressMissing, missing.to_string());
        }
        Choice::Chosen(chosen)
    }

    fn wanted(&self, handed_out: &[IpAddr]) -> Wanted {
        super::wanted(self.observed.settings, self.observed.kubelet, handed_out.to_vec())
    }

    /// Returns whether what was handed out has been gone for long enough.
    fn gives_way(&mut self) -> bool {
        if self.state.gave_way.is_some() {
            return true;
        }
        let Some(waiting) = &self.state.waiting else { return false };
        if self.state.handed_out.addresses.is_empty() {
            return false;
        }
        let patience = if self.state.file.text.is_some() { PATIENCE } else { READY_AT_LAST };
        if self.is_due(Some(waiting.since + patience)) {
            self.change(Change::GiveWay);
            return true;
        }
        false
    }

    /// Returns whether the service still waits for something better. It does so at start alone, and before it hands out
    /// an address that pods do not have yet: those that they have are served at once.
    fn is_awaited(&mut self, chosen: &Chosen) -> bool {
        let handed_out = &self.state.handed_out.addresses;
        if chosen.addresses.iter().all(|address| handed_out.contains(&address.socket.ip())) {
            return false;
        }
        let (Some(awaited), Phase::Starting, None) = (chosen.awaited, self.state.phase, &self.state.file.text) else {
            return false;
        };
        let limit = match awaited {
            Awaited::DefaultRoute => SETTLING,
            Awaited::Family => READY_AT_LAST,
        };
        if !self.is_due(Some(limit)) {
            return true;
        }
        let what = match awaited {
            Awaited::DefaultRoute => "default route",
            Awaited::Family => "address of a further family that pods may need (`families` says which to use)",
        };
        let text = format!("no {what} after {} s; going by the addresses that there are", limit.as_secs());
        self.tell(Level::Info, LogEvent::NoDefaultRoute, text);
        false
    }

    fn wait(&mut self, reason: Option<&NoAddress>) {
        let why = reason.map(ToString::to_string);
        self.plan.hopeless = why.clone().filter(|_| reason.is_some_and(|reason| !reason.may_come()));
        if let Some(why) = &why {
            self.tell(Level::Warn, LogEvent::NoAddress, why.clone());
        }
        if self.state.waiting.as_ref().map(|waiting| &waiting.why) != why.as_ref() {
            self.change(Change::Wait(why));
        }
    }

    /// Brings the listeners in line with what was chosen. Without a choice those that were chosen stay bound, even
    /// while their address is away: it may be back in a moment.
    fn listeners(&mut self, chosen: Option<&[ListenAddress]>) {
        let state = self.state;
        for address in chosen.unwrap_or_default() {
            self.open(address.socket, Role::Chosen, address.origin.to_string());
        }
        for listener in &state.listeners {
            let address = listener.address;
            let is_chosen =
                chosen.map_or(listener.role == Role::Chosen, |all| all.iter().any(|one| one.socket == address));
            match (is_chosen, self.has(address)) {
                (true, _) if listener.role == Role::Former => self.change(Change::Role { address, role: Role::Chosen }),
                (false, false) => self.change(Change::Close(address)),
                (false, true) if listener.role == Role::Chosen => {
                    self.change(Change::Role { address, role: Role::Former });
                }
                _ => {}
            }
            self.check(address, listener.check);
        }
        for address in self.formerly_handed_out(chosen) {
            self.open(address, Role::Former, "an address that pods were given earlier".to_owned());
        }
        for blocked in &state.blocked {
            let is_chosen = chosen.is_none_or(|all| all.iter().any(|one| one.socket == blocked.address));
            let is_wanted = match blocked.role {
                Role::Chosen => is_chosen,
                Role::Former => self.has(blocked.address),
            };
            if !is_wanted {
                self.change(Change::Unblock(blocked.address));
            }
        }
    }

    /// Opens an address that is not listened on, unless that failed a moment ago.
    fn open(&mut self, address: SocketAddr, role: Role, why: String) {
        if self.state.listeners.iter().any(|listener| listener.address == address) {
            return;
        }
        let blocked = self.state.blocked.iter().find(|blocked| blocked.address == address);
        if self.is_due(blocked.map(|blocked| blocked.failed.next_try())) {
            self.change(Change::Open { address, role, why });
        }
    }

    /// Returns the addresses that pods were given, in this run or an earlier one, and that the node has. Whoever names
    /// addresses in the configuration has decided about them; so this holds for those alone that are found by rule.
    fn formerly_handed_out(&self, chosen: Option<&[ListenAddress]>) -> Vec<SocketAddr> {
        let by_rule = |place: &Place| matches!(place, Place::Node | Place::Interface { .. });
        if !self.observed.settings.listen.iter().any(by_rule) {
            return Vec::new();
        }
        let is_chosen = |ip| chosen.unwrap_or_default().iter().any(|one| one.socket.ip() == ip);
        let earlier = self.state.handed_out.addresses.iter().copied();
        let earlier = earlier.filter(|ip| !is_chosen(*ip)).map(|ip| SocketAddr::new(ip, DNS_PORT));
        earlier.filter(|address| self.has(*address)).collect()
    }

    /// Has a listener checked that is not known to answer, once the node has its address.
    fn check(&mut self, address: SocketAddr, check: Check) {
        let last_try = match check {
            Check::Answers => return,
            Check::Unknown => None,
            Check::Silent { last_try } => Some(last_try + RETRY),
        };
        if self.has(address) && self.is_due(last_try) {
            self.change(Change::Check(address));
        }
    }
}

#[cfg(test)]
mod address_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
