//! Debian's dnsmasq, which reads what resolvconf leaves for it, and resolvconf's own list, which depends on it. Pure.

use std::net::IpAddr;

use super::Behind;
use crate::discovery::listed::{Listed, listed};
use crate::discovery::programs::resolvconf::DNSMASQ_RECORD;
use crate::discovery::programs::{DNSMASQ_RESOLV_CONF, Programs};
use crate::discovery::reading::{Reading, is_fit};
use crate::discovery::vet::{Refusal, Rules};

pub(super) fn behind_dnsmasq(ip: IpAddr, programs: &Programs, rules: &Rules<'_>, reading: &mut Reading) -> Behind {
    // Its own record tells the address; without one it is 127.0.0.1, which the package uses.
    let record = programs.resolvconf.dnsmasq();
    let is_at = match record {
        Some(record) => record.servers.iter().any(|listed| listed.server.ip().to_canonical() == ip),
        None => ip == IpAddr::from([127, 0, 0, 1]),
    };
    let left = programs.dnsmasq.left.known();
    // Without a record of its own nothing tells that this dnsmasq has anything to do with resolvconf.
    let list = match (left, record) {
        (Some(conf), _) if is_at => listed(conf, DNSMASQ_RESOLV_CONF),
        (None, Some(_)) if is_at => resolvconf_servers(programs),
        _ => return Behind::Stays,
    };
    let configuration = &programs.dnsmasq.debians;
    if !list.iter().any(|listed| is_fit(listed, rules) && listed.server.ip().to_canonical() != ip) {
        return if configuration.has_servers { Behind::Stays } else { Behind::Nothing(Refusal::StubNamesNone) };
    }
    if let Some(keeps) = &configuration.keeps {
        reading.note(format!("dnsmasq: {keeps}: its stub is asked, for its servers lack that"));
        return Behind::Stays;
    }
    Behind::Servers(list)
}

/// The servers of resolvconf's records, as resolvconf itself lists them. A dnsmasq on loopback that adds nothing is
/// left out: its servers are in the other records.
pub(in crate::discovery) fn resolvconf_servers(programs: &Programs) -> Vec<Listed> {
    let mut list = Vec::new();
    for record in &programs.resolvconf.records {
        if programs.resolvconf.is_debians && record.name == DNSMASQ_RECORD && programs.dnsmasq.debians.keeps.is_none() {
            continue;
        }
        list.extend(record.servers.iter().cloned());
        let is_on_loopback = record.servers.iter().any(|listed| listed.server.ip().is_loopback());
        if programs.resolvconf.is_debians && is_on_loopback {
            // As Debian's resolvconf does by default: what comes after a server on loopback is there for that server.
            break;
        }
    }
    list
}
