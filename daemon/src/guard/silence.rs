//! The third witness: silence. Pure.
//!
//! Forwarders that merge equal questions (dnsmasq, unbound, Knot Resolver) turn a loop into a wait: the question that
//! came back joins the one that is waiting for it, and nothing carries a mark home. So an ask that ends as a loop would
//! end is a reason to send a probe, whose name nobody merges. And where the network shows that an upstream asks us what
//! we would ask it, another one can be asked first.

use std::net::IpAddr;
use std::sync::Arc;

use crate::upstream::{Route, Upstream, UpstreamId};

/// The upstream that `from`, the address of who asks, belongs to: not to be asked this question first.
///
/// Only among equivalent upstreams, whose order is ours to choose. The source of a datagram can be forged, and clients
/// behind masquerade share an upstream's address: were the order of unequal upstreams to yield to that, a stranger
/// could move internal names to a public second server.
#[must_use]
pub(crate) fn not_first(route: &Route, from: IpAddr) -> Option<UpstreamId> {
    if !route.equivalent {
        return None;
    }
    let from = from.to_canonical();
    let is_asker = |upstream: &&Arc<Upstream>| upstream.endpoint.server.ip().to_canonical() == from;
    route.upstreams.iter().find(is_asker).map(|upstream| upstream.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::set::UpstreamIds;
    use crate::wire::name;

    fn route(servers: &[&str]) -> Route {
        let servers = servers.iter().map(|server| (server.parse().unwrap(), "a".into())).collect();
        Route::new(name::ROOT, servers, None, &mut UpstreamIds::default())
    }

    #[test]
    fn who_asks_is_not_asked_first_among_equals() {
        let route = route(&["10.0.0.2", "10.0.0.3"]);
        assert_eq!(not_first(&route, "::ffff:10.0.0.3".parse().unwrap()), Some(route.upstreams[1].id));
        assert_eq!(not_first(&route, "10.0.0.4".parse().unwrap()), None);
    }

    #[test]
    fn a_forged_source_does_not_move_internal_names_to_a_public_server() {
        assert_eq!(not_first(&route(&["10.0.0.2", "8.8.8.8"]), "10.0.0.2".parse().unwrap()), None);
    }
}
