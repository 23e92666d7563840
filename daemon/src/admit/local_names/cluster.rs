//! Names of the cluster that arrive at the node's forwarder, where nobody knows them. Pure.
//!
//! They come by search lists (`db.shop.svc.cluster.local.corp.example`, after the cluster's DNS has said no to all
//! else), from programs of the node itself, and as reverse names of Services. On some clusters they are half of what
//! leaves.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::upstream::UpstreamSet;
use crate::wire::name;

/// Time that clients may keep the denial of such a name, in seconds.
pub(super) const TTL: u32 = 30;
/// The labels below the cluster's domain under which Services and pods have their names.
const BRANCHES: [&[u8]; 2] = [b"svc", b"pod"];
/// Length of a network around the address of the cluster's DNS that is surely of Services, IPv4 and IPv6.
const AROUND_DNS: (u8, u8) = (24, 112);

/// Which names are the cluster's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClusterNames {
    /// The cluster's domain in its lower-cased wire form; empty where there is no cluster.
    domain: Vec<u8>,
    /// What stands in names below it, without the root: `svc` and the domain's labels, and `pod` likewise.
    branches: Vec<Vec<u8>>,
    /// Networks of Services.
    services: Vec<IpNet>,
}

impl ClusterNames {
    /// Builds it from the cluster's domain, the address of its DNS, and networks of Services that are known.
    pub(crate) fn new(domain: &str, cluster_dns: &[IpAddr], service_networks: &[IpNet]) -> Self {
        let Ok(domain) = name::of_text(domain) else { return Self::default() };
        if domain == name::ROOT {
            return Self::default();
        }
        let labels = domain.strip_suffix(name::ROOT).unwrap_or(&domain);
        let branch = |label: &&[u8]| {
            let length = u8::try_from(label.len()).unwrap_or_default();
            [&[length], *label, labels].concat()
        };
        let around = |ip: &IpAddr| {
            let prefix = if ip.is_ipv4() { AROUND_DNS.0 } else { AROUND_DNS.1 };
            IpNet::new(*ip, prefix).ok().map(|network| network.trunc())
        };
        let services = service_networks.iter().copied().chain(cluster_dns.iter().filter_map(around));
        Self { branches: BRANCHES.iter().map(branch).collect(), services: services.collect(), domain }
    }

    /// Whether a name, in its lower-cased wire form, is the cluster's. One that a route was made for is not.
    pub(crate) fn has(&self, name: &[u8], set: &UpstreamSet) -> bool {
        if self.domain.is_empty() {
            return false;
        }
        let is_under = name::is_within(name, &self.domain);
        if is_under || self.is_of_service(name) {
            let is_routed = set.route(name).is_some_and(|route| !route.is_root());
            return !is_routed;
        }
        self.is_searched(name)
    }

    /// Whether the name of a Service or pod stands in it, before a domain of a search list.
    fn is_searched(&self, name: &[u8]) -> bool {
        let mut rest = name;
        while let Some((_, next)) = name::split(rest) {
            if self.branches.iter().any(|branch| rest.starts_with(branch)) {
                return true;
            }
            rest = next;
        }
        false
    }

    fn is_of_service(&self, name: &[u8]) -> bool {
        name::reversed(name).is_some_and(|ip| self.services.iter().any(|network| network.contains(&ip)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Route;
    use crate::upstream::set::UpstreamIds;
    use crate::wire::name::wire;

    fn cluster() -> ClusterNames {
        let dns = ["10.96.0.10".parse().unwrap(), "fd00:96::a".parse().unwrap()];
        ClusterNames::new("Cluster.Local.", &dns, &["172.20.0.0/16".parse().unwrap()])
    }

    #[test]
    fn names_of_the_cluster_are_known_by_themselves_and_before_a_search_domain() {
        for (name, is_clusters) in [
            ("cluster.local", true),
            ("kubernetes.default.svc.cluster.local", true),
            ("db.shop.svc.cluster.local.corp.example", true),
            ("10-244-0-3.shop.pod.cluster.local.corp.example", true),
            ("svc.cluster.local.eu-west-1.compute.internal", true),
            ("db.shop.svc.corp.example", false),
            ("cluster.local.corp.example", false),
            ("mycluster.local", false),
            ("db.mysvc.cluster.local.corp.example", false),
            ("svc.cluster.localhost", false),
            ("www.example", false),
            ("1.0.96.10.in-addr.arpa", true),
            ("9.9.20.172.in-addr.arpa", true),
            ("1.1.96.10.in-addr.arpa", false),
            ("96.10.in-addr.arpa", false),
            ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa", true),
            ("1.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.e.ip6.arpa", false),
        ] {
            assert_eq!(cluster().has(&wire(name), &UpstreamSet::default()), is_clusters, "{name}");
        }
        assert!(!ClusterNames::default().has(&wire("a.svc.cluster.local"), &UpstreamSet::default()));
    }

    #[test]
    fn a_route_for_names_of_the_cluster_takes_them_and_one_for_a_search_domain_does_not() {
        let route = |suffix: &str| Route::new(&wire(suffix), Vec::new(), None, &mut UpstreamIds::default());
        let set = UpstreamSet::of_routes(["", "cluster.local", "corp.example", "96.10.in-addr.arpa"].map(route).into());
        for (name, is_clusters) in [
            ("db.shop.svc.cluster.local", false),
            ("db.shop.svc.cluster.local.corp.example", true),
            ("1.0.96.10.in-addr.arpa", false),
        ] {
            assert_eq!(cluster().has(&wire(name), &set), is_clusters, "{name}");
        }
    }
}
