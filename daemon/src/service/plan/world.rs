//! A node on which plans are carried out in thought: addresses, ports that are taken, a disk, and time as a number.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Observed, UpstreamState, plan};
use crate::config::Settings;
use crate::discovery::kubelet::Kubelet;
use crate::kubelet_resolv_conf::Found;
use crate::node_address::Tables;
use crate::node_address::tests::tables;
use crate::service::change::{Change, Outcome};
use crate::service::state::{Phase, State};

/// Maximum number of plans in a row: far fewer come to rest.
const ROUNDS: usize = 32;

pub(super) struct World {
    pub(super) tables: Option<Tables>,
    pub(super) settings: Settings,
    pub(super) kubelet: Kubelet,
    pub(super) upstreams: Vec<UpstreamState>,
    pub(super) state: State,
    pub(super) now: Duration,
    /// Where another program listens.
    pub(super) taken: HashSet<SocketAddr>,
    /// Where queries do not get through.
    pub(super) mute: HashSet<SocketAddr>,
    pub(super) is_disk_full: bool,
    pub(super) file: Option<String>,
    pub(super) remembered: Option<Vec<IpAddr>>,
    /// The lines that people read.
    pub(super) told: Vec<String>,
    /// What systemd was told.
    pub(super) notified: Vec<Change>,
    /// Number of tries to listen.
    pub(super) tries: usize,
}

impl World {
    /// A node with these links, addresses and routes, on which Onward starts for the first time.
    pub(super) fn new(kernel: &str) -> Self {
        Self {
            tables: Some(tables(kernel)),
            settings: Settings::default(),
            kubelet: Kubelet::default(),
            upstreams: vec![UpstreamState { server: "10.0.0.2:53".to_owned(), is_down: false }],
            state: State::new(None),
            now: Duration::ZERO,
            taken: HashSet::new(),
            mute: HashSet::new(),
            is_disk_full: false,
            file: None,
            remembered: None,
            told: Vec::new(),
            notified: Vec::new(),
            tries: 0,
        }
    }

    /// Starts Onward again on the same node: what is on disk stays, the file is gone, as after a boot.
    pub(super) fn restart(&mut self) {
        (self.state, self.now, self.file) = (State::new(self.remembered.clone()), Duration::ZERO, None);
        self.told.clear();
    }

    pub(super) fn kernel(&mut self, kernel: &str) {
        self.tables = Some(tables(kernel));
        self.settle();
    }

    /// Lets so much time pass, and looks whenever the plan wants to.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.settle().filter(|at| *at <= end) {
            assert!(at > self.now, "the plan wants to be made again at once, for ever: {:?}", self.state);
            self.now = at;
        }
        self.now = end;
        self.settle();
    }

    /// Carries out plans until there is nothing left to do. Returns when the next is to be made.
    pub(super) fn settle(&mut self) -> Option<Duration> {
        for _ in 0..ROUNDS {
            let observed = Observed {
                now: self.now,
                settings: &self.settings,
                tables: self.tables.as_ref(),
                kubelet: &self.kubelet,
                found: Found::default(),
                file: self.file.as_deref(),
                upstreams: &self.upstreams,
            };
            let plan = plan(&observed, &self.state);
            self.state.told.retain(|line| plan.lines.contains(line));
            if plan.changes.is_empty() {
                return plan.wake;
            }
            for change in plan.changes {
                let outcome = self.apply(&change);
                self.state.learn(change, outcome, self.now);
            }
        }
        panic!("the plan does not come to rest: {:?}", self.state);
    }

    fn apply(&mut self, change: &Change) -> Outcome {
        let failed = || Outcome::Failed("it does not work".to_owned());
        match change {
            Change::Open { address, .. } => {
                self.tries += 1;
                if self.taken.contains(address) {
                    return Outcome::Failed(format!("{address} is taken"));
                }
            }
            Change::Check(address) if self.mute.contains(address) => return failed(),
            Change::File { .. } | Change::Remember(_) if self.is_disk_full => return failed(),
            Change::File { text, .. } => self.file = Some(text.clone()),
            Change::Remember(addresses) => self.remembered = Some(addresses.clone()),
            Change::Tell(line) => self.told.push(line.text.clone()),
            Change::Ready(_) | Change::Status(_) => self.notified.push(change.clone()),
            _ => {}
        }
        Outcome::Done
    }

    /// The servers that the file names; empty where there is no file.
    pub(super) fn named(&self) -> String {
        let text = self.file.as_deref().unwrap_or_default();
        let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
        servers.collect::<Vec<_>>().join(" ")
    }

    /// Where Onward listens, in the order in which it began to.
    pub(super) fn listening(&self) -> String {
        let addresses = self.state.listeners.iter().map(|listener| listener.address.ip().to_string());
        addresses.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state.phase == Phase::Ready
    }

    pub(super) fn listen(&mut self, places: &[&str]) {
        self.settings.listen = places.iter().map(|place| place.parse().unwrap()).collect();
        self.state.tell_anew();
        self.settle();
    }

    pub(super) fn has_told(&self, part: &str) -> usize {
        self.told.iter().filter(|line| line.contains(part)).count()
    }
}
