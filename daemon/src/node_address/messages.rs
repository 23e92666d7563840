//! Netlink's messages about links, addresses and routes, from bytes to our own values (`rtnetlink(7)`).
//!
//! Headers are parsed by `netlink-packet-route`. Attributes are walked here and only those that are needed are read, so that
//! an attribute that is unknown or odd never costs a link or a route. No I/O: [`super::netlink`] brings the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::NlasIterator;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressHeader, AddressScope};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::route::{RouteHeader, RouteType};

use super::table::{Address, AddressFlags, Link, LinkIndex, Route, RouteKind, Scope};

/// Sizes of the fixed headers before the attributes (`struct ifinfomsg`, `ifaddrmsg`, `rtmsg`, `rtnexthop`).
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;
const NEXT_HOP_HEADER: usize = 8;

/// Attributes of links (`linux/if_link.h`).
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

/// Attributes of addresses and the flags in the last of them (`linux/if_addr.h`).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_SECONDARY_OR_TEMPORARY: u32 = 0x01;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_DEPRECATED: u32 = 0x20;
const IFA_F_TENTATIVE: u32 = 0x40;

/// Attributes and flags of routes (`linux/rtnetlink.h`).
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTM_F_CLONED: u32 = 0x200;
const RTNH_F_DEAD: u32 = 1;

/// A link, from the payload of `RTM_NEWLINK`; nothing where it is cut short or has no name.
pub(super) fn link(payload: &[u8]) -> Option<Link> {
    let header = LinkHeader::parse(payload).ok()?;
    let attributes = payload.get(LINK_HEADER..)?;
    let kind = find(attributes, IFLA_LINKINFO).and_then(|info| find(info, IFLA_INFO_KIND)).map(text);
    Some(Link {
        index: LinkIndex(header.index),
        name: text(find(attributes, IFLA_IFNAME)?),
        kind: kind.unwrap_or_default(),
        up: header.flags.contains(LinkFlags::Up),
        loopback: header.flags.contains(LinkFlags::Loopback),
    })
}

/// An address, from the payload of `RTM_NEWADDR`.
pub(super) fn address(payload: &[u8]) -> Option<Address> {
    let header = AddressHeader::parse(payload).ok()?;
    let attributes = payload.get(ADDRESS_HEADER..)?;
    // On a link to a peer IFA_ADDRESS is the peer's and IFA_LOCAL ours; IPv6 leaves IFA_LOCAL out otherwise.
    let ip = ip(find(attributes, IFA_LOCAL).or_else(|| find(attributes, IFA_ADDRESS))?)?;
    let flags = find(attributes, IFA_FLAGS).and_then(number).unwrap_or_else(|| u32::from(header.flags.bits()));
    let first_bit = flags & IFA_F_SECONDARY_OR_TEMPORARY != 0;
    Some(Address {
        ip,
        prefix: header.prefix_len,
        link: LinkIndex(header.index),
        scope: match header.scope {
            AddressScope::Universe | AddressScope::Site => Scope::Global,
            AddressScope::Link => Scope::Link,
            _ => Scope::Host,
        },
        flags: AddressFlags {
            temporary: ip.is_ipv6() && first_bit,
            secondary: ip.is_ipv4() && first_bit,
            deprecated: flags & IFA_F_DEPRECATED != 0,
            tentative: flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0,
        },
    })
}

/// The routes of one `RTM_NEWROUTE`: one for each next hop, none where it is not of the main table or means nothing to us.
pub(super) fn routes(payload: &[u8]) -> Vec<Route> {
    all_routes(payload).unwrap_or_default()
}

fn all_routes(payload: &[u8]) -> Option<Vec<Route>> {
    let header = RouteHeader::parse(payload).ok()?;
    let attributes = payload.get(ROUTE_HEADER..)?;
    let table = find(attributes, RTA_TABLE).and_then(number).unwrap_or_else(|| u32::from(header.table));
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) || header.flags.bits() & (RTM_F_CLONED | RTNH_F_DEAD) != 0 {
        return None;
    }
    let destination = match (find(attributes, RTA_DST), header.address_family) {
        (Some(bytes), _) => ip(bytes)?,
        (None, AddressFamily::Inet) => Ipv4Addr::UNSPECIFIED.into(),
        (None, AddressFamily::Inet6) => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let single = Route {
        destination: IpNet::new(destination, header.destination_prefix_length).ok()?.trunc(),
        kind: match header.kind {
            RouteType::Unicast => RouteKind::Unicast,
            RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => RouteKind::Refused,
            _ => RouteKind::Other,
        },
        gateway: gateway(attributes),
        link: find(attributes, RTA_OIF).and_then(number).map(LinkIndex),
        metric: find(attributes, RTA_PRIORITY).and_then(number).unwrap_or(0),
        source: find(attributes, RTA_PREFSRC).and_then(ip),
    };
    let Some(hops) = find(attributes, RTA_MULTIPATH) else { return Some(vec![single]) };
    Some(next_hops(hops).map(|(link, gateway)| Route { gateway, link: Some(link), ..single.clone() }).collect())
}

/// The next hops of a multipath route: `struct rtnexthop`, each followed by attributes of its own.
fn next_hops(mut bytes: &[u8]) -> impl Iterator<Item = (LinkIndex, Option<IpAddr>)> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let hop = bytes.get(..length)?;
        let link = number(hop.get(4..NEXT_HOP_HEADER)?)?;
        let gateway = gateway(hop.get(NEXT_HOP_HEADER..)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((LinkIndex(link), gateway))
    })
}

/// The next router. IPv4 by way of an IPv6 router (RFC 5549) names it in `RTA_VIA`, after two bytes of family.
fn gateway(attributes: &[u8]) -> Option<IpAddr> {
    find(attributes, RTA_GATEWAY)
        .and_then(ip)
        .or_else(|| find(attributes, RTA_VIA).and_then(|via| via.get(2..)).and_then(ip))
}

/// The value of the first attribute of that kind.
fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == kind)
        .and_then(|attribute| attribute.into_inner().get(4..usize::from(attribute.length())))
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Names in netlink end with a NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_default_route_over_two_links_is_two_routes() {
        let hop = |link: u32, router: [u8; 4]| {
            let gateway = attribute(RTA_GATEWAY, &router);
            let length = u16::try_from(NEXT_HOP_HEADER + gateway.len()).unwrap();
            [&length.to_ne_bytes()[..], &[0, 0], &link.to_ne_bytes(), &gateway].concat()
        };
        let mut message = vec![2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        message.extend(attribute(RTA_PRIORITY, &7_u32.to_ne_bytes()));
        message.extend(attribute(RTA_MULTIPATH, &[hop(2, [10, 0, 0, 1]), hop(3, [10, 1, 0, 1])].concat()));
        let found: Vec<_> =
            routes(&message).into_iter().map(|r| (r.is_default(), r.metric, r.link, r.gateway)).collect();
        let router = |last: [u8; 4]| Some(IpAddr::from(last));
        assert_eq!(
            found,
            [
                (true, 7, Some(LinkIndex(2)), router([10, 0, 0, 1])),
                (true, 7, Some(LinkIndex(3)), router([10, 1, 0, 1]))
            ]
        );
    }

    #[test]
    fn routes_of_other_tables_are_left_out() {
        let mut message = vec![2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        message.extend(attribute(RTA_TABLE, &1000_u32.to_ne_bytes()));
        assert_eq!(routes(&message), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (link(&bytes), address(&bytes));
            prop_assert!(routes(&bytes).len() <= bytes.len());
        }
    }
}
