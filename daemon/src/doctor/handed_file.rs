//! The resolv.conf that kubelet gives to pods with the node's DNS, CoreDNS among them.

use super::{Diagnosis, File, Finding, Node, Severity};

pub(super) fn examine(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    if node.kubelet.starts_pods.is_empty() && node.kubelet.resolv_conf.is_none() {
        diagnosis.well.push("nothing that starts pods runs here, or it is hidden".to_owned());
        return;
    }
    let path = node.handed();
    let starters = node.starters();
    let told = match &node.kubelet.resolv_conf {
        Some(_) => format!("{starters} is told to give {path} to pods"),
        None => format!("{starters} is told of no file, and gives {path} to pods"),
    };
    let file = match File::read(node.root, path) {
        Ok(Some(file)) => file,
        Ok(None) => {
            diagnosis.add(Finding {
                severity: Severity::Fault,
                what: format!("the resolv.conf for pods, {path}, is not there"),
                evidence: vec![told],
                effect: "no new pod starts: kubelet says \"open … no such file or directory\"".to_owned(),
                cure: if path == node.onward.file {
                    vec!["systemctl start onward".to_owned(), "journalctl -xu onward".to_owned()]
                } else {
                    node.cure()
                },
            });
            return;
        }
        Err(why) => return diagnosis.unseen.push(why),
    };
    match judge(node, &file, &told) {
        Some(finding) => diagnosis.add(finding),
        None => {
            let named: Vec<String> = file.addresses().iter().map(ToString::to_string).collect();
            diagnosis.well.push(format!("{told}; it names {}", named.join(", ")));
        }
    }
}

/// What is wrong with the file, if anything is; `told` says who gives it to pods.
fn judge(node: &Node<'_>, file: &File, told: &str) -> Option<Finding> {
    let path = &file.path;
    let loopback = file.lines(|ip| ip.is_loopback());
    let cluster = file.lines(|ip| node.kubelet.never_asked().contains(&ip.to_canonical()));
    let (severity, what, mut evidence, effect) = if !loopback.is_empty() {
        (
            Severity::Fault,
            format!("the resolv.conf for pods, {path}, names loopback"),
            loopback,
            "inside a pod loopback is the pod itself: CoreDNS forwards to itself, says \"Loop … detected\" and ends; other pods \
             with the node's DNS resolve nothing",
        )
    } else if !cluster.is_empty() {
        (
            Severity::Fault,
            format!("the resolv.conf for pods, {path}, names the cluster's own DNS"),
            cluster,
            "CoreDNS forwards what it does not know to itself, and ends",
        )
    } else if file.servers.is_empty() {
        (
            Severity::Fault,
            format!("the resolv.conf for pods, {path}, names no server"),
            Vec::new(),
            "the C library then asks 127.0.0.1, which in a pod is the pod itself",
        )
    } else if *path != node.onward.file && !node.ours.is_empty() {
        (
            Severity::Risk,
            format!("Onward runs on this node, but pods are given {path}"),
            Vec::new(),
            "they do not ask Onward; when the servers in that file change, pods keep the old ones",
        )
    } else {
        return None;
    };
    evidence.push(told.to_owned());
    Some(Finding { severity, what, evidence, effect: effect.to_owned(), cure: node.cure() })
}
