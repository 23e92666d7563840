//! The flags of kubelet that matter here, on its command line or where k3s and RKE2 hand them on; and those of k3s and
//! RKE2, which have some of the same names.
//!
//! k3s writes a title over its command line, so that only the unit that starts it still has its flags.

use super::split;

/// Flags of kubelet, k3s or RKE2; empty where not given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) config: Option<String>,
    /// `--config-dir`.
    pub(crate) config_directory: Option<String>,
    pub(super) cluster_dns: Vec<String>,
    pub(super) cluster_domain: Option<String>,
    pub(super) node_ip: Vec<String>,
    /// `--resolv-conf`.
    pub(crate) resolv_conf: Option<String>,
    /// Networks of Services (k3s and RKE2 only).
    pub(super) service_networks: Vec<String>,
}

impl Flags {
    /// `--name=value`, `--name value`, and `name=value`, as in k3s' `kubelet-arg`.
    #[must_use]
    pub(crate) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut flags = Self::default();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let bare = word.trim_start_matches('-');
            let (name, value) = match bare.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => match words.next_if(|next| !next.starts_with('-')) {
                    Some(value) => (bare, value.to_owned()),
                    None => continue,
                },
            };
            match name {
                "config" => flags.config = Some(value),
                "config-dir" => flags.config_directory = Some(value),
                "cluster-dns" => flags.cluster_dns.extend(split(&[value])),
                "cluster-domain" => flags.cluster_domain = Some(value),
                "resolv-conf" => flags.resolv_conf = Some(value),
                "service-cidr" => flags.service_networks.extend(split(&[value])),
                "node-ip" => flags.node_ip = split(&[value]),
                _ => {}
            }
        }
        flags
    }

    /// Reads the flags in the last `ExecStart=` of a unit file (systemd.service(5)).
    pub(super) fn of_unit(text: &str) -> Self {
        let joined = text.replace("\\\n", " ");
        let command = joined.lines().filter_map(|line| line.trim().strip_prefix("ExecStart=")).next_back();
        // k3s' installer puts each word into quotation marks of its own.
        let words = command.unwrap_or_default().split_whitespace().map(|word| word.trim_matches(['\'', '"']));
        Self::parse(words.skip(1))
    }
}
