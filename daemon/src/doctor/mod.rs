//! What is wrong with DNS on this node, and what to do: `onward doctor`. Each file looks at one thing, in the order in
//! which the outage comes about, and adds what it finds:
//!
//! ```text
//! node_file    /etc/resolv.conf: whose is it, what does it name
//! handed_file  the file that kubelet gives to pods: which, is it there, what would a pod get
//! pods         what the sandboxes that run really have, and which are older than the last change
//! coredns      where CoreDNS forwards to, zone by zone, and what it said before it ended
//! loop_probe   whether a loop would form now, by a probe in the place of a CoreDNS that is down
//! daemon       whether Onward runs, is well, and is reached from pods
//! firewall     what keeps pods away from it, and what opens the port
//! upstreams    servers that loop, are silent or slow, as the daemon knows them
//! path         whether ways bear long messages (MTU)
//! machine      full disks, the clock, versions
//! ```
//!
//! Files are read below a [`Root`], so that tests lay out nodes; what is asked of servers and from pods comes by
//! [`Around`]. Nothing is changed.

mod coredns;
mod daemon;
mod firewall;
mod handed_file;
mod loop_probe;
mod machine;
mod node_file;
mod path;
mod pods;
mod sandbox;
#[cfg(test)]
mod tests;
mod upstreams;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::discovery::kubelet::{self, Kubelet};
use crate::discovery::resolv_conf::{self, Nameserver};
use crate::discovery::{Found, Inputs, Root, SourceName, look};
use crate::integrate::pods::Pod;
use crate::upstream::Endpoint;
use crate::upstream::server::DNS_PORT;
use sandbox::Sandbox;

pub(crate) use daemon::{Reached, examine as examine_daemon, is_shut};
pub(crate) use firewall::Firewall;
pub(crate) use machine::Machine;
pub(crate) use path::{examine as examine_paths, try_all as try_paths};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// Pods have no DNS for it, or will not.
    Fault,
    /// It will do harm when something else happens.
    Risk,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is wrong.
    pub(crate) what: String,
    /// What shows it: files with their lines.
    pub(crate) evidence: Vec<String>,
    /// What it does to pods.
    pub(crate) effect: String,
    /// What to do: commands to paste, or sentences that begin with `#`.
    pub(crate) cure: Vec<String>,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Diagnosis {
    /// In the order in which the outage comes about.
    pub(crate) findings: Vec<Finding>,
    /// What is well, for people who want to know what was looked at.
    pub(crate) well: Vec<String>,
    /// What could not be seen, and why.
    pub(crate) unseen: Vec<String>,
}

/// What is known of Onward by its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Onward {
    /// The file that it writes for kubelet.
    pub(crate) file: String,
    /// Where it keeps what should survive a restart.
    pub(crate) state_dir: PathBuf,
    /// Servers by configuration, and sources.
    pub(crate) configured: Vec<Endpoint>,
    /// See `configured`.
    pub(crate) sources: Vec<SourceName>,
}

/// What is not in files.
pub(crate) struct Around<'a> {
    /// The pods that may be asked from.
    pub(crate) pods: &'a [Pod],
    /// Whether a server answers this node.
    pub(crate) answers: &'a dyn Fn(IpAddr) -> bool,
    /// The time.
    pub(crate) now: SystemTime,
    /// What the machine says of itself.
    pub(crate) machine: &'a Machine,
}

/// The facts that several checks look at.
struct Node<'r> {
    root: &'r Root,
    onward: &'r Onward,
    kubelet: Kubelet,
    /// The servers that Onward's file names.
    ours: Vec<IpAddr>,
    found: Found,
    sandboxes: Vec<Sandbox>,
    around: &'r Around<'r>,
}

/// A resolv.conf, and the servers in it.
struct File {
    path: String,
    servers: Vec<Nameserver>,
}

impl Diagnosis {
    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// What to do first.
    #[must_use]
    pub(crate) fn first(&self) -> Option<&Finding> {
        self.findings.iter().min_by_key(|finding| finding.severity)
    }
}

impl File {
    /// Reads it; none where it is not there, and an error in words where it cannot be read.
    fn read(root: &Root, path: &str) -> Result<Option<Self>, String> {
        let content = root.read(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(content.map(|content| Self { path: path.to_owned(), servers: resolv_conf::parse(&content).nameservers }))
    }

    /// The lines that name an address of this kind, as `path:line: nameserver ADDRESS`.
    fn lines(&self, is_meant: impl Fn(IpAddr) -> bool) -> Vec<String> {
        let meant = self.servers.iter().filter(|named| is_meant(named.server.ip()));
        meant.map(|named| format!("{}:{}: nameserver {}", self.path, named.line, named.server.ip())).collect()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.servers.iter().map(|named| named.server.ip().to_canonical()).collect()
    }
}

impl<'r> Node<'r> {
    /// Reads the facts. What cannot be seen is added to the diagnosis.
    fn look(root: &'r Root, onward: &'r Onward, around: &'r Around<'r>, diagnosis: &mut Diagnosis) -> Self {
        let ours = File::read(root, &onward.file).ok().flatten().map(|file| file.addresses()).unwrap_or_default();
        let own: Vec<_> = ours.iter().map(|ip| SocketAddr::new(*ip, DNS_PORT)).collect();
        let found = look(&Inputs {
            root,
            configured: &onward.configured,
            routes: &[],
            sources: &onward.sources,
            own: &own,
            written: Path::new(&onward.file),
        });
        let kubelet = kubelet::read(root);
        diagnosis.unseen.extend(kubelet.unknown.iter().cloned());
        let sandboxes = sandbox::find(root, &mut diagnosis.unseen);
        Self { root, onward, kubelet, ours, found, sandboxes, around }
    }

    /// The resolv.conf that kubelet gives to pods.
    fn handed(&self) -> &str {
        self.kubelet.resolv_conf.as_deref().unwrap_or("/etc/resolv.conf")
    }

    /// What starts pods here, in words.
    fn starters(&self) -> String {
        if self.kubelet.starts_pods.is_empty() { "kubelet".to_owned() } else { self.kubelet.starts_pods.join(", ") }
    }

    /// How to have it give our file to pods, and then to restart.
    fn cure(&self) -> Vec<String> {
        let program = self.kubelet.starts_pods.first().map_or("kubelet", String::as_str);
        let mut cure = Vec::new();
        if self.ours.is_empty() {
            cure.push("systemctl enable --now onward".to_owned());
        }
        cure.push(format!("onward integrate {program} --restart"));
        cure.push("kubectl -n kube-system rollout restart deployment coredns".to_owned());
        cure
    }
}

/// The files that were looked at, for a support archive: none of them holds a secret.
pub(crate) fn files(root: &Root, onward: &Onward) -> Vec<PathBuf> {
    let kubelet = kubelet::read(root);
    let handed = kubelet.resolv_conf.as_deref().unwrap_or("/etc/resolv.conf");
    let mut files: Vec<PathBuf> =
        ["/etc/resolv.conf", handed, &onward.file, "/etc/onward/onward.toml", "/run/onward/cluster.json"]
            .into_iter()
            .chain([
                "/run/systemd/resolve/resolv.conf",
                "/run/NetworkManager/resolv.conf",
                "/etc/systemd/resolved.conf",
            ])
            .map(PathBuf::from)
            .collect();
    let drop_ins = root.list("/etc/onward/onward.toml.d").unwrap_or_default();
    files.extend(drop_ins.iter().map(|name| Path::new("/etc/onward/onward.toml.d").join(name)));
    files.extend(coredns::corefiles(root).into_iter().map(|corefile| corefile.path));
    files.extend(sandbox::find(root, &mut Vec::new()).into_iter().map(|sandbox| sandbox.resolv_conf.into()));
    files.sort();
    files.dedup();
    files
}

/// Looks at all that can be seen in files, and at what is around them.
pub(crate) fn examine(root: &Root, onward: &Onward, around: &Around<'_>) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let node = Node::look(root, onward, around, &mut diagnosis);
    node_file::examine(&node, &mut diagnosis);
    handed_file::examine(&node, &mut diagnosis);
    pods::examine(&node, &mut diagnosis);
    coredns::examine(&node, &mut diagnosis);
    loop_probe::examine(&node, &mut diagnosis);
    machine::examine(&node, &mut diagnosis);
    diagnosis
}
