//! dnsmasq, that of Debian's package and that which NetworkManager runs: what it reads its servers from, and which of
//! its options make its answers other than those of the servers behind it.

use crate::discovery::reader::{Fact, Reader};
use crate::discovery::resolv_conf::ResolvConf;

/// What resolvconf on Debian leaves for dnsmasq.
pub(in crate::discovery) const RESOLV_CONF: &str = "/run/dnsmasq/resolv.conf";
const CONF: &str = "/etc/dnsmasq.conf";
const DIRECTORY: &str = "/etc/dnsmasq.d";
const NM_DIRECTORY: &str = "/etc/NetworkManager/dnsmasq.d";

/// Where changes show.
pub(super) const PATHS: [&str; 4] = [RESOLV_CONF, CONF, DIRECTORY, NM_DIRECTORY];

/// Options by which dnsmasq answers otherwise than the servers behind it would.
const OPTIONS: [&str; 13] = [
    "server",
    "local",
    "address",
    "rev-server",
    "servers-file",
    "resolv-file",
    "no-resolv",
    "host-record",
    "cname",
    "addn-hosts",
    "hostsdir",
    "dnssec",
    "conf-script",
];

/// What is configured of one dnsmasq.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// Why its answers may be others than those of the servers behind it, in words; nothing where they are the same.
    pub keeps: Option<String>,
    /// Whether it has servers for all names that are not in the file that it reads them from.
    pub has_servers: bool,
}

/// What is known of both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dnsmasq {
    /// What resolvconf leaves for Debian's.
    pub left: Fact<ResolvConf>,
    /// Debian's configuration.
    pub debians: Configuration,
    /// That of NetworkManager's.
    pub network_managers: Configuration,
}

impl Dnsmasq {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            left: reader.resolv_conf(RESOLV_CONF),
            debians: configuration(&[CONF], DIRECTORY, reader),
            network_managers: configuration(&[], NM_DIRECTORY, reader),
        }
    }
}

fn configuration(files: &[&str], directory: &str, reader: &mut Reader<'_>) -> Configuration {
    let unreadable = |path: &str| Configuration { keeps: Some(format!("{path} cannot be read")), has_servers: true };
    let Ok(names) = reader.root().list(directory) else { return unreadable(directory) };
    let names = names.into_iter().map(|name| format!("{directory}/{name}"));
    let mut found = Configuration::default();
    for path in files.iter().map(|path| (*path).to_owned()).chain(names) {
        let Ok(text) = reader.root().read_text(&path) else { return unreadable(&path) };
        for (number, line) in text.iter().flat_map(|text| text.lines()).enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let (key, value) = (key.trim(), value.trim());
            if OPTIONS.contains(&key) && found.keeps.is_none() {
                found.keeps = Some(format!("{path}:{} has `{key}`", number + 1));
            }
            // `server=/domain/address` is for that domain alone.
            let serves_all = matches!(key, "server" | "local") && !value.is_empty() && !value.starts_with('/');
            found.has_servers |= serves_all || matches!(key, "servers-file" | "resolv-file" | "conf-script");
        }
    }
    found
}
