//! CoreDNS on this node: where its Corefile has it forward to, zone by zone, and what it said before it ended.

use std::net::IpAddr;
use std::path::PathBuf;

use super::sandbox::Sandbox;
use super::{Diagnosis, Finding, Node, Severity};
use crate::discovery::Root;
use crate::service::handed_out;

/// Where kubelet lays out the ConfigMaps of pods.
const VOLUMES: &str = "/var/lib/kubelet/pods";
const CONFIG_MAPS: &str = "volumes/kubernetes.io~configmap";
const COREFILE: &str = "Corefile";
/// Where kubelet keeps what containers say.
const LOGS: &str = "/var/log/pods";
/// What the plugin `loop` says before it ends CoreDNS.
const LOOP: &str = "detected for zone";

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
    for path in corefiles(node.root) {
        let Ok(Some(text)) = node.root.read_text(&path) else { continue };
        let is_its = |sandbox: &&Sandbox| path.starts_with(format!("{VOLUMES}/{}", sandbox.uid));
        let pod = node.sandboxes.iter().filter(|sandbox| !sandbox.uid.is_empty()).find(is_its);
        for forward in forwards(&text) {
            look_at(node, pod, &path.display().to_string(), &forward, diagnosis);
        }
    }
    logs(node, diagnosis);
}

/// The Corefiles of this node's pods.
pub(super) fn corefiles(root: &Root) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for uid in root.list(VOLUMES).unwrap_or_default() {
        let folder = format!("{VOLUMES}/{uid}/{CONFIG_MAPS}");
        let volumes = root.list(&folder).unwrap_or_default();
        found.extend(volumes.iter().map(|volume| PathBuf::from(format!("{folder}/{volume}/{COREFILE}"))));
    }
    found
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
    let bare = target.rsplit_once("://").map_or(target.as_str(), |(_, rest)| rest);
    let address = bare.parse::<IpAddr>().ok().or_else(|| bare.parse::<std::net::SocketAddr>().ok().map(|at| at.ip()));
    let Some(address) = address.map(|ip| ip.to_canonical()) else {
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
        let folder = format!("{LOGS}/{pod}/coredns");
        let mut files = node.root.list(&folder).unwrap_or_default();
        files.sort_by_key(|name| name.split('.').next().and_then(|number| number.parse::<u64>().ok()));
        let Some(latest) = files.last() else { continue };
        let path = format!("{folder}/{latest}");
        let text = match node.root.read_text(&path) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                diagnosis.unseen.push(format!("{path}: {error}"));
                continue;
            }
        };
        let said = text.lines().enumerate().filter(|(_, line)| line.contains("Loop (") && line.contains(LOOP)).last();
        let Some((number, line)) = said else { continue };
        let restarts = latest.split('.').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        let name = pod.split('_').take(2).collect::<Vec<_>>().join("/");
        diagnosis.add(Finding {
            severity: Severity::Fault,
            what: format!(
                "{name} has found that its queries come back to it, and ended; it was started {restarts} times again"
            ),
            evidence: vec![format!("{path}:{}: {}", number + 1, message(line)), whence(line).to_owned()],
            effect: "the cluster has no DNS while no CoreDNS runs (CrashLoopBackOff)".to_owned(),
            cure: node.cure(),
        });
    }
}

/// The line without what the container runtime puts before it.
fn message(line: &str) -> &str {
    line.find("[FATAL]").and_then(|at| line.get(at..)).unwrap_or(line)
}

/// What the address that CoreDNS saw its own query come from says of the way that the loop takes.
fn whence(line: &str) -> &'static str {
    let from = line.split("Loop (").nth(1).and_then(|rest| rest.split(" -> ").next()).unwrap_or_default();
    let ip = from.parse::<std::net::SocketAddr>().map(|at| at.ip());
    match ip {
        Ok(ip) if ip.is_loopback() => {
            "its query came from loopback: it asks itself, by a resolv.conf or forward of its own"
        }
        Ok(_) => "its query came from another address: a forwarder outside the pod sends it back",
        Err(_) => "where its query came from cannot be read from that line",
    }
}
