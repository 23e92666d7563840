//! Who may ask: the allow-list, compiled from the configuration and the kernel's tables.
//!
//! `local` is the node itself and every source whose route leaves by another link than a default route's: pods, also
//! with public addresses. A list never changes; when addresses or routes do, a new one is compiled and swapped in. What
//! a refused asker gets is decided elsewhere.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::net::reach;
use crate::node_address::table::{LinkIndex, Route, RouteKind, Tables};

/// A route as wide as this leads to the internet, whatever it is called: VPNs cover the default route with 0.0.0.0/1
/// and 128.0.0.0/1, routers announce 2000::/3, and registries hold networks of /8 (IPv4) and /12 (IPv6).
const WIDE_V4: u8 = 7;
const WIDE_V6: u8 = 12;

/// One entry of the configuration's list of those who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// `local`: the node itself, and every source whose route leaves by another link than the default route's.
    Local,
    /// `private`: RFC 1918, RFC 6598, RFC 4193 and link-local addresses.
    Private,
    /// A network; a plain address is a network of one.
    Network(IpNet),
}

/// Who is allowed, by the whole list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The node's own addresses and what is behind links without default route.
    pub local: bool,
    /// RFC 1918, RFC 6598, unique local, link-local.
    pub private: bool,
    /// Further networks.
    pub networks: Vec<IpNet>,
}

impl<'a> FromIterator<&'a Allow> for Allowed {
    fn from_iter<I: IntoIterator<Item = &'a Allow>>(list: I) -> Self {
        let mut allowed = Self::default();
        for one in list {
            match one {
                Allow::Local => allowed.local = true,
                Allow::Private => allowed.private = true,
                Allow::Network(network) => allowed.networks.push(*network),
            }
        }
        allowed
    }
}

/// The sources that may ask. A look-up allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl AllowList {
    /// The list for these rules and the node as it is now.
    #[must_use]
    pub fn compile(allowed: &Allowed, tables: &Tables) -> Self {
        let mut networks = allowed.networks.clone();
        if allowed.private {
            networks.extend(reach::PRIVATE.iter().chain(&reach::LINK_LOCAL));
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        if allowed.local {
            networks.push(IpNet::new_assert(Ipv4Addr::LOCALHOST.into(), 8));
            networks.push(IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST)));
            networks.extend(tables.addresses.iter().map(|address| IpNet::from(address.ip)));
            let inward = Inward::of(tables);
            v4 = flatten(inward.verdicts(tables, true));
            v6 = flatten(inward.verdicts(tables, false));
        }
        for network in networks {
            if network.addr().is_ipv4() { &mut v4 } else { &mut v6 }.push(range(network));
        }
        // IPv4 apart, in its own width: the look-up is made for every packet.
        let narrow = |bits| u32::try_from(bits).unwrap_or(u32::MAX);
        let v4 = merge(v4).into_iter().map(|(start, end)| (narrow(start), narrow(end)));
        Self { v4: Ranges(v4.collect()), v6: Ranges(merge(v6).into()) }
    }

    /// Whether that source may ask. An IPv4 address in IPv6's clothes (`::ffff:10.0.0.1`) is looked up as IPv4.
    #[inline]
    #[must_use]
    pub fn admits(&self, source: IpAddr) -> bool {
        match source.to_canonical() {
            IpAddr::V4(v4) => self.v4.contains(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.contains(v6.to_bits()),
        }
    }
}

/// Inclusive ranges of addresses, sorted, none touching another's inside.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ranges<T>(Box<[(T, T)]>);

impl<T: Ord + Copy> Ranges<T> {
    #[inline]
    fn contains(&self, address: T) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, end)| address <= *end)
    }
}

/// Sorts ranges, and makes one of those that touch.
fn merge(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// What of the main table leads inward: to pods and other networks behind the node.
struct Inward {
    /// Links with a default route of either family: beyond them is the world.
    outward: HashSet<LinkIndex>,
    has_default_v4: bool,
    has_default_v6: bool,
}

impl Inward {
    fn of(tables: &Tables) -> Self {
        let wide = || tables.routes.iter().filter(|route| is_wide(route) && route.kind == RouteKind::Unicast);
        Self {
            outward: wide().filter_map(|route| route.link).collect(),
            has_default_v4: wide().any(|route| route.destination.addr().is_ipv4()),
            has_default_v6: wide().any(|route| route.destination.addr().is_ipv6()),
        }
    }

    /// For each destination of a family, whether it is inward.
    fn verdicts(&self, tables: &Tables, v4: bool) -> Vec<Verdict> {
        // Of several routes to one destination those of the lowest metric count, and all of them must lead inward.
        let mut best: BTreeMap<(u128, u8), (u32, Verdict)> = BTreeMap::new();
        for route in tables.routes.iter().filter(|route| route.destination.addr().is_ipv4() == v4) {
            let (start, end) = range(route.destination);
            let mut inward = self.leads_inward(route);
            let key = (start, route.destination.prefix_len());
            if let Some((metric, known)) = best.get(&key) {
                match route.metric.cmp(metric) {
                    std::cmp::Ordering::Greater => continue,
                    std::cmp::Ordering::Equal => inward &= known.inward,
                    std::cmp::Ordering::Less => {}
                }
            }
            best.insert(key, (route.metric, Verdict { start, end, inward }));
        }
        best.into_values().map(|(_, verdict)| verdict).collect()
    }

    fn leads_inward(&self, route: &Route) -> bool {
        let has_default = if route.destination.addr().is_ipv4() { self.has_default_v4 } else { self.has_default_v6 };
        route.kind == RouteKind::Unicast
            && !is_wide(route)
            && route.link.is_some_and(|link| !self.outward.contains(&link))
            // Without a default route nothing tells inward from outward: only neighbours are local then.
            && (has_default || route.gateway.is_none())
    }
}

fn is_wide(route: &Route) -> bool {
    route.destination.prefix_len() <= if route.destination.addr().is_ipv4() { WIDE_V4 } else { WIDE_V6 }
}

/// Whether the addresses of one destination are inward, unless a longer prefix says otherwise.
#[derive(Clone, Copy)]
struct Verdict {
    start: u128,
    end: u128,
    inward: bool,
}

/// The inward ranges by longest prefix, from verdicts sorted by start and then by length of the prefix. Prefixes nest
/// or are apart, so the ones around a place make a stack.
fn flatten(verdicts: Vec<Verdict>) -> Vec<(u128, u128)> {
    let mut inward = Vec::new();
    let mut around: Vec<Verdict> = Vec::new();
    // The first address that no range has been made for; none past the last address of all.
    let mut next = Some(0_u128);
    let mut close = |next: &mut Option<u128>, closed: Verdict, end: u128| {
        if let Some(start) = next.filter(|start| *start <= end) {
            if closed.inward {
                inward.push((start.max(closed.start), end));
            }
            *next = end.checked_add(1);
        }
    };
    for verdict in verdicts {
        while let Some(ended) = around.pop_if(|outer| outer.end < verdict.start) {
            close(&mut next, ended, ended.end);
        }
        if let (Some(outer), Some(before)) = (around.last(), verdict.start.checked_sub(1)) {
            close(&mut next, *outer, before);
        }
        next = next.map(|next| next.max(verdict.start));
        around.push(verdict);
    }
    while let Some(ended) = around.pop() {
        close(&mut next, ended, ended.end);
    }
    inward
}

fn range(network: IpNet) -> (u128, u128) {
    (bits(network.network()), bits(network.broadcast()))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests;
