//! systemd-resolved: its own list of servers, resolved.conf with its drop-ins, its stubs, and whether there are
//! delegates, or links with settings that it keeps to itself. What its links were told by systemd-networkd is in that
//! program's files.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::link::{Encryption, Validation, boolean};
use super::{dropins, entry};
use crate::discovery::listed::{Listed, listed};
use crate::discovery::reader::{Fact, Reader};
use crate::discovery::resolv_conf::ResolvConf;
use crate::upstream::server::DNS_PORT;

/// The directory of its files.
pub(in crate::discovery) const DIRECTORY: &str = "/run/systemd/resolve";
/// The servers of all links, merged.
pub(in crate::discovery) const RESOLV_CONF: &str = "/run/systemd/resolve/resolv.conf";
/// A file for each link that was told something over D-Bus (`resolvectl`, NetworkManager, VPNs), by index; for root and
/// resolved itself alone. A link that networkd manages has none.
const LINK_STATE: &str = "/run/systemd/resolve/netif";
/// The main file of its configuration, and the directory of its drop-ins, each below several directories.
const MAIN: &str = "resolved.conf";
const DROPINS: &str = "resolved.conf.d";
/// Where delegates are, below the same directories, and how their names end (systemd.dns-delegate(5), systemd 258).
const DELEGATES: &str = "dns-delegate.d";
const DELEGATE: &str = ".dns-delegate";
/// The sockets of all programs.
const SOCKETS: &str = "/proc/self/net/udp";
/// Size of an empty directory on a tmpfs, in bytes; each entry adds to it.
const EMPTY_DIRECTORY: u64 = 40;

/// The stub that passes messages on as they are, where resolved has it.
pub(in crate::discovery) const PROXY_STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 54);
/// The stub that is in stub-resolv.conf; it strips what it does not know.
pub(in crate::discovery) const STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// What resolved tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Its list of servers.
    pub conf: Fact<ResolvConf>,
    /// resolved.conf with its drop-ins.
    pub global: Global,
    /// Whether domains are delegated to servers of their own.
    pub has_delegates: bool,
    /// Whether a link was told something over D-Bus, which no file shows to others.
    pub has_hidden_links: bool,
    /// Its stub.
    pub stub: Stub,
}

/// resolved.conf with its drop-ins, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Global {
    /// `DNS=`.
    pub servers: Vec<Listed>,
    /// `FallbackDNS=`.
    pub fallback: Vec<Listed>,
    /// `Domains=`, those for searching.
    pub search: Vec<String>,
    /// `Domains=`, those for routing, which begin with `~` there.
    pub routes: Vec<String>,
    /// `DNSOverTLS=`.
    pub encryption: Option<Encryption>,
    /// `DNSSEC=`.
    pub validation: Option<Validation>,
}

/// Whether a stub can be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stub {
    /// The best one that listens.
    Listens(Ipv4Addr),
    /// None listens, though the configuration has one: resolved is starting, or gone.
    Away,
    /// The configuration has none.
    Disabled,
    /// What listens cannot be read.
    #[default]
    Unknown,
}

/// Where changes show.
pub(super) fn paths() -> impl Iterator<Item = String> {
    let own = [RESOLV_CONF, LINK_STATE].map(str::to_owned);
    own.into_iter().chain(
        dropins::DIRECTORIES
            .into_iter()
            .flat_map(|directory| [MAIN, DROPINS, DELEGATES].map(|name| format!("{directory}/{name}"))),
    )
}

impl Resolved {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let conf = reader.resolv_conf(RESOLV_CONF);
        let (global, stub_disabled) = configuration(reader);
        let stub = stub(reader, stub_disabled);
        let has_delegates = has_delegates(reader);
        Self { conf, global, has_delegates, has_hidden_links: has_hidden_links(reader), stub }
    }

    /// The servers of its own list.
    #[must_use]
    pub(crate) fn servers(&self) -> Vec<Listed> {
        self.conf.known().map(|conf| listed(conf, RESOLV_CONF)).unwrap_or_default()
    }
}

/// Whether any delegate is there. Of files with the same name that of the most important directory counts, also where
/// it says that there is none.
fn has_delegates(reader: &mut Reader<'_>) -> bool {
    let mut delegates = BTreeMap::new();
    for directory in dropins::DIRECTORIES {
        for name in reader.names(&format!("{directory}/{DELEGATES}")) {
            if name.ends_with(DELEGATE) {
                delegates.entry(name.clone()).or_insert_with(|| format!("{directory}/{DELEGATES}/{name}"));
            }
        }
    }
    delegates.values().any(|path| !dropins::is_masked(path, reader))
}

/// Whether any link has a file of its own. Where the directory may not be listed, its size tells, as far as it can.
fn has_hidden_links(reader: &Reader<'_>) -> bool {
    match reader.root().list(LINK_STATE) {
        Ok(names) => names.iter().any(|name| name.parse::<u32>().is_ok()),
        Err(_) => {
            std::fs::metadata(reader.root().path(LINK_STATE)).is_ok_and(|directory| directory.len() > EMPTY_DIRECTORY)
        }
    }
}

fn stub(reader: &mut Reader<'_>, is_disabled: bool) -> Stub {
    let sockets = reader.text(SOCKETS);
    let listening =
        sockets.known().map(|sockets| [PROXY_STUB, STUB].into_iter().find(|address| listens(sockets, *address)));
    match listening {
        Some(Some(address)) => Stub::Listens(address),
        _ if is_disabled => Stub::Disabled,
        Some(None) => Stub::Away,
        None => Stub::Unknown,
    }
}

/// Whether /proc/self/net/udp has a socket on port 53 of `address`, which it shows as a number in the machine's byte
/// order.
fn listens(sockets: &str, address: Ipv4Addr) -> bool {
    let wanted = format!("{:08X}:{DNS_PORT:04X}", u32::from_ne_bytes(address.octets()));
    sockets.lines().any(|line| line.split_ascii_whitespace().nth(1) == Some(&wanted))
}

/// resolved.conf, and whether it has no stub over UDP.
fn configuration(reader: &mut Reader<'_>) -> (Global, bool) {
    let mut global = Global::default();
    let mut stub_disabled = false;
    for assignment in dropins::read(MAIN, "Resolve", reader) {
        let value = assignment.value.as_str();
        match assignment.key.as_str() {
            "DNS" => add(&mut global.servers, &assignment, reader),
            "FallbackDNS" => add(&mut global.fallback, &assignment, reader),
            // An empty assignment takes back all before it.
            "Domains" if value.is_empty() => {
                global.search.clear();
                global.routes.clear();
            }
            "Domains" => {
                for word in value.split_ascii_whitespace() {
                    match word.strip_prefix('~') {
                        Some(route) => global.routes.push(route.to_owned()),
                        None => global.search.push(word.to_owned()),
                    }
                }
            }
            "DNSOverTLS" => global.encryption = Encryption::parse(value),
            "DNSSEC" => global.validation = Validation::parse(value),
            "DNSStubListener" => {
                stub_disabled = boolean(value) == Some(false) || value.eq_ignore_ascii_case("tcp");
            }
            _ => {}
        }
    }
    (global, stub_disabled)
}

fn add(list: &mut Vec<Listed>, assignment: &dropins::Assignment, reader: &mut Reader<'_>) {
    if assignment.value.is_empty() {
        list.clear();
    }
    let source: Arc<str> = assignment.path.as_str().into();
    for word in assignment.value.split_ascii_whitespace() {
        match entry::parse(word) {
            Some((server, tls_name)) => {
                list.push(Listed { tls_name, ..Listed::new(server, &source, Some(assignment.line)) });
            }
            None => reader.note(format!("{}:{}: \"{word}\" is not an address", assignment.path, assignment.line)),
        }
    }
}
