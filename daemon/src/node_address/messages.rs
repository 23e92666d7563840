//! Netlink's messages about links, addresses and routes, from bytes to our own values (`rtnetlink(7)`).
//!
//! Only what is needed of headers and attributes is read, so that an attribute that is unknown or odd never costs a
//! link or a route. No I/O: [`super::netlink`] brings the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::table::{Address, AddressFlags, Link, LinkIndex, Route, RouteKind, Scope};
use crate::net::netlink::{find, u16_at, u32_at};
use ipnet::IpNet;

/// Address families (`AF_INET`, `AF_INET6` of `sys/socket.h`).
const INET: u8 = 2;
const INET6: u8 = 10;

/// The main routing table (`RT_TABLE_MAIN`).
const MAIN: u8 = 254;

/// The requests for all links, all addresses and the main table's routes: kind and body, which is a header with nothing
/// but what is asked for (`RTM_GETLINK`, `RTM_GETADDR`, `RTM_GETROUTE`).
pub(super) const LINKS: (u16, [u8; LINK_HEADER]) = (18, [0; LINK_HEADER]);
pub(super) const ADDRESSES: (u16, [u8; ADDRESS_HEADER]) = (22, [0; ADDRESS_HEADER]);
pub(super) const ROUTES_V4: (u16, [u8; ROUTE_HEADER]) = (26, [INET, 0, 0, 0, MAIN, 0, 0, 0, 0, 0, 0, 0]);
pub(super) const ROUTES_V6: (u16, [u8; ROUTE_HEADER]) = (26, [INET6, 0, 0, 0, MAIN, 0, 0, 0, 0, 0, 0, 0]);

/// Flags of links (`net/if.h`), scopes of addresses and types of routes (`linux/rtnetlink.h`).
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_SITE: u8 = 200;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTN_BLACKHOLE: u8 = 6;
const RTN_UNREACHABLE: u8 = 7;
const RTN_PROHIBIT: u8 = 8;

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
#[must_use]
pub fn link(payload: &[u8]) -> Option<Link> {
    let (index, flags) = (u32_at(payload, 4)?, u32_at(payload, 8)?);
    let attributes = payload.get(LINK_HEADER..)?;
    let kind = find(attributes, IFLA_LINKINFO).and_then(|info| find(info, IFLA_INFO_KIND)).map(text);
    Some(Link {
        index: LinkIndex(index),
        name: text(find(attributes, IFLA_IFNAME)?),
        kind: kind.unwrap_or_default(),
        up: flags & IFF_UP != 0,
        loopback: flags & IFF_LOOPBACK != 0,
    })
}

/// An address, from the payload of `RTM_NEWADDR`.
#[must_use]
pub fn address(payload: &[u8]) -> Option<Address> {
    let [_, prefix, header_flags, scope] = *payload.first_chunk()?;
    let link = u32_at(payload, 4)?;
    let attributes = payload.get(ADDRESS_HEADER..)?;
    // On a link to a peer IFA_ADDRESS is the peer's and IFA_LOCAL ours; IPv6 leaves IFA_LOCAL out otherwise.
    let ip = ip(find(attributes, IFA_LOCAL).or_else(|| find(attributes, IFA_ADDRESS))?)?;
    let flags = find(attributes, IFA_FLAGS).and_then(number).unwrap_or_else(|| u32::from(header_flags));
    let first_bit = flags & IFA_F_SECONDARY_OR_TEMPORARY != 0;
    Some(Address {
        ip,
        prefix,
        link: LinkIndex(link),
        scope: match scope {
            RT_SCOPE_UNIVERSE | RT_SCOPE_SITE => Scope::Global,
            RT_SCOPE_LINK => Scope::Link,
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

/// The routes of one `RTM_NEWROUTE`: one for each next hop, none where it is not of the main table or means nothing to
/// us.
#[must_use]
pub fn routes(payload: &[u8]) -> Vec<Route> {
    all_routes(payload).unwrap_or_default()
}

fn all_routes(payload: &[u8]) -> Option<Vec<Route>> {
    let [family, prefix, _, _, table, _, _, kind] = *payload.first_chunk()?;
    let flags = u32_at(payload, 8)?;
    let attributes = payload.get(ROUTE_HEADER..)?;
    let table = find(attributes, RTA_TABLE).and_then(number).unwrap_or_else(|| u32::from(table));
    if table != u32::from(MAIN) || flags & (RTM_F_CLONED | RTNH_F_DEAD) != 0 {
        return None;
    }
    let destination = match (find(attributes, RTA_DST), family) {
        (Some(bytes), _) => ip(bytes)?,
        (None, INET) => Ipv4Addr::UNSPECIFIED.into(),
        (None, INET6) => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let single = Route {
        destination: IpNet::new(destination, prefix).ok()?.trunc(),
        kind: match kind {
            RTN_UNICAST => RouteKind::Unicast,
            RTN_BLACKHOLE | RTN_UNREACHABLE | RTN_PROHIBIT => RouteKind::Refused,
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
        let length = usize::from(u16_at(bytes, 0)?);
        let hop = bytes.get(..length)?;
        let link = u32_at(hop, 4)?;
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
    use crate::net::netlink::attribute;

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
