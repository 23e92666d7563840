//! What the cluster's programs on this node are told: kubelet's `clusterDNS`, which must never be an upstream, and
//! `--node-ip`.
//!
//! Read are the files and flags of a running kubelet, the usual places of its configuration, and those of k3s and RKE2.
//! What cannot be read (often it is for root alone) or understood is unknown and said so, never taken for none.

mod flags;
#[cfg(test)]
mod tests;
mod yaml;

use std::net::IpAddr;
use std::path::PathBuf;

use super::root::Root;
use flags::Flags;
use yaml::{Document, NotUnderstood};

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
    /// `--node-ip`: the node's addresses, as far as they are given.
    pub node_ips: Vec<IpAddr>,
    /// In words: what could not be read.
    pub unknown: Vec<String>,
}

/// Reads everything that is there.
#[must_use]
pub(crate) fn read(root: &Root) -> Kubelet {
    let mut kubelet = Kubelet::default();
    let flags = Flags::of_running(root, &mut kubelet.unknown);
    kubelet.take_file(root, flags.config.as_deref().unwrap_or(CONFIG));
    kubelet.take_directory(root, flags.config_directory.as_deref().unwrap_or(CONFIG_DIRECTORY), &[".conf"]);
    for path in DISTRIBUTIONS {
        kubelet.take_file(root, path);
        kubelet.take_directory(root, &format!("{path}.d"), &[".yaml", ".yml"]);
    }
    // Flags beat files.
    kubelet.set_cluster_dns("kubelet's --cluster-dns", &flags.cluster_dns);
    kubelet.set_node_ips(&flags.node_ip);
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
            Ok(Some(text)) => self.take_text(path, &text),
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

    /// Takes the text of the file at `path`. What is not understood is unknown.
    pub fn take_text(&mut self, path: &str, text: &str) {
        if let Err(error) = self.take(path, text) {
            self.unknown.push(format!("{path} is not understood ({error}): clusterDNS there is unknown"));
        }
    }

    /// Takes one file; what it says replaces what earlier ones said, as kubelet and k3s do.
    fn take(&mut self, path: &str, text: &str) -> Result<(), NotUnderstood> {
        let document = Document::read(text)?;
        self.set_cluster_dns(path, &document.list("clusterDNS")?);
        // k3s and RKE2; `key+` adds to what earlier files said there.
        self.set_cluster_dns(path, &split(&document.list("cluster-dns")?));
        self.set_node_ips(&split(&document.list("node-ip")?));
        self.add_cluster_dns(path, &split(&document.list("cluster-dns+")?));
        // k3s and RKE2 hand these on to kubelet.
        for key in ["kubelet-arg", "kubelet-arg+"] {
            let arguments = document.list(key)?;
            let flags = Flags::parse(arguments.iter().map(String::as_str));
            self.set_cluster_dns(path, &flags.cluster_dns);
            self.set_node_ips(&flags.node_ip);
        }
        Ok(())
    }

    fn set_cluster_dns(&mut self, source: &str, texts: &[String]) {
        if !texts.is_empty() {
            self.cluster_dns.clear();
            self.add_cluster_dns(source, texts);
        }
    }

    fn add_cluster_dns(&mut self, source: &str, texts: &[String]) {
        for text in texts {
            match text.trim().parse() {
                Ok(address) => self.cluster_dns.push(address),
                Err(_) => self.unknown.push(format!("{source}: clusterDNS has \"{text}\", which is not an address")),
            }
        }
    }

    fn set_node_ips(&mut self, texts: &[String]) {
        if !texts.is_empty() {
            self.node_ips = texts.iter().filter_map(|text| text.parse().ok()).collect();
        }
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
