//! The third witness: silence. Pure.
//!
//! Forwarders that merge equal questions (dnsmasq, unbound, Knot Resolver) turn a loop into a wait: the question that
//! came back joins the one that is waiting for it, and nothing carries a mark home. So an ask that ends as a loop would
//! end is a reason to send a probe, whose name nobody merges. And where the network shows that an upstream asks us what
//! we would ask it, another one can be asked first.

use std::net::IpAddr;

use crate::upstream::{UpstreamId, UpstreamSet};

/// How an ask went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An answer that is worth something, also NXDOMAIN, or a failure with a reason that holds everywhere.
    Answered,
    /// No answer by the time that it was late by the upstream's own standards.
    Late,
    /// SERVFAIL, without such a reason.
    Servfail,
    /// REFUSED, without such a reason.
    Refused,
    /// Nobody there: the network refused the connection or the datagram.
    Unreachable,
}

/// Whether an ask that ended so is a reason to look for a loop.
///
/// An upstream that nobody listens at cannot send anything back, and one that answered has not looped.
#[must_use]
pub fn is_suspicion(end: End) -> bool {
    matches!(end, End::Late | End::Servfail | End::Refused)
}

/// The upstream that `from`, the address of who asks, belongs to: not to be asked this question first.
///
/// Only among equivalent upstreams, whose order is ours to choose. The source of a datagram can be forged, and clients
/// behind masquerade share an upstream's address: were the order of unequal upstreams to yield to that, a stranger
/// could move internal names to a public second server.
#[must_use]
pub fn not_first(set: &UpstreamSet, from: IpAddr) -> Option<UpstreamId> {
    if !set.equivalent {
        return None;
    }
    let from = from.to_canonical();
    set.upstreams.iter().find(|upstream| upstream.server.ip().to_canonical() == from).map(|upstream| upstream.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::set::UpstreamIds;

    fn set(servers: &[&str]) -> UpstreamSet {
        let servers = servers.iter().map(|server| (server.parse().unwrap(), "a".into())).collect();
        UpstreamSet::new(servers, None, &mut UpstreamIds::default())
    }

    #[test]
    fn an_ask_that_ends_as_a_loop_would_is_suspicious() {
        assert!([End::Late, End::Servfail, End::Refused].into_iter().all(is_suspicion));
        assert!(![End::Answered, End::Unreachable].into_iter().any(is_suspicion));
    }

    #[test]
    fn who_asks_is_not_asked_first_among_equals() {
        let set = set(&["10.0.0.2", "10.0.0.3"]);
        assert_eq!(not_first(&set, "::ffff:10.0.0.3".parse().unwrap()), Some(set.upstreams[1].id));
        assert_eq!(not_first(&set, "10.0.0.4".parse().unwrap()), None);
    }

    #[test]
    fn a_forged_source_does_not_move_internal_names_to_a_public_server() {
        assert_eq!(not_first(&set(&["10.0.0.2", "8.8.8.8"]), "10.0.0.2".parse().unwrap()), None);
    }
}
