//! The resolv.conf that kubelet gives to pods with the node's DNS, CoreDNS among them.

use super::{Diagnosis, File, Finding, Node, Severity};
use crate::discovery::Root;

/// Where kubelet and distributions are told of the file. Flags beat drop-ins, and these the configuration.
const FLAGS: [&str; 3] = ["/etc/default/kubelet", "/etc/sysconfig/kubelet", "/var/snap/microk8s/current/args/kubelet"];
/// See [`FLAGS`].
const DROP_INS: [&str; 3] =
    ["/etc/kubernetes/kubelet.conf.d", "/etc/rancher/k3s/config.yaml.d", "/etc/rancher/rke2/config.yaml.d"];
/// See [`FLAGS`].
const CONFIGURATIONS: [&str; 3] =
    ["/var/lib/kubelet/config.yaml", "/etc/rancher/k3s/config.yaml", "/etc/rancher/rke2/config.yaml"];

pub(super) fn examine(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    if node.kubelet.starts_pods.is_empty() && node.kubelet.resolv_conf.is_none() {
        diagnosis.well.push("nothing that starts pods runs here, or it is hidden".to_owned());
        return;
    }
    let path = node.handed();
    let starters = node.starters();
    let told = match &node.kubelet.resolv_conf {
        Some(_) => match where_told(node.root, path) {
            Some(place) => format!("{starters} is told to give {path} to pods, by {place}"),
            None => format!("{starters} is told to give {path} to pods"),
        },
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

/// The lines that name a server that does not answer this node. Onward's own file is for `daemon` to judge.
fn dead(node: &Node<'_>, file: &File) -> Vec<String> {
    if file.path == node.onward.file { Vec::new() } else { file.lines(|ip| !(node.around.answers)(ip)) }
}

/// Returns the line of kubelet's configuration, or of a distribution's, that names the file, with its place.
fn where_told(root: &Root, path: &str) -> Option<String> {
    let in_folder = |folder: &&str| {
        let names = root.list(folder).unwrap_or_default();
        names.into_iter().map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    let owned = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>();
    let files = [owned(&FLAGS), DROP_INS.iter().flat_map(in_folder).collect(), owned(&CONFIGURATIONS)].concat();
    files.into_iter().find_map(|file| {
        let text = root.read_text(&file).ok().flatten()?;
        let is_it = |line: &str| {
            line.contains(path) && line.to_ascii_lowercase().contains("resolv") && !line.trim_start().starts_with('#')
        };
        let (number, line) = text.lines().enumerate().filter(|(_, line)| is_it(line)).last()?;
        Some(format!("{file}:{}: {}", number + 1, line.trim()))
    })
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
    } else if let dead = dead(node, file)
        && !dead.is_empty()
    {
        let are_all = dead.len() == file.servers.len();
        (
            if are_all { Severity::Fault } else { Severity::Risk },
            format!("the resolv.conf for pods, {path}, names a server that does not answer"),
            dead,
            if are_all {
                "CoreDNS, which asks it, gets no answer for names outside the cluster"
            } else {
                "names outside the cluster wait for it before another server is asked"
            },
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
