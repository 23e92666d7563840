//! What pods that run really have: a pod keeps the resolv.conf that it was born with.

use std::net::IpAddr;

use super::{Diagnosis, File, Finding, Node, Severity};

pub(super) fn examine(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    let cluster = node.kubelet.never_asked();
    let now = File::read(node.root, node.handed()).ok().flatten().map(|file| file.addresses()).unwrap_or_default();
    let (mut loops, mut old, mut well) = (Vec::new(), Vec::new(), 0);
    for sandbox in &node.sandboxes {
        let file = match File::read(node.root, &sandbox.resolv_conf) {
            Ok(Some(file)) => file,
            Ok(None) => continue,
            Err(why) => {
                diagnosis.unseen.push(why);
                continue;
            }
        };
        let named = file.addresses();
        let is_loopback = |ip: IpAddr| ip.is_loopback();
        if named.iter().copied().any(is_loopback) {
            let lines = file.lines(is_loopback);
            loops.push((sandbox, lines));
        } else if named.iter().any(|ip| cluster.contains(ip)) || now.is_empty() || is_of(&named, &now) {
            well += 1;
        } else {
            old.push((sandbox, file.lines(|_| true)));
        }
    }
    if let [(first, _), ..] = loops.as_slice() {
        diagnosis.add(Finding {
            severity: Severity::Fault,
            what: format!("{} pod(s) have loopback as their DNS, {} among them", loops.len(), first.shown()),
            evidence: loops.iter().flat_map(|(pod, lines)| told(&pod.shown(), lines)).collect(),
            effect: "each asks itself; a CoreDNS among them forwards to itself and ends".to_owned(),
            cure: with_new_pods(node, loops.iter().map(|(pod, _)| (pod.namespace.as_str(), pod.name.as_str()))),
        });
    }
    if let [(first, _), ..] = old.as_slice() {
        diagnosis.add(Finding {
            severity: Severity::Risk,
            what: format!("{} pod(s) are older than the file for pods, {} among them", old.len(), first.shown()),
            evidence: old.iter().flat_map(|(pod, lines)| told(&pod.shown(), lines)).collect(),
            effect: format!("they ask what {} said when they were born", node.handed()),
            cure: new_pods(old.iter().map(|(pod, _)| (pod.namespace.as_str(), pod.name.as_str()))),
        });
    }
    if well > 0 {
        diagnosis.well.push(format!("{well} pod(s) ask the cluster's DNS, or what the file for pods names"));
    }
}

/// Whether a pod's servers are those of the file; kubelet takes the first three.
fn is_of(named: &[IpAddr], now: &[IpAddr]) -> bool {
    named.iter().all(|ip| now.contains(ip))
}

fn told(pod: &str, lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| format!("{line} ({pod})")).collect()
}

/// Returns the commands that mend the file, where it is at fault, and those that have the pods replaced.
fn with_new_pods<'p>(node: &Node<'_>, pods: impl Iterator<Item = (&'p str, &'p str)>) -> Vec<String> {
    let handed = File::read(node.root, node.handed()).ok().flatten();
    let is_well = handed.is_some_and(|file| !file.servers.is_empty() && file.lines(|ip| ip.is_loopback()).is_empty());
    let mut cure = if is_well { Vec::new() } else { node.cure() };
    cure.retain(|line| !line.contains("rollout restart"));
    cure.extend(new_pods(pods));
    cure
}

fn new_pods<'p>(pods: impl Iterator<Item = (&'p str, &'p str)>) -> Vec<String> {
    pods.take(10).map(|(namespace, name)| format!("kubectl -n {namespace} delete pod {name}")).collect()
}
