//! resolvconf: the record of each interface, of Debian's program (`/run/resolvconf/interface`) or of openresolv
//! (`/run/resolvconf/interfaces`), in the order in which the program itself takes them.

use std::path::PathBuf;

use super::glob;
use super::{Listed, Reading, Source, listed};
use crate::discovery::root::Root;
use crate::discovery::unwrap;

const DEBIAN: &str = "/run/resolvconf/interface";
const OPENRESOLV: &str = "/run/resolvconf/interfaces";

/// openresolv's own order: loopback, then what comes and goes (its `interface_order` and `dynamic_order`).
const OPENRESOLV_ORDER: [&str; 9] =
    ["lo", "lo[0-9]*", "tap[0-9]*", "tun[0-9]*", "vpn", "vpn[0-9]*", "wg[0-9]*", "ppp[0-9]*", "ippp[0-9]*"];

/// resolvconf and openresolv.
#[derive(Debug, Clone, Copy)]
pub struct Resolvconf;

impl Source for Resolvconf {
    fn read(&self, root: &Root) -> Reading {
        let mut reading = Reading::default();
        debian(root, &mut reading);
        if !reading.lists_any() {
            openresolv(root, &mut reading);
        }
        reading
    }

    fn paths(&self) -> Vec<PathBuf> {
        [DEBIAN, OPENRESOLV, "/run/resolvconf/exclusive", "/run/resolvconf/metrics"].map(PathBuf::from).into()
    }
}

fn debian(root: &Root, reading: &mut Reading) {
    let order = reading.text(root, "/etc/resolvconf/interface-order").unwrap_or_default();
    let patterns = order.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let patterns: Vec<&str> = patterns.collect();
    let mut list = Vec::new();
    for record in ordered(reading.names(root, DEBIAN), &patterns) {
        let servers = take(root, &format!("{DEBIAN}/{record}"), reading);
        if record == "lo.dnsmasq" && unwrap::dnsmasq_keeps_nothing(root, reading) {
            continue;
        }
        let ends = servers.iter().any(|listed| listed.server.ip().is_loopback());
        list.extend(servers);
        if ends {
            // As resolvconf does by default: what comes after a server on loopback is there for that server.
            break;
        }
    }
    reading.lists.push(list);
}

fn openresolv(root: &Root, reading: &mut Reading) {
    let mut records = reading.names(root, OPENRESOLV);
    // Entries are `NUMBER INTERFACE`, or the bare interface in older versions.
    let interface = |entry: &String| entry.rsplit(' ').next().unwrap_or_default().to_owned();
    if let Some(only) = reading.names(root, "/run/resolvconf/exclusive").last().map(interface) {
        // `resolvconf -x`, as of wg-quick: nobody else's servers are asked.
        records.retain(|record| *record == only);
    }
    let metrics: Vec<_> = reading.names(root, "/run/resolvconf/metrics").iter().map(interface).collect();
    let patterns: Vec<&str> = OPENRESOLV_ORDER.into_iter().chain(metrics.iter().map(String::as_str)).collect();
    let mut list = Vec::new();
    for record in ordered(records, &patterns) {
        list.extend(take(root, &format!("{OPENRESOLV}/{record}"), reading));
    }
    reading.lists.push(list);
}

/// The servers of one record; its search list and options are added to the reading's.
fn take(root: &Root, path: &str, reading: &mut Reading) -> Vec<Listed> {
    let Some(conf) = reading.resolv_conf(root, path) else { return Vec::new() };
    let list = listed(&conf, path);
    reading.options.extend(conf.options.words());
    reading.search.extend(conf.search);
    list
}

/// Records in the order of the first pattern that they match; the rest last, by name.
fn ordered(mut records: Vec<String>, patterns: &[&str]) -> Vec<String> {
    let rank = |record: &String| patterns.iter().position(|pattern| glob::matches(pattern, record));
    records.sort_by_cached_key(|record| rank(record).unwrap_or(usize::MAX));
    records
}
