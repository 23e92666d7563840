//! Chooses the addresses to listen on, from what was asked for, what kubelet is told, and the kernel's tables. Pure.
//!
//! Which address is the node's own is decided in `node.rs`. Reading the inputs, and binding what comes out, is for
//! others.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::dedicated::Dedicated;
use super::eligible::{self, Family};
use super::node::{families, node};
use super::table::{Address, Tables};
use crate::upstream::Server;
use crate::upstream::server::DNS_PORT;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Where to listen, in the order of the configuration.
    pub places: Vec<Place>,
    /// Which families the node's and a link's addresses are to be of; explicit addresses are not touched by it.
    pub families: Families,
    /// `node_ip` of our configuration.
    pub node_ip: Vec<IpAddr>,
    /// What kubelet is told, as far as it could be read.
    pub told: Told,
    /// Addresses that pods were given, the latest first: they break every tie, since pods keep them for life.
    pub handed_out: Vec<IpAddr>,
    /// Whether the families of `handed_out` hold where no word is had of those that pods have: the other family does
    /// not stand in for one that is late, or gone for a moment.
    pub families_stick: bool,
    /// Whether the latest of `handed_out` holds where no default route says which address is the node's: another link's
    /// does not stand in for one that is gone for a moment.
    pub address_sticks: bool,
}

/// What kubelet, k3s or RKE2 are told. Empty lists mean "unknown".
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// `--node-ip`; an unspecified one (`0.0.0.0`, `::`) only prefers a family.
    pub node_ip: Vec<IpAddr>,
    /// `clusterDNS`, for the families that pods have.
    pub cluster_dns: Vec<IpAddr>,
}

/// One place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// `node`: the node's own address, found by its rules and followed when it changes; port 53.
    Node,
    /// An address that need not exist yet, with scope and port. Never loopback, unspecified or multicast.
    Address(Server),
    /// `interface:eth1` or `interface:eth1:5300`: the lasting, global addresses of a link.
    Interface {
        /// The link's name.
        name: Box<str>,
        /// The port.
        port: u16,
    },
    /// `dedicated:169.254.53.53`: an address that is put on the node for Onward; port 53.
    Dedicated(Dedicated),
}

/// Which families to listen on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Families {
    /// `auto`: those that pods have; where that is unknown IPv4 if the node has it, else IPv6.
    #[default]
    Auto,
    /// `ipv4`: IPv4 alone.
    Ipv4,
    /// `ipv6`: IPv6 alone.
    Ipv6,
    /// `both`: both, as far as the node has them.
    Both,
}

/// What to listen on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// At least one, in the order of the configuration, without repeats.
    pub addresses: Vec<ListenAddress>,
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// Places that have no address (yet), while others have.
    pub missing: Vec<NoAddress>,
    /// What may come with DHCP or a router, and is better than what there is. At start it is worth some waiting.
    pub awaited: Option<Awaited>,
}

/// What is worth waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Awaited {
    /// A default route, which tells for sure which address is the node's.
    DefaultRoute,
    /// An address of a family that pods have, or may have.
    Family,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    /// Where to bind; a link-local IPv6 address carries its link's number.
    pub socket: SocketAddr,
    /// Why this one.
    pub origin: Origin,
    /// Whether the node has it now. Where not, the socket can be bound, but no pod should be told of it yet.
    pub present: bool,
}

/// Why an address was chosen; its text completes "listening on 10.0.0.5:53, …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Origin {
    /// Named as a listen address.
    #[error("as configured")]
    Configured,
    /// `dedicated:ADDRESS`.
    #[error("an address for Onward alone, as configured")]
    Dedicated,
    /// `node_ip` of our configuration.
    #[error("the node's address by `node_ip`")]
    NodeIp,
    /// `--node-ip`.
    #[error("the node's address as kubelet is told it (--node-ip)")]
    Told,
    /// On the link with the default route.
    #[error("the node's address on {link}, which carries the default route")]
    DefaultRoute {
        /// The link's name.
        link: String,
    },
    /// No default route, and no other address.
    #[error("the only global address of this node, on {link}")]
    OnlyOne {
        /// The link's name.
        link: String,
    },
    /// No default route, and it is the one that pods have.
    #[error("the address of this node that pods were given, on {link}")]
    HandedOut {
        /// The link's name.
        link: String,
    },
    /// `interface:NAME`.
    #[error("an address of {link}, as configured")]
    Interface {
        /// The link's name.
        link: String,
    },
}

/// Why there is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAddress {
    /// No address at all that could be the node's.
    #[error(
        "this node has no {}address yet that pods could reach; waiting for one (or name one with `--listen ADDRESS`)",
        family.map(|family| format!("{family} ")).unwrap_or_default()
    )]
    NoneYet {
        /// The family looked for; none where either would do.
        family: Option<Family>,
    },
    /// The address that pods were given has gone from the node.
    #[error(
        "this node has lost {ip}, the {} address that pods were given; waiting for it, or for another {}, to come back",
        Family::of(*ip), Family::of(*ip)
    )]
    Lost {
        /// The address.
        ip: IpAddr,
    },
    /// A default route, but no address with it.
    #[error(
        "{link} carries the {family} default route, but has no lasting {family} address yet; waiting for one (or name one \
         with `--listen ADDRESS`)"
    )]
    LinkHasNone {
        /// The link's name.
        link: String,
        /// The family looked for.
        family: Family,
    },
    /// A link that was named does not exist.
    #[error("there is no network interface {name:?} yet; `ip link` lists those that exist")]
    NoSuchLink {
        /// The link's name.
        name: String,
    },
    /// `--node-ip` of kubelet is not on the node.
    #[error(
        "kubelet is told --node-ip {ip}, but this node does not have that address yet; `ip address` lists those it has"
    )]
    ToldIsAbsent {
        /// The address.
        ip: IpAddr,
    },
    /// Several addresses and no default route to tell them apart.
    #[error(
        "this node has no default route and several addresses ({}), so which one is the node's cannot be told; name it with \
         `--listen ADDRESS` or `node_ip`",
        candidates.join(", ")
    )]
    Unclear {
        /// Each address with its link: `10.0.0.5 (eth0)`.
        candidates: Vec<String>,
    },
    /// A link-local IPv6 address without its link.
    #[error("{ip} is link-local: say on which interface, as in \"{ip}%eth0\"")]
    WithoutLink {
        /// The address.
        ip: IpAddr,
    },
    /// `node_ip` has no address of the families asked for.
    #[error("`node_ip` names no {family} address, but `families` asks for {family} alone; change either")]
    WrongFamily {
        /// The family asked for.
        family: Family,
    },
}

impl Place {
    /// The address and port, where these are named.
    pub(crate) fn server(&self) -> Option<Server> {
        match self {
            Self::Address(server) => Some(server.clone()),
            Self::Dedicated(one) => Some(Server::new(one.ip(), DNS_PORT)),
            Self::Node | Self::Interface { .. } => None,
        }
    }
}

impl NoAddress {
    /// Whether waiting may help (DHCP, a router, a link that is made later); otherwise the configuration must change.
    #[must_use]
    pub(crate) fn may_come(&self) -> bool {
        !matches!(self, Self::WithoutLink { .. } | Self::WrongFamily { .. })
    }
}

/// The addresses to listen on.
///
/// # Errors
/// Where no place has an address: the reason of the first place.
pub(crate) fn choose(wanted: &Wanted, tables: &Tables) -> Result<Chosen, NoAddress> {
    let mut chosen = Chosen::default();
    for place in &wanted.places {
        let found = match place {
            Place::Node => node(wanted, tables, DNS_PORT, &mut chosen),
            Place::Address(server) => explicit(tables, server).map(|one| vec![one]),
            Place::Dedicated(one) => Ok(vec![ListenAddress {
                socket: SocketAddr::new(one.ip(), DNS_PORT),
                origin: Origin::Dedicated,
                present: tables.has(one.ip()),
            }]),
            Place::Interface { name, port } => interface(wanted, tables, name, *port),
        };
        match found {
            Ok(found) => chosen.add(found),
            Err(reason) => chosen.missing.push(reason),
        }
    }
    match chosen.missing.first() {
        Some(reason) if chosen.addresses.is_empty() => Err(reason.clone()),
        None if chosen.addresses.is_empty() => Err(NoAddress::NoneYet { family: None }),
        _ => Ok(chosen),
    }
}

impl Chosen {
    /// Notes what is worth waiting for; a family outweighs a default route.
    pub(super) fn wait_for(&mut self, what: Awaited) {
        self.awaited = self.awaited.max(Some(what));
    }

    fn add(&mut self, found: Vec<ListenAddress>) {
        for address in found {
            if !self.addresses.iter().any(|known| known.socket == address.socket) {
                self.addresses.push(address);
            }
        }
    }
}

fn explicit(tables: &Tables, server: &Server) -> Result<ListenAddress, NoAddress> {
    let (ip, port) = (server.ip(), server.port());
    let socket = match (ip, server.scope()) {
        (IpAddr::V6(v6), Some(name)) => {
            let link = tables.link_named(name).ok_or_else(|| NoAddress::NoSuchLink { name: name.to_owned() })?;
            SocketAddrV6::new(v6, port, 0, link.index.0).into()
        }
        (IpAddr::V6(v6), None) if v6.is_unicast_link_local() => return Err(NoAddress::WithoutLink { ip }),
        _ => SocketAddr::new(ip, port),
    };
    // The whole of 127.0.0.0/8 answers, though only 127.0.0.1 is listed.
    let present = tables.has(ip) || ip.is_loopback() || ip.is_unspecified();
    Ok(ListenAddress { socket, origin: Origin::Configured, present })
}

fn interface(wanted: &Wanted, tables: &Tables, name: &str, port: u16) -> Result<Vec<ListenAddress>, NoAddress> {
    let link = tables.link_named(name).ok_or_else(|| NoAddress::NoSuchLink { name: name.to_owned() })?;
    let of_family = |family| -> Vec<ListenAddress> {
        let origin = Origin::Interface { link: name.to_owned() };
        let here = |address: &Address| ListenAddress {
            socket: SocketAddr::new(address.ip, port),
            origin: origin.clone(),
            present: true,
        };
        eligible::lasting(tables, link, family).map(here).collect()
    };
    let (families, family) = match families(wanted) {
        Some(families) => (families.to_vec(), families.first().copied().unwrap_or(Family::V4)),
        None if of_family(Family::V4).is_empty() => (vec![Family::V6], Family::V4),
        None => (vec![Family::V4], Family::V4),
    };
    let found: Vec<_> = families.into_iter().flat_map(of_family).collect();
    if found.is_empty() {
        return Err(NoAddress::LinkHasNone { link: name.to_owned(), family });
    }
    Ok(found)
}
