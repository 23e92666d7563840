//! Which address is the node's own. Pure.
//!
//! In this order: `node_ip` of our configuration; `--node-ip` of kubelet, k3s or RKE2; a private address of the link
//! with the main table's default route; a public one of it, with a warning; without a default route the only global
//! address. An address that was handed out to pods breaks every tie; while it is gone, no address of another network is
//! taken for being the only one.

use std::net::{IpAddr, SocketAddr};

use super::choose::{Awaited, Chosen, Families, ListenAddress, NoAddress, Origin, Wanted};
use super::eligible::{self, Family};
use super::table::{Address, Link, Route, Tables};
use crate::net::reach;

/// Returns the families to look for, where they are known: asked for, those that pods have, or those that they were
/// given.
pub(super) fn families(wanted: &Wanted) -> Option<Vec<Family>> {
    match wanted.families {
        Families::Ipv4 => Some(vec![Family::V4]),
        Families::Ipv6 => Some(vec![Family::V6]),
        Families::Both => Some(vec![Family::V4, Family::V6]),
        Families::Auto => of(&wanted.node_ip)
            .or_else(|| of(&wanted.told.cluster_dns))
            .or_else(|| of(&wanted.told.node_ip))
            .or_else(|| of(&wanted.handed_out).filter(|_| wanted.families_stick).map(earlier_first)),
    }
}

/// Returns each family of the addresses once, in their order; none of none.
fn of(ips: &[IpAddr]) -> Option<Vec<Family>> {
    let mut families: Vec<Family> = Vec::new();
    for family in ips.iter().map(|ip| Family::of(*ip)) {
        if !families.contains(&family) {
            families.push(family);
        }
    }
    (!families.is_empty()).then_some(families)
}

/// Returns IPv4 alone of both families: where nobody says which families pods have, one address is handed out, and both
/// in the list means that IPv6 once stood in for IPv4.
fn earlier_first(families: Vec<Family>) -> Vec<Family> {
    if families.contains(&Family::V4) { vec![Family::V4] } else { families }
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
        return Err(missing.into_iter().next().unwrap_or(NoAddress::NoneYet { family: None }));
    }
    if missing.iter().any(NoAddress::may_come) {
        chosen.wait_for(Awaited::Family);
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
    /// Nobody says which families pods have: IPv4 if the node has it, else IPv6. A stray address on a link without
    /// default route is not "having" a family while the other one has a default route.
    fn either(&self, chosen: &mut Chosen) -> Result<Vec<ListenAddress>, NoAddress> {
        let by_route = self.by_default_route(Family::V4, chosen);
        if let Some(Ok(address)) = by_route {
            return Ok(vec![address]);
        }
        if let Some(Ok(address)) = self.by_default_route(Family::V6, chosen) {
            chosen.wait_for(Awaited::Family);
            return Ok(vec![address]);
        }
        if let Some(Err(reason)) = by_route {
            return Err(reason);
        }
        match self.only_one(Family::V4, chosen) {
            Err(NoAddress::NoneYet { .. }) => {}
            found => return found.map(|address| vec![address]),
        }
        match self.of_family(Family::V6, chosen) {
            Ok(address) => {
                chosen.wait_for(Awaited::Family);
                Ok(vec![address])
            }
            Err(NoAddress::NoneYet { .. }) => Err(NoAddress::NoneYet { family: None }),
            Err(reason) => Err(reason),
        }
    }

    /// The node's address of one family. Where there is none, and pods were given one, the reason says so.
    fn of_family(&self, family: Family, chosen: &mut Chosen) -> Result<ListenAddress, NoAddress> {
        self.search(family, chosen).map_err(|reason| match reason {
            NoAddress::NoneYet { .. } | NoAddress::LinkHasNone { .. } => self.lost(family).unwrap_or(reason),
            other => other,
        })
    }

    /// The address of a family that pods were given last, if the node does not have it any more.
    fn lost(&self, family: Family) -> Option<NoAddress> {
        let ip = *self.wanted.handed_out.iter().find(|ip| Family::of(**ip) == family)?;
        (!self.tables.has(ip)).then_some(NoAddress::Lost { ip })
    }

    fn search(&self, family: Family, chosen: &mut Chosen) -> Result<ListenAddress, NoAddress> {
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

    /// The latest address that was handed out and that the node has, where no link with a default route has one: the
    /// link may only just be coming up, or be down for a moment.
    fn still_there(&self, family: Family) -> Option<ListenAddress> {
        let handed_out = self.outer(family).filter(|(_, address)| self.wanted.handed_out.contains(&address.ip));
        let (link, address) = handed_out.min_by_key(|(_, address)| self.rank(address.ip))?;
        Some(self.listen(address.ip, Origin::HandedOut { link: link.name.clone() }))
    }

    /// The addresses of a family that reach beyond their link and are not made for containers, with their links, which
    /// may be down.
    fn outer(&self, family: Family) -> impl Iterator<Item = (&Link, &Address)> {
        let links = self.tables.links.iter().filter(|link| !eligible::is_inner(link));
        links.flat_map(move |link| eligible::candidates(self.tables, link, family).map(move |address| (link, address)))
    }

    /// `node_ip` is taken as it is: it can be bound before it exists.
    fn configured(&self, family: Family) -> Result<ListenAddress, NoAddress> {
        let ip = self.wanted.node_ip.iter().find(|ip| Family::of(**ip) == family);
        let ip = ip.ok_or(NoAddress::WrongFamily { family })?;
        Ok(ListenAddress { present: self.tables.has(*ip), ..self.listen(*ip, Origin::NodeIp) })
    }

    /// By the link with the default route, or else the address that was handed out, where that link is only coming up;
    /// nothing where there is no default route.
    fn by_default_route(&self, family: Family, chosen: &mut Chosen) -> Option<Result<ListenAddress, NoAddress>> {
        let found = self.on_default_link(family, chosen)?;
        Some(found.or_else(|reason| self.still_there(family).ok_or(reason)))
    }

    /// Through the main table's default route of the lowest metric; nothing where there is none. Of several such routes
    /// the one counts whose link has an address that was handed out.
    fn on_default_link(&self, family: Family, chosen: &mut Chosen) -> Option<Result<ListenAddress, NoAddress>> {
        let (route, link) = self.default_route(family)?;
        let candidates = eligible::candidates(self.tables, link, family);
        let best = eligible::best(candidates, &self.wanted.handed_out, route).or_else(|| self.source_of(route));
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
            .min_by_key(|(route, link)| (route.metric, self.rank_of_link(link, family)))
    }

    /// The place of a link's best candidate among the addresses that were handed out.
    fn rank_of_link(&self, link: &Link, family: Family) -> usize {
        let ranks = eligible::candidates(self.tables, link, family).map(|address| self.rank(address.ip));
        ranks.min().unwrap_or(usize::MAX)
    }

    /// The place of an address among those that were handed out, the latest being 0; the last place of all where it
    /// never was.
    fn rank(&self, ip: IpAddr) -> usize {
        eligible::rank(&self.wanted.handed_out, ip)
    }

    /// The address that the default route sends from, where it is on another link than the route: nodes that speak BGP
    /// carry theirs on `lo` or a dummy.
    fn source_of(&self, route: &Route) -> Option<&Address> {
        let source = route.source?;
        let link = self.tables.addresses.iter().find(|address| address.ip == source)?.link;
        let link = self.tables.link(link).filter(|link| !eligible::is_barred(link))?;
        eligible::candidates(self.tables, link, Family::of(source)).find(|address| address.ip == source)
    }

    /// Without a default route: the address that was handed out, or else the only one that reaches beyond its link. The
    /// only one is not taken while one of another network that was handed out is gone.
    fn only_one(&self, family: Family, chosen: &mut Chosen) -> Result<ListenAddress, NoAddress> {
        if let Some(address) = self.still_there(family) {
            return Ok(address);
        }
        let found: Vec<_> = self.outer(family).filter(|(link, _)| link.up).collect();
        let (link, address) = match found.as_slice() {
            [] => return Err(NoAddress::NoneYet { family: Some(family) }),
            [only] => *only,
            several => {
                let candidates =
                    several.iter().map(|(link, address)| format!("{} ({})", address.ip, link.name)).collect();
                return Err(NoAddress::Unclear { candidates });
            }
        };
        let of_another_network = |gone: &NoAddress| !matches!(gone, NoAddress::Lost { ip } if address.reaches(*ip));
        if let Some(gone) = self.lost(family).filter(of_another_network).filter(|_| self.wanted.address_sticks) {
            return Err(gone);
        }
        let (ip, link) = (address.ip, &link.name);
        chosen.wait_for(Awaited::DefaultRoute);
        chosen.warnings.push(format!(
            "this node has no {family} default route; {ip} on {link} is taken for its address because it is the only one"
        ));
        Ok(self.listen(ip, Origin::OnlyOne { link: link.clone() }))
    }

    fn listen(&self, ip: IpAddr, origin: Origin) -> ListenAddress {
        ListenAddress { socket: SocketAddr::new(ip, self.port), origin, present: true }
    }
}
