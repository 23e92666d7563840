//! Addresses that are the same on every node and are there for pods alone: which may be taken, what speaks against one
//! here, and what has to be done so that the node has it. Pure.
//!
//! `onward dedicated` does it, as a small unit with the privilege for it (onward-dedicated.service); the daemon only
//! listens. Nothing here ever takes an address away: pods keep theirs for as long as they live.

use std::net::IpAddr;

use ipnet::IpNet;

use super::table::{RouteKind, Tables};
use crate::net::reach::{LINK_LOCAL, is_link_local, is_private};

/// The link that holds these addresses, and nothing else.
pub(crate) const LINK: &str = "onward0";
/// The link that holds them where the kernel has no links of that kind (`CONFIG_DUMMY`).
pub(crate) const LOOPBACK: &str = "lo";

/// What clouds answer on every node: their metadata and their DNS (Amazon, Azure, Google, Oracle and others).
const CLOUDS: [&str; 6] =
    ["169.254.169.254", "169.254.169.253", "169.254.169.123", "fd00:ec2::254", "fd00:ec2::253", "fd20:ce::254"];

/// An address of a private network, or a link-local one of IPv4: it is on this node, and no other's packets go there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dedicated(IpAddr);

/// Why an address cannot be a dedicated one on any node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// Another owner's, or of a kind that no pod can ask.
    #[error(
        "allowed is \"dedicated:\" and an address of a private network or of 169.254.0.0/16, as \"dedicated:169.254.53.53\" or \
         \"dedicated:fd00:53::53\": another one would be taken from whoever has it"
    )]
    NotPrivate,
    /// One of [`CLOUDS`].
    #[error("clouds answer there on every node; take another one, as \"dedicated:169.254.53.53\"")]
    OfClouds,
}

/// Why an address must not be put on this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    /// On a link of another program's.
    #[error("{link} has it already")]
    OnLink {
        /// The link's name.
        link: String,
    },
    /// In a network that is routed here: of pods, of other nodes.
    #[error("it is in {network}, which {}: who has it there could not be reached any more",
        link.as_ref().map_or_else(|| "this node has a route for".to_owned(), |link| format!("is on {link}")))]
    Routed {
        /// The network.
        network: IpNet,
        /// The link that the route leaves by.
        link: Option<String>,
    },
    /// In the network of Services.
    #[error("it is in {0}, the network of Services, where the cluster may give it to one of them")]
    OfServices(IpNet),
    /// What the cluster's own DNS has.
    #[error("it is the address of the cluster's own DNS")]
    OfClusterDns,
}

/// What has to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Makes [`LINK`].
    MakeLink,
    /// Sets it up.
    RaiseLink,
    /// Puts an address on that link.
    Add(Dedicated, &'static str),
}

impl Dedicated {
    /// Takes an address that may be one.
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn new(ip: IpAddr) -> Result<Self, Unfit> {
        let is_ours_to_take = is_private(ip) || (ip.is_ipv4() && is_link_local(ip));
        match ip {
            _ if CLOUDS.iter().any(|cloud| cloud.parse() == Ok(ip)) => Err(Unfit::OfClouds),
            _ if is_ours_to_take => Ok(Self(ip)),
            _ => Err(Unfit::NotPrivate),
        }
    }

    /// The address.
    pub(crate) fn ip(self) -> IpAddr {
        self.0
    }

    /// The address as the network of itself, `169.254.53.53/32`.
    pub(crate) fn network(self) -> IpNet {
        IpNet::from(self.0)
    }

    /// What speaks against it on a node with these tables, in a cluster with these networks of Services and this DNS.
    pub(crate) fn conflict(self, tables: &Tables, services: &[IpNet], cluster_dns: &[IpAddr]) -> Option<Conflict> {
        if cluster_dns.contains(&self.0) {
            return Some(Conflict::OfClusterDns);
        }
        if let Some(services) = services.iter().find(|network| network.contains(&self.0)) {
            return Some(Conflict::OfServices(*services));
        }
        let name = |index| tables.link(index).map_or_else(String::new, |link| link.name.clone());
        let is_elsewhere = |link: &String| !is_ours(link);
        let holders = tables.addresses.iter().filter(|address| address.ip == self.0);
        if let Some(link) = holders.map(|address| name(address.link)).find(is_elsewhere) {
            return Some(Conflict::OnLink { link });
        }
        // 169.254.0.0/16 is often routed to a link, and nothing that pods ask is there.
        let is_meant = |network: IpNet| network.prefix_len() > 0 && !LINK_LOCAL.contains(&network);
        let routes = tables.routes.iter().filter(|route| {
            route.kind == RouteKind::Unicast && is_meant(route.destination) && route.destination.contains(&self.0)
        });
        let mut routes = routes.map(|route| (route.destination, route.link.map(name)));
        let (network, link) = routes.find(|(_, link)| link.as_ref().is_none_or(is_elsewhere))?;
        Some(Conflict::Routed { network, link })
    }
}

/// Returns what has to be done so that a node with these tables has these addresses, on `link`: [`LINK`] or
/// [`LOOPBACK`].
pub(crate) fn steps(wanted: &[Dedicated], link: &'static str, tables: &Tables) -> Vec<Step> {
    let has = |one: &Dedicated| {
        let mut holders = tables.addresses.iter().filter(|address| address.ip == one.0);
        holders.any(|address| tables.link(address.link).is_some_and(|link| is_ours(&link.name)))
    };
    let missing: Vec<_> = wanted.iter().filter(|one| !has(one)).map(|one| Step::Add(*one, link)).collect();
    let mut steps = match tables.link_named(link) {
        _ if wanted.is_empty() => Vec::new(),
        None if missing.is_empty() => Vec::new(),
        None => vec![Step::MakeLink, Step::RaiseLink],
        Some(link) if !link.up => vec![Step::RaiseLink],
        Some(_) => Vec::new(),
    };
    steps.extend(missing);
    steps
}

/// Whether a link holds addresses that were put there for Onward.
fn is_ours(link: &str) -> bool {
    matches!(link, LINK | LOOPBACK)
}

#[cfg(test)]
mod tests {
    use super::super::table::{LinkIndex, Route};
    use super::super::tests::tables;
    use super::*;

    fn dedicated(ip: &str) -> Dedicated {
        Dedicated::new(ip.parse().unwrap()).unwrap()
    }

    #[test]
    fn addresses_of_others_cannot_be_dedicated() {
        for fit in ["169.254.53.53", "10.53.53.53", "172.31.0.1", "192.168.0.1", "100.64.0.1", "fd00:53::53"] {
            assert_eq!(Dedicated::new(fit.parse().unwrap()).unwrap().ip().to_string(), fit);
        }
        for foreign in
            ["8.8.8.8", "2001:db8::1", "fe80::1", "127.0.0.53", "::1", "224.0.0.1", "0.0.0.0", "::ffff:10.0.0.1"]
        {
            assert_eq!(Dedicated::new(foreign.parse().unwrap()), Err(Unfit::NotPrivate), "{foreign}");
        }
        for cloud in CLOUDS {
            assert_eq!(Dedicated::new(cloud.parse().unwrap()), Err(Unfit::OfClouds), "{cloud}");
        }
    }

    /// What speaks against the address on a node that has these links and these routes by the first of them.
    fn against(ip: &str, links: &str, routes: &[&str]) -> Option<String> {
        let mut tables = tables(links);
        let route = |destination: &&str| Route {
            destination: destination.parse().unwrap(),
            kind: RouteKind::Unicast,
            gateway: None,
            link: Some(LinkIndex(1)),
            metric: 0,
            source: None,
        };
        tables.routes.extend(routes.iter().map(route));
        let conflict =
            dedicated(ip).conflict(&tables, &["10.96.0.0/12".parse().unwrap()], &["10.43.0.10".parse().unwrap()]);
        conflict.map(|conflict| conflict.to_string())
    }

    #[test]
    fn what_somebody_else_may_have_is_not_taken() {
        let node = "eth0; +10.0.0.5/24; > via 10.0.0.1";
        assert_eq!(against("169.254.53.53", node, &["10.0.0.0/24", "169.254.0.0/16"]), None);
        assert_eq!(against("10.53.53.53", node, &["10.0.0.0/24"]), None);
        let tells = |ip: &str, links: &str, routes: &[&str], part: &str| {
            let told = against(ip, links, routes).unwrap_or_default();
            assert!(told.contains(part), "{ip}: {told:?}");
        };
        tells("10.0.0.53", node, &["10.0.0.0/24"], "it is in 10.0.0.0/24, which is on eth0");
        tells("10.244.1.1", node, &["10.244.0.0/16"], "it is in 10.244.0.0/16");
        tells("10.100.0.1", node, &[], "10.96.0.0/12, the network of Services");
        tells("10.43.0.10", node, &[], "the cluster's own DNS");
        tells("169.254.20.10", "nodelocaldns dummy; +169.254.20.10/32", &[], "nodelocaldns has it already");
        assert_eq!(
            against("10.53.53.53", "onward0 dummy; +10.53.53.53/32", &["10.53.53.53/32"]),
            None,
            "it is there by us"
        );
    }

    #[test]
    fn only_what_is_missing_is_done() {
        let wanted = [dedicated("169.254.53.53"), dedicated("fd00:53::53")];
        let [v4, v6] = wanted.map(|one| Step::Add(one, LINK));
        let steps = |links: &str| steps(&wanted, LINK, &tables(links));
        assert_eq!(steps("eth0; +10.0.0.5/24"), [Step::MakeLink, Step::RaiseLink, v4, v6]);
        assert_eq!(steps("onward0 dummy down; +169.254.53.53/32"), [Step::RaiseLink, v6]);
        assert_eq!(steps("onward0 dummy; +169.254.53.53/32; +fd00:53::53/128"), []);
        assert_eq!(
            steps("eth0; +169.254.53.53/32; onward0 dummy; +fd00:53::53/128"),
            [v4],
            "another link's is not ours"
        );
        assert_eq!(super::steps(&[], LINK, &tables("eth0")), [], "nobody wants one");
        let on_loopback = [Step::Add(wanted[0], LOOPBACK)];
        assert_eq!(super::steps(&wanted[..1], LOOPBACK, &tables("lo; +127.0.0.1/8")), on_loopback);
        let there = tables("lo; +127.0.0.1/8; +169.254.53.53/32; +fd00:53::53/128");
        assert_eq!(super::steps(&wanted, LINK, &there), [], "they are where an older kernel had them");
    }
}
