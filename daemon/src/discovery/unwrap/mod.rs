//! A stub on loopback is not an answer but a question: which servers does the program behind it ask?
//!
//! It is unwrapped only where it is known who is behind it and nothing is lost by asking that program's servers
//! ourselves: no encryption, no validation, no routing of domains. Otherwise the stub is itself the server; so is one
//! that nothing tells of (stubby, dnscrypt-proxy, a dnsmasq set up by hand, Docker's 127.0.0.11). A stub whose program
//! is known and names no server is no server either, whether it answers or not. Pure: facts in, servers out.

mod dnsmasq;
mod resolved;

use std::net::IpAddr;

use super::listed::Listed;
use super::programs::Programs;
use super::programs::resolved::{PROXY_STUB, STUB};
use super::reader::Fact;
use super::reading::{Reading, is_fit};
use super::vet::{Refusal, Rules};
pub(super) use dnsmasq::resolvconf_servers;
pub(super) use resolved::resolved;

/// What is behind a stub.
enum Behind {
    /// These servers, to be asked in its place.
    Servers(Vec<Listed>),
    /// No server, or none that may be asked: the stub is not asked either.
    Nothing(Refusal),
    /// Not known, or more than its servers have: the stub is asked.
    Stays,
}

/// Returns a list with each stub replaced by the servers behind it, where that can be. What is to be told is added to
/// `reading`.
pub(super) fn all(list: Vec<Listed>, programs: &Programs, rules: &Rules<'_>, reading: &mut Reading) -> Vec<Listed> {
    let mut servers = Vec::with_capacity(list.len());
    for mut stub in list {
        let behind = if stub.may_be_stub() { behind(&stub, programs, rules, reading) } else { Behind::Stays };
        match behind {
            Behind::Servers(behind) => {
                if let Some(first) = behind.first() {
                    reading.note(format!("{} is a stub: asking what is behind it, by {}", stub.server, first.source));
                }
                servers.extend(behind);
            }
            Behind::Nothing(refusal) => {
                stub.refusal = Some(refusal);
                servers.push(stub);
            }
            Behind::Stays => servers.push(stub),
        }
    }
    servers
}

fn behind(stub: &Listed, programs: &Programs, rules: &Rules<'_>, reading: &mut Reading) -> Behind {
    let ip = stub.server.ip().to_canonical();
    if ip == IpAddr::V4(STUB) || ip == IpAddr::V4(PROXY_STUB) {
        return behind_resolved(programs, rules, reading);
    }
    behind_network_manager(ip, programs, rules, reading)
        .unwrap_or_else(|| dnsmasq::behind_dnsmasq(ip, programs, rules, reading))
}

fn behind_resolved(programs: &Programs, rules: &Rules<'_>, reading: &mut Reading) -> Behind {
    let resolved = resolved(programs, rules);
    reading.encrypts |= resolved.encrypts;
    reading.is_degraded |= resolved.is_degraded;
    resolved.notes.into_iter().for_each(|note| reading.note(note));
    let is_waited_for = resolved.encrypts && resolved.lists.is_empty() && programs.resolved.conf.known().is_some();
    if let Some(list) = resolved.lists.into_iter().find(|list| list.iter().any(|listed| is_fit(listed, rules))) {
        return Behind::Servers(list);
    }
    if is_waited_for {
        return Behind::Nothing(Refusal::StubAway);
    }
    // Where NetworkManager feeds resolved, it has the list too.
    let fed = programs.network_manager.points_to(IpAddr::V4(STUB), &programs.host)
        && resolved::loses_nothing(programs, rules);
    let list = if fed { programs.network_manager.real_servers() } else { Vec::new() };
    if list.iter().any(|listed| is_fit(listed, rules)) {
        return Behind::Servers(list);
    }
    match programs.resolved.conf {
        Fact::Known(_) => Behind::Nothing(Refusal::StubNamesNone),
        Fact::Absent | Fact::Unknown => Behind::Stays,
    }
}

/// A dnsmasq that NetworkManager runs (`dns=dnsmasq`): it is this one if NetworkManager points the host to the address.
fn behind_network_manager(ip: IpAddr, programs: &Programs, rules: &Rules<'_>, reading: &mut Reading) -> Option<Behind> {
    let facts = &programs.network_manager;
    if !facts.points_to(ip, &programs.host) || facts.real == Fact::Absent {
        return None;
    }
    let real = facts.real_servers();
    let by_hand = real.iter().any(|listed| listed.server.ip().to_canonical() == ip);
    if facts.real == Fact::Unknown || by_hand {
        return Some(Behind::Stays);
    }
    let configuration = &programs.dnsmasq.network_managers;
    if !real.iter().any(|listed| is_fit(listed, rules)) {
        return Some(if configuration.has_servers { Behind::Stays } else { Behind::Nothing(Refusal::StubNamesNone) });
    }
    if let Some(keeps) = &configuration.keeps {
        reading.note(format!("dnsmasq of NetworkManager: {keeps}: its stub is asked, for its servers lack that"));
        return Some(Behind::Stays);
    }
    if facts.connections > 1 {
        reading.note(format!(
            "dnsmasq of NetworkManager serves {} connections, and which domains are for which it was told over D-Bus: its \
             stub is asked",
            facts.connections
        ));
        return Some(Behind::Stays);
    }
    Some(Behind::Servers(real))
}
