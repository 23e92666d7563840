//! What the cluster's programs on this node are told: kubelet's `clusterDNS`, which must never be an upstream, its
//! `clusterDomain` and `--node-ip`.
//!
//! Read are the files and flags of a running kubelet, the usual places of its configuration, and those of k3s and RKE2.
//! What cannot be read (often it is for root alone) is unknown and said so, never taken for none.

mod flags;
#[cfg(test)]
mod tests;
mod yaml;

use std::net::IpAddr;
use std::path::PathBuf;

use super::root::Root;
use flags::Flags;

/// Where kubeadm puts kubelet's configuration, and the usual directory of its drop-ins.
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const CONFIG_DIRECTORY: &str = "/etc/kubernetes/kubelet.conf.d";
/// Configurations of k3s and RKE2; drop-ins are in the directory of the same name with `.d`.
const DISTRIBUTIONS: [&str; 2] = ["/etc/rancher/k3s/config.yaml", "/etc/rancher/rke2/config.yaml"];

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kubelet {
    /// The addresses of the cluster's DNS Service.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain.
    pub cluster_domain: Option<String>,
    /// `--node-ip`: the node's addresses, as far as they are given.
    pub node_ips: Vec<IpAddr>,
    /// In words: what could not be read.
    pub unknown: Vec<String>,
}

/// Reads everything that is there.
#[must_use]
pub fn read(root: &Root) -> Kubelet {
    let mut kubelet = Kubelet::default();
    let flags = Flags::of_running(root, &mut kubelet.unknown);
    kubelet.take_file(root, flags.config.as_deref().unwrap_or(CONFIG));
    kubelet.take_directory(root, flags.config_directory.as_deref().unwrap_or(CONFIG_DIRECTORY), &[".conf"]);
    for path in DISTRIBUTIONS {
        kubelet.take_file(root, path);
        kubelet.take_directory(root, &format!("{path}.d"), &[".yaml", ".yml"]);
    }
    // Flags beat files.
    kubelet.set_cluster_dns(&flags.cluster_dns);
    kubelet.set_node_ips(&flags.node_ip);
    kubelet.cluster_domain = flags.cluster_domain.or(kubelet.cluster_domain);
    kubelet
}

/// The files and directories that [`read`] reads now, save in /proc.
pub(super) fn paths(root: &Root) -> Vec<PathBuf> {
    let flags = Flags::of_running(root, &mut Vec::new());
    let mut paths = vec![
        PathBuf::from(flags.config.as_deref().unwrap_or(CONFIG)),
        flags.config_directory.as_deref().unwrap_or(CONFIG_DIRECTORY).into(),
    ];
    for path in DISTRIBUTIONS {
        paths.extend([path.into(), format!("{path}.d").into()]);
    }
    paths
}

impl Kubelet {
    fn take_file(&mut self, root: &Root, path: &str) {
        match root.read_text(path) {
            Ok(Some(text)) => self.take(&text),
            Ok(None) => {}
            Err(error) => self.unknown.push(format!("{path} cannot be read ({error}): clusterDNS there is unknown")),
        }
    }

    fn take_directory(&mut self, root: &Root, path: &str, endings: &[&str]) {
        match root.list(path) {
            Ok(names) => {
                for name in names.iter().filter(|name| endings.iter().any(|ending| name.ends_with(ending))) {
                    self.take_file(root, &format!("{path}/{name}"));
                }
            }
            Err(error) => self.unknown.push(format!("{path} cannot be listed ({error}): clusterDNS there is unknown")),
        }
    }

    /// Takes one file; what it says replaces what earlier ones said, as kubelet and k3s do.
    fn take(&mut self, text: &str) {
        let document = yaml::Document::new(text);
        self.set_cluster_dns(&document.list("clusterDNS"));
        self.set_cluster_dns(&split(&document.list("cluster-dns")));
        self.set_node_ips(&split(&document.list("node-ip")));
        let domain = |key| document.list(key).into_iter().next();
        self.cluster_domain =
            domain("clusterDomain").or_else(|| domain("cluster-domain")).or_else(|| self.cluster_domain.take());
        // k3s and RKE2 hand these on to kubelet.
        let arguments = document.list("kubelet-arg");
        let flags = Flags::parse(arguments.iter().map(String::as_str));
        self.set_cluster_dns(&flags.cluster_dns);
        self.set_node_ips(&flags.node_ip);
    }

    fn set_cluster_dns(&mut self, texts: &[String]) {
        set(&mut self.cluster_dns, texts);
    }

    fn set_node_ips(&mut self, texts: &[String]) {
        set(&mut self.node_ips, texts);
    }
}

fn set(addresses: &mut Vec<IpAddr>, texts: &[String]) {
    if !texts.is_empty() {
        *addresses = texts.iter().filter_map(|text| text.parse().ok()).collect();
    }
}

/// Lists in one word, with commas.
fn split(words: &[String]) -> Vec<String> {
    words
        .iter()
        .flat_map(|word| word.split(','))
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}
