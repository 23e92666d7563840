//! CoreDNS on this node: where its Corefile has it forward to, zone by zone, and what it said before it ended.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::sandbox::{Sandbox, Told, told_by_flag};
use super::{Diagnosis, Finding, Node, Severity};
use crate::discovery::Root;
use crate::service::handed_out;
use crate::upstream::server::DNS_PORT;

/// Where kubelet lays out the ConfigMaps of pods.
const VOLUMES: &str = "/var/lib/kubelet/pods";
const CONFIG_MAPS: &str = "volumes/kubernetes.io~configmap";
const COREFILE: &str = "Corefile";
/// Where kubelet keeps what containers say.
const LOGS: &str = "/var/log/pods";
/// Time until a CoreDNS has found out whether its queries come back: its plugin `loop` tries for 30 s.
const BEGINNING: Duration = Duration::from_secs(30);
/// What the plugin `loop` says before it ends CoreDNS.
const LOOP: &str = "detected for zone";

/// The option by which CoreDNS is told of its Corefile.
const FLAG: &str = "-conf";

/// A Corefile as the node has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Corefile {
    pub(super) path: PathBuf,
    /// The pod that was told of it, as `NAMESPACE/NAME`; none where the folder that it lies in says whose it is.
    pod: Option<String>,
}

/// One target of a `forward` line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forward {
    pub(super) line: usize,
    /// The zones of the server block.
    pub(super) zones: String,
    pub(super) target: String,
}

pub(super) fn examine(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    if let Err(error) = node.root.list(VOLUMES) {
        diagnosis.unseen.push(format!("{VOLUMES}: {error}; what CoreDNS is told is unknown"));
    }
    for corefile in corefiles(node.root) {
        let Ok(Some(text)) = node.root.read_text(&corefile.path) else { continue };
        let pod = node.sandboxes.iter().find(|sandbox| corefile.is_of(sandbox));
        for forward in forwards(&text) {
            look_at(node, pod, &corefile.path.display().to_string(), &forward, diagnosis);
        }
    }
    logs(node, diagnosis);
}

/// Finds the Corefiles of this node's pods: in the ConfigMaps that kubelet laid out, and where a CoreDNS that runs was
/// told.
pub(super) fn corefiles(root: &Root) -> Vec<Corefile> {
    let mut found = Vec::new();
    for uid in root.list(VOLUMES).unwrap_or_default() {
        let folder = format!("{VOLUMES}/{uid}/{CONFIG_MAPS}");
        let volumes = root.list(&folder).unwrap_or_default();
        let paths = volumes.iter().map(|volume| PathBuf::from(format!("{folder}/{volume}/{COREFILE}")));
        found.extend(paths.map(|path| Corefile { path, pod: None }));
    }
    for Told { pod, path } in told_by_flag(root, FLAG) {
        if found.iter().all(|corefile| corefile.path != path) {
            found.push(Corefile { path, pod: Some(pod) });
        }
    }
    found
}

impl Corefile {
    /// Whether it is of this pod, by the folder that it lies in, or by who was told of it.
    pub(super) fn is_of(&self, sandbox: &Sandbox) -> bool {
        let is_in = |uid: &str| !uid.is_empty() && self.path.starts_with(format!("{VOLUMES}/{uid}"));
        self.pod.as_deref().map_or_else(|| is_in(&sandbox.uid), |pod| pod == sandbox.shown())
    }
}

impl Forward {
    /// The address and port of the target, where it is one: not a file, not a name.
    pub(super) fn server(&self) -> Option<SocketAddr> {
        let bare = self.target.rsplit_once("://").map_or(self.target.as_str(), |(_, rest)| rest);
        bare.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, DNS_PORT)))
    }
}

/// Reads the `forward` lines of a Corefile, each with the zones of its block.
pub(super) fn forwards(text: &str) -> Vec<Forward> {
    let (mut depth, mut zones, mut found) = (0_usize, String::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.split_whitespace().filter(|word| *word != "{");
        if depth == 0 && line.ends_with('{') {
            zones = words.clone().collect::<Vec<_>>().join(" ");
        }
        if depth == 1 && words.next() == Some("forward") {
            let targets = words.skip(1); // the first is what is forwarded
            let targets = targets.filter(|target| *target != "}");
            found.extend(targets.map(|target| Forward {
                line: number + 1,
                zones: zones.clone(),
                target: target.to_owned(),
            }));
        }
        depth += line.matches('{').count();
        depth = depth.saturating_sub(line.matches('}').count());
    }
    found
}

fn look_at(node: &Node<'_>, pod: Option<&Sandbox>, path: &str, forward: &Forward, diagnosis: &mut Diagnosis) {
    let Forward { line, zones, target } = forward;
    let shown = pod.map_or_else(|| "a CoreDNS of this node".to_owned(), Sandbox::shown);
    let evidence = format!("{path}:{line}: forward {target}, for {zones} ({shown})");
    if target.starts_with('/') {
        // A file of the pod's own, which is what kubelet gave it; pods.rs has looked at that.
        return diagnosis.well.push(format!("{shown} forwards {zones} to what its {target} names"));
    }
    let Some(address) = forward.server().map(|server| server.ip().to_canonical()) else {
        return diagnosis.well.push(format!("{shown} forwards {zones} to {target}"));
    };
    let edit = "kubectl -n kube-system edit configmap coredns".to_owned();
    let better = node.ours.first().map_or_else(
        || "# let it forward to /etc/resolv.conf, or to a server of the network".to_owned(),
        |ours| format!("# let it forward to /etc/resolv.conf, or to {ours}, where Onward answers"),
    );
    if address.is_loopback() || node.kubelet.never_asked().contains(&address) {
        diagnosis.add(Finding {
            severity: Severity::Fault,
            what: format!("CoreDNS forwards {zones} to {target}, which is CoreDNS itself"),
            evidence: vec![evidence],
            effect: "it asks itself until it ends, or runs out of memory".to_owned(),
            cure: vec![edit, better],
        });
    } else if is_old_address(node, address) {
        diagnosis.add(Finding {
            severity: Severity::Fault,
            what: format!("CoreDNS forwards {zones} to {target}, where the node used to be"),
            evidence: vec![evidence],
            effect: "nothing answers there: names outside the cluster are not resolved".to_owned(),
            cure: vec![edit, better],
        });
    } else {
        diagnosis.well.push(format!("{shown} forwards {zones} to {target}"));
    }
}

/// Whether Onward handed out this address before, and does not any more.
fn is_old_address(node: &Node<'_>, address: IpAddr) -> bool {
    let handed_out = handed_out::load(&node.root.path(&node.onward.state_dir), node.root);
    let known = handed_out.ok().flatten().unwrap_or_default();
    known.contains(&address) && !node.ours.is_empty() && !node.ours.contains(&address)
}

/// What the plugin `loop` said, in the logs of the latest containers.
fn logs(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    let pods = match node.root.list(LOGS) {
        Ok(pods) => pods,
        Err(error) => return diagnosis.unseen.push(format!("{LOGS}: {error}; what CoreDNS said is unknown")),
    };
    for pod in pods {
        match said(node, &format!("{LOGS}/{pod}/coredns")) {
            Ok(None) => {}
            Ok(Some(said)) => {
                let name = pod.split('_').take(2).collect::<Vec<_>>().join("/");
                diagnosis.add(Finding {
                    severity: Severity::Fault,
                    what: format!(
                        "{name} has found that its queries come back to it, and ended; it was started {} times again",
                        said.restarts
                    ),
                    evidence: vec![said.evidence, said.whence.to_owned()],
                    effect: "the cluster has no DNS while no CoreDNS runs (CrashLoopBackOff)".to_owned(),
                    cure: node.cure(),
                });
            }
            Err(why) => diagnosis.unseen.push(why),
        }
    }
}

/// What a CoreDNS said of a loop before it ended.
struct Said {
    restarts: u64,
    evidence: String,
    whence: &'static str,
}

/// Looks for it in the log of the latest container, and in the one before while the latest has only begun.
fn said(node: &Node<'_>, folder: &str) -> Result<Option<Said>, String> {
    let mut files: Vec<(u64, String)> =
        node.root.list(folder).unwrap_or_default().into_iter().filter_map(numbered).collect();
    files.sort_unstable();
    let restarts = files.last().map_or(0, |(number, _)| *number);
    for (_, name) in files.iter().rev().take(2) {
        let path = format!("{folder}/{name}");
        let text = node.root.read_text(&path).map_err(|error| format!("{path}: {error}"))?.unwrap_or_default();
        let found = text.lines().enumerate().filter(|(_, line)| line.contains("Loop (") && line.contains(LOOP)).last();
        if let Some((number, line)) = found {
            let evidence = format!("{path}:{}: {}", number + 1, message(line));
            return Ok(Some(Said { restarts, evidence, whence: whence(line) }));
        }
        if !has_only_begun(&text, node.around.now) {
            break;
        }
    }
    Ok(None)
}

/// The number of a container's log, which is how many were there before it.
fn numbered(name: String) -> Option<(u64, String)> {
    Some((name.strip_suffix(".log")?.parse().ok()?, name))
}

/// Whether the first line of a log is so young that its container may still find a loop.
fn has_only_begun(text: &str, now: SystemTime) -> bool {
    let Some(first) = text.lines().next() else { return true };
    let at = first.split(' ').next().and_then(|time| humantime::parse_rfc3339(time).ok());
    at.and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age < BEGINNING)
}

/// The line without what the container runtime puts before it.
fn message(line: &str) -> &str {
    line.find("[FATAL]").and_then(|at| line.get(at..)).unwrap_or(line)
}

/// What the address that CoreDNS saw its own query come from says of the way that the loop takes.
fn whence(line: &str) -> &'static str {
    let from = line.split("Loop (").nth(1).and_then(|rest| rest.split(" -> ").next()).unwrap_or_default();
    let ip = from.parse::<SocketAddr>().map(|at| at.ip());
    match ip {
        Ok(ip) if ip.is_loopback() => {
            "its query came from loopback: it asks itself, by a resolv.conf or forward of its own"
        }
        Ok(_) => "its query came from another address: a forwarder outside the pod sends it back",
        Err(_) => "where its query came from cannot be read from that line",
    }
}
