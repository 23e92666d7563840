//! What the cluster's programs on this node are told: kubelet's `clusterDNS`, which must never be an upstream,
//! `--node-ip`, and more that people ask for.
//!
//! Read are the files and flags of a running kubelet, the usual places of its configuration, and those of k3s and RKE2.
//! What cannot be read (often it is for root alone) or understood is unknown and said so, never taken for none. Where
//! this process does not see all by itself, a file counts that another one left (`facts.rs`).

pub(crate) mod facts;
pub(crate) mod flags;
pub(crate) mod running;
#[cfg(test)]
mod tests;
pub(crate) mod yaml;

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::root::Root;
use flags::Flags;
use running::Running;
use yaml::{Document, NotUnderstood};

/// Where kubeadm puts kubelet's configuration, and the usual directory of its drop-ins.
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const CONFIG_DIRECTORY: &str = "/etc/kubernetes/kubelet.conf.d";
/// Configurations of k3s and RKE2; drop-ins are in the directory of the same name with `.d`.
const DISTRIBUTIONS: [&str; 2] = ["/etc/rancher/k3s/config.yaml", "/etc/rancher/rke2/config.yaml"];

/// The units that their installers write.
const DISTRIBUTION_UNITS: [&str; 4] = [
    "/etc/systemd/system/k3s.service",
    "/etc/systemd/system/k3s-agent.service",
    "/usr/local/lib/systemd/system/rke2-server.service",
    "/usr/local/lib/systemd/system/rke2-agent.service",
];

/// The programs of their name.
const DISTRIBUTION_STARTERS: [&str; 2] = ["k3s", "rke2"];
/// Their networks of Services where `service-cidr` names none.
const DEFAULT_SERVICES: [&str; 2] = ["10.43.0.0/16", "fd00:43::/112"];
/// The number, in a network of Services, of the cluster's DNS.
const DNS_HOST: u32 = 10;

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kubelet {
    /// The addresses of the cluster's DNS Service.
    pub cluster_dns: Vec<IpAddr>,
    /// The domain of the cluster's names: `cluster.local`, mostly.
    pub cluster_domain: Option<String>,
    /// `--node-ip`: the node's addresses, as far as they are given.
    pub node_ips: Vec<IpAddr>,
    /// The resolv.conf that pods with the node's DNS are given; `None` for kubelet's default.
    pub resolv_conf: Option<String>,
    /// Which programs that start pods run: `kubelet`, `k3s` and others of their kind.
    pub starts_pods: Vec<String>,
    /// Whether k3s or RKE2 is configured here, whose cluster has a DNS though nothing names its address.
    pub has_distribution: bool,
    /// Networks of Services that k3s or RKE2 are told, until all files are read.
    service_networks: Vec<IpNet>,
    /// In words: what could not be read.
    pub unknown: Vec<String>,
}

/// Reads everything that is there: by itself, or from the file of facts where this process does not see all.
#[must_use]
pub(crate) fn read(root: &Root) -> Kubelet {
    let (mut own, is_hidden) = look(root);
    if own.unknown.is_empty() && !is_hidden {
        return own; // fresher than any file
    }
    match facts::read(root) {
        Ok(Some(told)) => return Kubelet { has_distribution: own.has_distribution, ..told },
        Ok(None) if is_hidden => own.unknown.push(format!(
            "other users' processes are hidden from this one, and {}, which onward-cluster.service writes, is not there: \
             kubelet's flags are unknown",
            facts::PATH
        )),
        Ok(None) => {}
        Err(why) => own.unknown.push(format!("{} is not understood ({why}): what kubelet is told is unknown", facts::PATH)),
    }
    own
}

/// Reads what this process sees by itself.
#[must_use]
pub(crate) fn read_by_itself(root: &Root) -> Kubelet {
    look(root).0
}

/// Returns what this process sees, and whether processes are hidden from it.
fn look(root: &Root) -> (Kubelet, bool) {
    let Running { starters, flags, is_hidden, unknown } = Running::read(root);
    let mut kubelet = Kubelet { starts_pods: starters, unknown: unknown.into_iter().collect(), ..Kubelet::default() };
    kubelet.take_file(root, flags.config.as_deref().unwrap_or(CONFIG));
    kubelet.take_directory(root, flags.config_directory.as_deref().unwrap_or(CONFIG_DIRECTORY), &[".conf"]);
    for path in DISTRIBUTIONS {
        kubelet.has_distribution |= root.path(path).symlink_metadata().is_ok();
        kubelet.take_file(root, path);
        kubelet.take_directory(root, &format!("{path}.d"), &[".yaml", ".yml"]);
    }
    // Flags beat files.
    for path in DISTRIBUTION_UNITS {
        if let Ok(Some(text)) = root.read_text(path) {
            kubelet.take_flags(path, Flags::of_unit(&text));
        }
    }
    kubelet.take_flags("kubelet's --cluster-dns", flags);
    let networks = std::mem::take(&mut kubelet.service_networks);
    if kubelet.cluster_dns.is_empty() {
        kubelet.cluster_dns = networks.iter().filter_map(dns_in).collect();
    }
    (kubelet, is_hidden)
}

/// The files and directories that [`read`] reads now, save in /proc.
pub(super) fn paths(root: &Root) -> Vec<PathBuf> {
    let flags = Running::read(root).flags;
    let mut paths = vec![
        PathBuf::from(facts::PATH),
        PathBuf::from(flags.config.as_deref().unwrap_or(CONFIG)),
        flags.config_directory.as_deref().unwrap_or(CONFIG_DIRECTORY).into(),
    ];
    for path in DISTRIBUTIONS {
        paths.extend([path.into(), format!("{path}.d").into()]);
    }
    paths.extend(DISTRIBUTION_UNITS.map(PathBuf::from));
    paths
}

/// Returns the address in a network of Services that k3s and RKE2 give to the cluster's DNS: the tenth.
fn dns_in(network: &IpNet) -> Option<IpAddr> {
    let ip = match network.network() {
        IpAddr::V4(first) => IpAddr::from((u32::from(first) | DNS_HOST).to_be_bytes()),
        IpAddr::V6(first) => IpAddr::from((u128::from(first) | u128::from(DNS_HOST)).to_be_bytes()),
    };
    network.contains(&ip).then_some(ip)
}

impl Kubelet {
    /// Returns what no upstream may be: the cluster's DNS; where k3s or RKE2 are told none, what it is by default.
    /// Which families pods have is not to be learnt from a default.
    #[must_use]
    pub(crate) fn never_asked(&self) -> Vec<IpAddr> {
        let is_distribution = |starter: &String| DISTRIBUTION_STARTERS.contains(&starter.as_str());
        if self.cluster_dns.is_empty() && (self.has_distribution || self.starts_pods.iter().any(is_distribution)) {
            return DEFAULT_SERVICES.iter().filter_map(|text| dns_in(&text.parse().ok()?)).collect();
        }
        self.cluster_dns.clone()
    }

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
        let mut set = |field: fn(&mut Self) -> &mut Option<String>, key: &str| {
            let value = document.list(key)?.into_iter().next();
            if value.is_some() {
                *field(self) = value;
            }
            Ok::<_, NotUnderstood>(())
        };
        for key in ["clusterDomain", "cluster-domain"] {
            set(|kubelet| &mut kubelet.cluster_domain, key)?;
        }
        for key in ["resolvConf", "resolv-conf"] {
            set(|kubelet| &mut kubelet.resolv_conf, key)?;
        }
        // k3s and RKE2; `key+` adds to what earlier files said there.
        self.set_cluster_dns(path, &split(&document.list("cluster-dns")?));
        self.set_service_networks(path, &split(&document.list("service-cidr")?));
        self.set_node_ips(&split(&document.list("node-ip")?));
        self.add_cluster_dns(path, &split(&document.list("cluster-dns+")?));
        // k3s and RKE2 hand these on to kubelet.
        for key in ["kubelet-arg", "kubelet-arg+"] {
            let arguments = document.list(key)?;
            self.take_flags(path, Flags::parse(arguments.iter().map(String::as_str)));
        }
        Ok(())
    }

    /// Takes what flags say that are given; `source` names them for people.
    fn take_flags(&mut self, source: &str, flags: Flags) {
        self.set_cluster_dns(source, &flags.cluster_dns);
        self.set_service_networks(source, &flags.service_networks);
        self.set_node_ips(&flags.node_ip);
        self.cluster_domain = flags.cluster_domain.or_else(|| self.cluster_domain.take());
        self.resolv_conf = flags.resolv_conf.or_else(|| self.resolv_conf.take());
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

    fn set_service_networks(&mut self, source: &str, texts: &[String]) {
        if !texts.is_empty() {
            self.service_networks.clear();
        }
        for text in texts {
            match text.parse() {
                Ok(network) => self.service_networks.push(network),
                Err(_) => self.unknown.push(format!(
                    "{source}: service-cidr has \"{text}\", which is not a network: clusterDNS is unknown"
                )),
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
