//! Turns the settings, as people write them, into what each folder takes.

use std::net::IpAddr;
use std::time::Duration;

use crate::address::Wanted;
use crate::address::choose::{self, Place, Told};
use crate::admit::acl::Allowed;
use crate::cache::{self, TtlBounds};
use crate::config::{self, Allow, Listen, Settings};
use crate::discovery::kubelet::Kubelet;
use crate::front::tcp::TcpLimits;

/// Answers over TCP that are due may take so long when the service ends.
const DRAIN: Duration = Duration::from_secs(2);

/// What is wanted of [`crate::address::choose()`]; `previous` are the addresses listened on already.
#[must_use]
pub fn wanted(settings: &Settings, kubelet: &Kubelet, previous: Vec<IpAddr>) -> Wanted {
    Wanted {
        places: settings.listen.iter().map(place).collect(),
        families: families(settings.families),
        node_ip: settings.node_ip.clone(),
        told: Told { node_ip: kubelet.node_ips.clone(), cluster_dns: kubelet.cluster_dns.clone() },
        previous,
    }
}

fn place(listen: &Listen) -> Place {
    match listen {
        Listen::Node => Place::Node { port: crate::upstream::server::DNS_PORT },
        Listen::Address(server) => {
            Place::Address { ip: server.ip(), link: server.scope().map(str::to_owned), port: server.port() }
        }
        Listen::Interface { name, port } => Place::Interface { name: name.to_string(), port: *port },
    }
}

fn families(families: config::Families) -> choose::Families {
    match families {
        config::Families::Auto => choose::Families::Auto,
        config::Families::Ipv4 => choose::Families::V4,
        config::Families::Ipv6 => choose::Families::V6,
        config::Families::Both => choose::Families::Both,
    }
}

pub(super) fn tcp_limits(limits: &config::Limits) -> TcpLimits {
    TcpLimits {
        connections: to_usize(limits.tcp_connections),
        in_flight: to_usize(limits.tcp_pipelined),
        idle: limits.tcp_idle,
        drain: DRAIN,
    }
}

pub(super) fn allowed(allow: &[Allow]) -> Allowed {
    let mut allowed = Allowed::default();
    for one in allow {
        match one {
            Allow::Local => allowed.local = true,
            Allow::Private => allowed.private = true,
            Allow::Network(network) => allowed.networks.push(*network),
        }
    }
    allowed
}

pub(super) fn cache_limits(settings: &config::Cache) -> cache::Limits {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let (ttl_min, ttl_max) = (seconds(settings.ttl_min), seconds(settings.ttl_max));
    cache::Limits {
        entries: to_usize(settings.max_entries),
        bytes: usize::try_from(settings.max_bytes).unwrap_or(usize::MAX),
        ttl: TtlBounds::new(ttl_min, ttl_max),
        negative_ttl: TtlBounds::new(ttl_min, ttl_max.min(seconds(settings.negative_ttl_max))),
        failure_ttl: seconds(settings.failure_ttl),
        stale_max: seconds(settings.stale_max),
        prefetch: settings.prefetch,
    }
}

pub(super) fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
