//! Which of a link's addresses may be the node's at all, and which of several is the best. Pure.
//!
//! Where to look (which link, which family) is for [`mod@super::choose`].

use std::cmp::Reverse;
use std::net::IpAddr;

use super::dedicated;
use super::table::{Address, Link, Route, Scope, Tables};
use crate::net::reach;

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of that address.
    #[must_use]
    pub(crate) fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Kinds of links that carry packets inside packets.
const TUNNELS: [&str; 18] = [
    "tun",
    "wireguard",
    "ipip",
    "sit",
    "ip6tnl",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "erspan",
    "ip6erspan",
    "vti",
    "vti6",
    "xfrm",
    "vxlan",
    "geneve",
    "gtp",
    "bareudp",
];
/// Links that hold the addresses of Services, of the node-local cache, and our own dedicated ones.
const HOLDERS: [&str; 3] = ["kube-ipvs0", "nodelocaldns", dedicated::LINK];
/// How the names of links begin that container runtimes and pod networks make. With a default route nobody need know
/// them.
const INNER: [&str; 24] = [
    "docker",
    "br-",
    "cni",
    "cbr",
    "flannel",
    "cilium_",
    "lxc",
    "cali",
    "vxlan.calico",
    "tunl",
    "veth",
    "eni",
    "gke",
    "azv",
    "virbr",
    "lxdbr",
    "podman",
    "kube-bridge",
    "weave",
    "antrea-",
    "ovn-k8s",
    "genev_sys",
    "tailscale",
    "nerdctl",
];

/// Whether a link never carries the node's address: tunnels, kube-ipvs0, nodelocaldns, onward0.
#[must_use]
pub(crate) fn is_barred(link: &Link) -> bool {
    TUNNELS.contains(&link.kind.as_str()) || HOLDERS.contains(&link.name.as_str())
}

/// Whether a link looks made for containers: asked only where no default route shows the right one.
#[must_use]
pub(crate) fn is_inner(link: &Link) -> bool {
    link.loopback || is_barred(link) || INNER.iter().any(|start| link.name.starts_with(start))
}

/// The addresses of a link and family that last and reach beyond the link, in the kernel's order.
pub(crate) fn lasting<'a>(tables: &'a Tables, link: &Link, family: Family) -> impl Iterator<Item = &'a Address> {
    let index = link.index;
    let global = move |address: &&Address| {
        address.link == index && Family::of(address.ip) == family && address.scope == Scope::Global
    };
    // A /32 or /128 beside a network's address was added by a VIP program; where there are only such (as on GCP, or by
    // DHCPv6), they are the node's own.
    let has_network = tables.addresses.iter().filter(global).any(is_network);
    tables.addresses.iter().filter(global).filter(move |address| {
        let (ip, flags) = (address.ip, address.flags);
        let passing = flags.temporary || flags.deprecated || flags.tentative;
        let special = ip.is_loopback() || ip.is_multicast() || ip.is_unspecified();
        let added = has_network && address.is_host_prefix();
        !(passing || special || added)
    })
}

fn is_network(address: &Address) -> bool {
    !address.is_host_prefix() && !reach::is_link_local(address.ip)
}

/// The addresses of a link that may be the node's.
pub(crate) fn candidates<'a>(tables: &'a Tables, link: &Link, family: Family) -> impl Iterator<Item = &'a Address> {
    lasting(tables, link, family).filter(|address| !reach::is_link_local(address.ip))
}

/// The place of an address among those that were handed out, the latest being 0; the last place of all where it never
/// was.
pub(crate) fn rank(handed_out: &[IpAddr], ip: IpAddr) -> usize {
    handed_out.iter().position(|known| *known == ip).unwrap_or(usize::MAX)
}

/// The best of several: the one that was handed out; then private before public, the one the default route names as
/// source, the one in the router's network, the first of its network. What still ties goes by the kernel's order for
/// IPv4 and by value for IPv6, whose order in the kernel is that of arrival.
pub(crate) fn best<'a>(
    among: impl Iterator<Item = &'a Address>,
    handed_out: &[IpAddr],
    route: &Route,
) -> Option<&'a Address> {
    let in_routers_network = |address: &Address| route.gateway.is_some_and(|router| address.reaches(router));
    among
        .enumerate()
        .min_by_key(|(order, address)| {
            let ip = address.ip;
            let last = match ip {
                IpAddr::V4(_) => u128::try_from(*order).unwrap_or(u128::MAX),
                IpAddr::V6(v6) => v6.to_bits(),
            };
            (
                rank(handed_out, ip),
                Reverse(reach::is_private(ip)),
                Reverse(route.source == Some(ip)),
                Reverse(in_routers_network(address)),
                address.flags.secondary,
                last,
            )
        })
        .map(|(_, address)| address)
}
