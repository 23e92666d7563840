//! How far an address reaches by its value alone: private, link-local, or the whole internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks that are never routed on the internet: RFC 1918, RFC 6598 (shared address space), RFC 4193 (unique local).
pub(crate) const PRIVATE: [IpNet; 5] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
];

/// Networks of one link: RFC 3927, RFC 4291 (section 2.5.6).
pub(crate) const LINK_LOCAL: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
];

/// Of one of the [`PRIVATE`] networks.
#[must_use]
pub(crate) fn is_private(ip: IpAddr) -> bool {
    PRIVATE.iter().any(|network| network.contains(&ip))
}

/// Of one of the [`LINK_LOCAL`] networks.
#[must_use]
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    LINK_LOCAL.iter().any(|network| network.contains(&ip))
}
