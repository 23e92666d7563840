//! The static rules: which candidates can never be upstreams, and why.
//!
//! Nothing is guessed here. Whatever else closes a loop is for the guard, which asks before it convicts; so no address
//! of a cloud or an overlay is refused, nor loopback, nor a server for lying in some network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::upstream::Server;

/// The addresses of the node caches that have one by custom: NodeLocal DNSCache, and that of kubespray.
const NODE_CACHES: [Ipv4Addr; 2] = [Ipv4Addr::new(169, 254, 20, 10), Ipv4Addr::new(169, 254, 25, 10)];

/// What the rules know of this node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules<'a> {
    /// Where Onward listens, or listened before.
    pub own: &'a [SocketAddr],
    /// kubelet's `clusterDNS`.
    pub cluster_dns: &'a [IpAddr],
}

/// Why a candidate is never asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// It is Onward itself.
    OwnListener,
    /// `0.0.0.0` or `::`.
    Unspecified,
    /// A group of hosts (RFC 5771, RFC 4291 section 2.7).
    Multicast,
    /// `255.255.255.255` (RFC 919).
    Broadcast,
    /// A cache in the cluster that asks whoever is in the node's resolv.conf.
    NodeCache,
    /// The cluster's DNS Service, which asks Onward.
    ClusterDns,
    /// A program's stub among the servers of that program.
    OwnStub,
    /// A stub whose program names no server: it would have nothing to say.
    StubNamesNone,
    /// A stub that encrypts and is away; what is behind it must not be asked in plain text.
    StubAway,
    /// A link-local IPv6 address without the link (RFC 4007, section 6).
    NoScope,
}

impl Rules<'_> {
    /// Judges one candidate.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub(crate) fn vet(&self, server: &Server) -> Result<(), Refusal> {
        let ip = server.ip().to_canonical();
        let own = |own: &SocketAddr| own.ip().to_canonical() == ip && own.port() == server.port();
        let refusal = match ip {
            _ if self.own.iter().any(own) => Refusal::OwnListener,
            _ if ip.is_unspecified() => Refusal::Unspecified,
            _ if ip.is_multicast() => Refusal::Multicast,
            IpAddr::V4(v4) if v4.is_broadcast() => Refusal::Broadcast,
            IpAddr::V4(v4) if NODE_CACHES.contains(&v4) => Refusal::NodeCache,
            _ if self.cluster_dns.iter().any(|dns| dns.to_canonical() == ip) => Refusal::ClusterDns,
            IpAddr::V6(v6) if v6.is_unicast_link_local() && server.scope().is_none() => Refusal::NoScope,
            _ => return Ok(()),
        };
        Err(refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnListener => "Onward itself listens there, or did: a loop",
            Self::Unspecified => "an unspecified address is no server",
            Self::Multicast => "a multicast address is no server",
            Self::Broadcast => "the broadcast address is no server",
            Self::NodeCache => {
                "a node cache of the cluster (NodeLocal DNSCache), which asks this node's resolver: a loop"
            }
            Self::ClusterDns => "kubelet's clusterDNS: the cluster's DNS asks this node's resolver: a loop",
            Self::OwnStub => "the stub of the very program that lists it, which would ask itself",
            Self::StubNamesNone => "a stub, and the program behind it names no server now",
            Self::StubAway => "a stub that encrypts and does not listen now: waited for, since its servers are not asked in plain text",
            Self::NoScope => "a link-local address without its interface cannot be reached; write it as fe80::1%eth0",
        })
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn vet(server: &str) -> Result<(), Refusal> {
        let own = ["10.0.0.5:53".parse().unwrap(), "[fd00::5]:5300".parse().unwrap()];
        let cluster_dns = ["10.96.0.10".parse().unwrap(), "fd00:96::a".parse().unwrap()];
        Rules { own: &own, cluster_dns: &cluster_dns }.vet(&server.parse().unwrap())
    }

    #[test]
    fn each_rule_has_its_reason() {
        for (server, refusal) in [
            ("10.0.0.5", Refusal::OwnListener),
            ("::ffff:10.0.0.5", Refusal::OwnListener),
            ("[fd00::5]:5300", Refusal::OwnListener),
            ("0.0.0.0", Refusal::Unspecified),
            ("::", Refusal::Unspecified),
            ("224.0.0.251", Refusal::Multicast),
            ("ff02::fb%eth0", Refusal::Multicast),
            ("255.255.255.255", Refusal::Broadcast),
            ("169.254.20.10", Refusal::NodeCache),
            ("169.254.25.10", Refusal::NodeCache),
            ("10.96.0.10", Refusal::ClusterDns),
            ("fd00:96::a", Refusal::ClusterDns),
            ("fe80::1", Refusal::NoScope),
        ] {
            assert_eq!(vet(server), Err(refusal), "{server}");
        }
    }

    #[test]
    fn nothing_else_is_refused() {
        for server in [
            "168.63.129.16",
            "169.254.169.253",
            "169.254.169.254",
            "fd00:ec2::253",
            "100.100.2.136",
            "100.100.2.138",
            "100.100.100.100",
            "127.0.0.1",
            "127.0.0.11",
            "127.0.0.53",
            "::1",
            "10.0.0.5:5353",
            "fd00::5",
            "10.96.0.11",
            "169.254.116.108",
            "169.254.10.10",
            "fe80::1%eth0",
            "8.8.8.8",
        ] {
            assert_eq!(vet(server), Ok(()), "{server}");
        }
    }
}
