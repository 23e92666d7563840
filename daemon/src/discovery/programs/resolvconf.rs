//! resolvconf: the record of each interface, of Debian's program (`/run/resolvconf/interface`) or of openresolv
//! (`/run/resolvconf/interfaces`), in the order in which the program itself takes them.

use super::glob;
use crate::discovery::listed::{Listed, listed};
use crate::discovery::reader::Reader;

const DEBIAN: &str = "/run/resolvconf/interface";
const OPENRESOLV: &str = "/run/resolvconf/interfaces";
/// The record of a dnsmasq on loopback.
pub(in crate::discovery) const DNSMASQ_RECORD: &str = "lo.dnsmasq";
/// The directories into which the host's file leads where resolvconf writes it.
pub(in crate::discovery) const DIRECTORIES: [&str; 2] = ["/run/resolvconf", "/etc/resolvconf/run"];

/// Where changes show.
pub(super) const PATHS: [&str; 4] = [DEBIAN, OPENRESOLV, "/run/resolvconf/exclusive", "/run/resolvconf/metrics"];

/// openresolv's own order: loopback, then what comes and goes (its `interface_order` and `dynamic_order`).
const OPENRESOLV_ORDER: [&str; 9] =
    ["lo", "lo[0-9]*", "tap[0-9]*", "tun[0-9]*", "vpn", "vpn[0-9]*", "wg[0-9]*", "ppp[0-9]*", "ippp[0-9]*"];

/// What one interface's program left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The record's name: the interface, and on Debian the program after a dot.
    pub name: String,
    /// The servers.
    pub servers: Vec<Listed>,
    /// The search list.
    pub search: Vec<String>,
    /// The options.
    pub options: Vec<String>,
}

/// What resolvconf tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resolvconf {
    /// The records in the order in which they count.
    pub records: Vec<Record>,
    /// Whether they are those of Debian's program, in whose lists a server on loopback hides those after it.
    pub is_debians: bool,
}

impl Resolvconf {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let records = debian(reader);
        if records.iter().any(|record| !record.servers.is_empty()) {
            return Self { records, is_debians: true };
        }
        Self { records: openresolv(reader), is_debians: false }
    }

    /// Whether any record points the host to this address.
    #[must_use]
    pub(crate) fn points_to(&self, ip: std::net::IpAddr) -> bool {
        self.records.iter().flat_map(|record| &record.servers).any(|listed| listed.server.ip().to_canonical() == ip)
    }

    /// The record of a dnsmasq on loopback.
    #[must_use]
    pub(crate) fn dnsmasq(&self) -> Option<&Record> {
        self.records.iter().find(|record| self.is_debians && record.name == DNSMASQ_RECORD)
    }
}

fn debian(reader: &mut Reader<'_>) -> Vec<Record> {
    let names = reader.names(DEBIAN);
    if names.is_empty() {
        return Vec::new();
    }
    let order = reader.text("/etc/resolvconf/interface-order");
    let lines = order.known().map_or("", String::as_str).lines().map(str::trim);
    let patterns: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    records(reader, DEBIAN, ordered(names, &patterns))
}

fn openresolv(reader: &mut Reader<'_>) -> Vec<Record> {
    let mut names = reader.names(OPENRESOLV);
    // Entries are `NUMBER INTERFACE`, or the bare interface in older versions.
    let interface = |entry: &String| entry.rsplit(' ').next().unwrap_or_default().to_owned();
    if let Some(only) = reader.names("/run/resolvconf/exclusive").last().map(interface) {
        // `resolvconf -x`, as of wg-quick: no other interface's servers are asked.
        names.retain(|name| *name == only);
    }
    let metrics: Vec<_> = reader.names("/run/resolvconf/metrics").iter().map(interface).collect();
    let patterns: Vec<&str> = OPENRESOLV_ORDER.into_iter().chain(metrics.iter().map(String::as_str)).collect();
    records(reader, OPENRESOLV, ordered(names, &patterns))
}

fn records(reader: &mut Reader<'_>, directory: &str, names: Vec<String>) -> Vec<Record> {
    let mut records = Vec::new();
    for name in names {
        let path = format!("{directory}/{name}");
        if let Some(conf) = reader.resolv_conf(&path).known() {
            let (servers, options) = (listed(conf, &path), conf.options.words());
            records.push(Record { name, servers, search: conf.search.clone(), options });
        }
    }
    records
}

/// Names in the order of the first pattern that they match; the rest last, by name.
fn ordered(mut names: Vec<String>, patterns: &[&str]) -> Vec<String> {
    let rank = |name: &String| patterns.iter().position(|pattern| glob::matches(pattern, name));
    names.sort_by_cached_key(|name| rank(name).unwrap_or(usize::MAX));
    names
}
