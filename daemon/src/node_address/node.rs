//! Which address is the node's own. Pure.
//!
//! In this order: `node_ip` of our configuration; `--node-ip` of kubelet, k3s or RKE2; a private address of the link with the
//! main table's default route; a public one of it, with a warning; without a default route the only global address.

use std::net::{IpAddr, SocketAddr};

use super::choose::{Chosen, Families, ListenAddress, NoAddress, Origin, Wanted};
use super::eligible::{self, Family};
use super::reach;
use super::table::{Address, Link, Route, Tables};

/// The families to look for, where they are known: asked for, or those that pods have.
pub(super) fn families(wanted: &Wanted) -> Option<Vec<Family>> {
    let of = |ips: &[IpAddr]| {
        let mut families: Vec<Family> = Vec::new();
        for family in ips.iter().map(|ip| Family::of(*ip)) {
            if !families.contains(&family) {
                families.push(family);
            }
        }
        (!families.is_empty()).then_some(families)
    };
    match wanted.families {
        Families::Ipv4 => Some(vec![Family::V4]),
        Families::Ipv6 => Some(vec![Family::V6]),
        Families::Both => Some(vec![Family::V4, Family::V6]),
        Families::Auto => {
            of(&wanted.node_ip).or_else(|| of(&wanted.told.cluster_dns)).or_else(|| of(&wanted.told.node_ip))
        }
    }
}

/// The node's address, one for each family; warnings go to `chosen`.
pub(super) fn node(
    wanted: &Wanted,
    tables: &Tables,
    port: u16,
    chosen: &mut Chosen,
) -> Result<Vec<ListenAddress>, NoAddress> {
    let seeker = Seeker { wanted, tables, port };
    let Some(families) = families(wanted) else { return seeker.either(chosen) };
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for family in families {
        match seeker.of_family(family, chosen) {
            Ok(address) => found.push(address),
            Err(reason) => missing.push(reason),
        }
    }
    if found.is_empty() {
        return Err(missing.into_iter().next().unwrap_or(NoAddress::NoneYet { family: Family::V4 }));
    }
    chosen.missing.append(&mut missing);
    Ok(found)
}

/// What the search is about.
struct Seeker<'a> {
    wanted: &'a Wanted,
    tables: &'a Tables,
    port: u16,
}

impl Seeker<'_> {
    /// Nobody says which families pods have: IPv4 if the node has it, else IPv6. A stray address on a link without default
    /// route is not "having" a family while the other one has a default route.
    fn either(&self, chosen: &mut Chosen) -> Result<Vec<ListenAddress>, NoAddress> {
        let by_route = self.by_default_route(Family::V4, chosen);
        if let Some(Ok(address)) = by_route {
            return Ok(vec![address]);
        }
        if let Some(Ok(address)) = self.by_default_route(Family::V6, chosen) {
            chosen.provisional = true;
            return Ok(vec![address]);
        }
        if let Some(Err(reason)) = by_route {
            return Err(reason);
        }
        match self.only_one(Family::V4, chosen) {
            Err(NoAddress::NoneYet { .. }) => self.of_family(Family::V6, chosen).map(|address| vec![address]),
            found => found.map(|address| vec![address]),
        }
    }

    fn of_family(&self, family: Family, chosen: &mut Chosen) -> Result<ListenAddress, NoAddress> {
        if !self.wanted.node_ip.is_empty() {
            return self.configured(family);
        }
        let told = self.wanted.told.node_ip.iter().find(|ip| Family::of(**ip) == family && !ip.is_unspecified());
        if let Some(ip) = told {
            let present = self.tables.has(*ip);
            let address = self.listen(*ip, Origin::Told);
            return present.then_some(address).ok_or(NoAddress::ToldIsAbsent { ip: *ip });
        }
        match self.by_default_route(family, chosen) {
            Some(found) => found,
            None => self.only_one(family, chosen),
        }
    }

    /// `node_ip` is taken as it is: it can be bound before it exists.
    fn configured(&self, family: Family) -> Result<ListenAddress, NoAddress> {
        let ip = self.wanted.node_ip.iter().find(|ip| Family::of(**ip) == family);
        let ip = ip.ok_or(NoAddress::WrongFamily { family })?;
        Ok(ListenAddress { present: self.tables.has(*ip), ..self.listen(*ip, Origin::NodeIp) })
    }

    /// Through the main table's default route of the lowest metric; nothing where there is none.
    fn by_default_route(&self, family: Family, chosen: &mut Chosen) -> Option<Result<ListenAddress, NoAddress>> {
        let (route, link) = self.default_route(family)?;
        let candidates = eligible::candidates(self.tables, link, family);
        let best = eligible::best(candidates, &self.wanted.previous, route).or_else(|| self.source_of(route));
        let Some(best) = best else {
            return Some(Err(NoAddress::LinkHasNone { link: link.name.clone(), family }));
        };
        if !reach::is_private(best.ip) {
            chosen.warnings.push(format!(
                "{} on {} is a public address: only those whom `allow` names are answered there; a private address can be \
                 named with `node_ip` or `--listen`",
                best.ip, link.name
            ));
        }
        Some(Ok(self.listen(best.ip, Origin::DefaultRoute { link: link.name.clone() })))
    }

    fn default_route(&self, family: Family) -> Option<(&Route, &Link)> {
        self.tables
            .routes
            .iter()
            .filter(|route| route.is_default() && Family::of(route.destination.addr()) == family)
            .filter_map(|route| Some((route, self.tables.link(route.link?)?)))
            .filter(|(_, link)| !link.loopback && !eligible::is_barred(link))
            .min_by_key(|(route, _)| route.metric)
    }

    /// The address that the default route sends from, where it is on another link than the route: nodes that speak BGP carry
    /// theirs on `lo` or a dummy.
    fn source_of(&self, route: &Route) -> Option<&Address> {
        let source = route.source?;
        let link = self.tables.addresses.iter().find(|address| address.ip == source)?.link;
        let link = self.tables.link(link).filter(|link| !eligible::is_barred(link))?;
        eligible::candidates(self.tables, link, Family::of(source)).find(|address| address.ip == source)
    }

    /// Without a default route: the only address that reaches beyond its link.
    fn only_one(&self, family: Family, chosen: &mut Chosen) -> Result<ListenAddress, NoAddress> {
        let outer = self.tables.links.iter().filter(|link| link.up && !eligible::is_inner(link));
        let mut found: Vec<(IpAddr, &str)> = Vec::new();
        for link in outer {
            found.extend(
                eligible::candidates(self.tables, link, family).map(|address| (address.ip, link.name.as_str())),
            );
        }
        match found.as_slice() {
            [] => Err(NoAddress::NoneYet { family }),
            [(ip, link)] => {
                chosen.provisional = true;
                chosen.warnings.push(format!(
                    "this node has no {family} default route; {ip} on {link} is taken for its address because it is the only one"
                ));
                Ok(self.listen(*ip, Origin::OnlyOne { link: (*link).to_owned() }))
            }
            several => {
                let candidates = several.iter().map(|(ip, link)| format!("{ip} ({link})")).collect();
                Err(NoAddress::Unclear { candidates })
            }
        }
    }

    fn listen(&self, ip: IpAddr, origin: Origin) -> ListenAddress {
        ListenAddress { socket: SocketAddr::new(ip, self.port), origin, present: true }
    }
}
