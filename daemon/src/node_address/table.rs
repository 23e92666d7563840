//! Links, addresses and routes as plain values, the way the kernel tells them.
//!
//! Nothing here reads or decides: [`super::netlink`] fills these, [`mod@super::choose`] and the allow-list look at
//! them, and tests write them down by hand.

use std::net::IpAddr;

use ipnet::IpNet;

/// The number of a network link (`ifindex`), from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkIndex(pub u32);

/// What was read at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// All links, in the kernel's order.
    pub links: Vec<Link>,
    /// All addresses, in the kernel's order: for IPv4 a primary one stands before its secondary ones.
    pub addresses: Vec<Address>,
    /// The routes of the main table, one for each next hop.
    pub routes: Vec<Route>,
}

/// A network link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: LinkIndex,
    /// Its name, as in `eth0`.
    pub name: String,
    /// The kernel's word for its kind (`veth`, `bridge`, `wireguard`); empty for hardware, which has none.
    pub kind: String,
    /// Set by an administrator to be in use.
    pub up: bool,
    /// `lo`.
    pub loopback: bool,
}

/// An address on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The length of its network's prefix, in bits.
    pub prefix: u8,
    /// The link that it is on.
    pub link: LinkIndex,
    /// How far it is valid.
    pub scope: Scope,
    /// What else the kernel says of it.
    pub flags: AddressFlags,
}

/// What the kernel says of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as the kernel gives them")]
pub struct AddressFlags {
    /// IPv6: made for privacy, replaced within days (RFC 8981).
    pub temporary: bool,
    /// IPv6: past its preferred lifetime (RFC 4862, section 5.5.4).
    pub deprecated: bool,
    /// IPv6: not yet known to be unique, or known not to be (RFC 4862, section 5.4).
    pub tentative: bool,
    /// IPv4: not the first address of its network on its link.
    pub secondary: bool,
}

/// How far an address is valid (`ip-address(8)`, `scope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere, or everywhere in a site.
    Global,
    /// On its link.
    Link,
    /// On this host.
    Host,
}

/// A route of the main table, to one next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads; a prefix of length 0 is the default route.
    pub destination: IpNet,
    /// What happens to packets on it.
    pub kind: RouteKind,
    /// The next router; none for networks on the link itself.
    pub gateway: Option<IpAddr>,
    /// The link that it leaves by; none where the kernel names none (an unreachable route).
    pub link: Option<LinkIndex>,
    /// Among routes to the same destination the lowest wins.
    pub metric: u32,
    /// The address that the kernel is told to send from.
    pub source: Option<IpAddr>,
}

/// What happens to packets on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// They are sent on.
    Unicast,
    /// They are dropped or refused: blackhole, unreachable, prohibit.
    Refused,
    /// Neither of both: local, broadcast, multicast, throw, or unknown to us.
    Other,
}

impl Tables {
    /// The link of that number.
    #[must_use]
    pub fn link(&self, index: LinkIndex) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The link of that name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Whether the address is on one of the node's links, in whatever state.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }
}

impl Route {
    /// A usable default route.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0 && self.kind == RouteKind::Unicast
    }
}

impl Address {
    /// Returns whether that address is in its network.
    #[must_use]
    pub fn reaches(&self, ip: IpAddr) -> bool {
        IpNet::new(self.ip, self.prefix).is_ok_and(|network| network.contains(&ip))
    }

    /// Whether its network is the address alone: /32 for IPv4, /128 for IPv6.
    #[must_use]
    pub fn is_host_prefix(&self) -> bool {
        self.prefix == if self.ip.is_ipv4() { 32 } else { 128 }
    }
}
