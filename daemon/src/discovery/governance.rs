//! Whose word counts: a program's files are a source in their own right only where that program governs
//! `/etc/resolv.conf`, which is what the node itself asks.
//!
//! It does where that file leads into its directory, names nothing but loopback addresses that the program is behind,
//! or lists the program's servers in the program's order. A resolv.conf kept by hand is the node's will, and a program
//! that is gone leaves its files behind. Where the file names Onward itself it says nothing of upstreams, and every
//! program may speak. Pure.

use std::net::{IpAddr, SocketAddr};

use super::listed::Listed;
use super::programs::resolved::{DIRECTORY as RESOLVED_DIRECTORY, PROXY_STUB, STUB};
use super::programs::{Programs, networkmanager, resolvconf};
use super::reader::Fact;
use super::source_name::SourceName;
use super::unwrap;
use super::vet::{Refusal, Rules};
use crate::kubelet_limits;

/// The file of systemd's that names its stub, and to which hosts may link.
const STATIC_STUB_FILES: [&str; 2] = ["/usr/lib/systemd/resolv.conf", "/lib/systemd/resolv.conf"];

/// Returns whether a source stands aside: the node itself does not ask its servers.
#[must_use]
pub(super) fn is_bystander(name: &SourceName, programs: &Programs, rules: &Rules<'_>) -> bool {
    let host = Host::of(programs, rules);
    match name {
        SourceName::File(_) => false,
        _ if programs.host.conf == Fact::Unknown || host.asks_us => false,
        SourceName::Resolved => !host.is_governed_by_resolved(programs),
        // What it knows it gives to resolved.
        SourceName::Networkd => {
            !host.is_governed_by_resolved(programs) && !host.lists_the_same(&programs.networkd.servers())
        }
        SourceName::NetworkManager => {
            let facts = &programs.network_manager;
            !programs.host.leads_into(networkmanager::DIRECTORY)
                && !host.points_to(|ip| facts.points_to(ip, &programs.host))
                && !host.lists_the_same(&facts.given_servers())
                && !host.lists_the_same(&facts.real_servers())
        }
        SourceName::Resolvconf => {
            !resolvconf::DIRECTORIES.iter().any(|directory| programs.host.leads_into(directory))
                && !host.points_to(|ip| programs.resolvconf.points_to(ip))
                && !host.lists_the_same(&unwrap::resolvconf_servers(programs))
        }
    }
}

/// Whose word `/etc/resolv.conf` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Governor {
    /// systemd-resolved.
    Resolved,
    /// NetworkManager.
    NetworkManager,
    /// resolvconf or openresolv.
    Resolvconf,
    /// Onward: it is a link to the file for kubelet.
    Onward,
    /// No program that is known: it is kept by hand, or is not there.
    Nobody,
}

/// Says whose word `/etc/resolv.conf` is. `own`: where Onward listens.
#[must_use]
pub(crate) fn governor(programs: &Programs, own: &[SocketAddr]) -> Governor {
    if programs.host.is_ours {
        return Governor::Onward;
    }
    let rules = Rules { own, ..Rules::default() };
    let programs_that_write = [
        (SourceName::Resolved, Governor::Resolved),
        (SourceName::NetworkManager, Governor::NetworkManager),
        (SourceName::Resolvconf, Governor::Resolvconf),
    ];
    // Each governs a file that names us alone, as far as a source is concerned; here it must have been there before.
    let asks_us = Host::of(programs, &rules).asks_us;
    let governs = |name: &SourceName| match name {
        SourceName::Resolved if asks_us => programs.host.leads_into(RESOLVED_DIRECTORY),
        SourceName::NetworkManager if programs.host.by_network_manager => true,
        _ if asks_us => false,
        _ => !is_bystander(name, programs, &rules),
    };
    let found = programs_that_write.into_iter().find(|(name, _)| governs(name));
    found.map_or(Governor::Nobody, |(_, governor)| governor)
}

/// What the host's file names, apart from ourselves.
struct Host {
    servers: Vec<IpAddr>,
    asks_us: bool,
}

impl Host {
    fn of(programs: &Programs, rules: &Rules<'_>) -> Self {
        let all = programs.host.servers();
        let is_ours = |listed: &&Listed| rules.vet(&listed.server) == Err(Refusal::OwnListener);
        let ours = all.iter().filter(is_ours).count();
        let others = all.iter().filter(|listed| !is_ours(listed));
        let servers: Vec<_> = others.map(|listed| listed.server.ip().to_canonical()).collect();
        Self { asks_us: servers.is_empty() && (ours > 0 || programs.host.is_ours), servers }
    }

    fn is_governed_by_resolved(&self, programs: &Programs) -> bool {
        programs.host.leads_into(RESOLVED_DIRECTORY)
            || STATIC_STUB_FILES.iter().any(|file| programs.host.leads_into(file))
            || self.points_to(|ip| ip == IpAddr::V4(STUB) || ip == IpAddr::V4(PROXY_STUB))
            || self.lists_the_same(&programs.resolved.servers())
    }

    /// Whether it names loopback addresses only, among them one that a program is behind.
    fn points_to(&self, is_behind: impl Fn(IpAddr) -> bool) -> bool {
        self.servers.iter().all(IpAddr::is_loopback) && self.servers.iter().any(|ip| is_behind(*ip))
    }

    /// Whether it lists a program's servers in the same order, as far as files can.
    fn lists_the_same(&self, list: &[Listed]) -> bool {
        let mut programs: Vec<IpAddr> = list.iter().map(|listed| listed.server.ip().to_canonical()).collect();
        if self.servers.len() >= kubelet_limits::SERVERS {
            programs.truncate(self.servers.len());
        }
        !programs.is_empty() && programs == self.servers
    }
}
