//! The set of upstreams in use: ordered, immutable, swapped whole when discovery finds another.
//!
//! Discovery decides what is in it, the engine asks it, the guard speaks of its members by [`UpstreamId`].

use std::collections::HashMap;
use std::sync::Arc;

use super::Server;
use crate::net::reach;

/// Stands for one server for as long as the process lives, also across sets, so that what was learnt of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub u16);

/// How a server is reached. The guard's verdicts are per transport, since a firewall or DNAT may bend only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams (RFC 1035, section 4.2.1).
    Udp,
    /// Streams with a length before each message (RFC 7766).
    Tcp,
}

/// One upstream server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its number.
    pub id: UpstreamId,
    /// Where it is.
    pub server: Server,
    /// What named it, for people: a path, or `configuration`.
    pub source: Arc<str>,
}

/// The upstreams in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamSet {
    /// First asked first.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Whether any of them may be asked as well when another is slow.
    pub equivalent: bool,
}

/// Hands out ids; the same server always gets the same one.
#[derive(Debug, Default)]
pub struct UpstreamIds {
    known: HashMap<Server, UpstreamId>,
}

impl Upstream {
    /// Whether the server is on loopback, link-local, private or unique local space: near, and perhaps part of a loop.
    #[must_use]
    pub fn is_near(&self) -> bool {
        let ip = self.server.ip().to_canonical();
        ip.is_loopback() || reach::is_private(ip) || reach::is_link_local(ip)
    }
}

impl UpstreamSet {
    /// Builds a set: equivalent are servers of one source that are all near or all public, unless `equivalent` says.
    #[must_use]
    pub fn new(servers: Vec<(Server, Arc<str>)>, equivalent: Option<bool>, ids: &mut UpstreamIds) -> Self {
        let upstreams: Vec<_> = servers
            .into_iter()
            .map(|(server, source)| Arc::new(Upstream { id: ids.of(&server), server, source }))
            .collect();
        let alike = upstreams.windows(2).all(|pair| match pair {
            [one, other] => one.source == other.source && one.is_near() == other.is_near(),
            _ => true,
        });
        Self { upstreams, equivalent: equivalent.unwrap_or(alike) }
    }

    /// The upstream with this number, if it is in the set.
    #[must_use]
    pub fn get(&self, id: UpstreamId) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|upstream| upstream.id == id)
    }
}

impl UpstreamIds {
    fn of(&mut self, server: &Server) -> UpstreamId {
        // Past 65,536 different servers in one life ids come again; what was learnt of the first is then forgotten.
        let next = UpstreamId(u16::try_from(self.known.len()).unwrap_or_else(|_| {
            self.known.clear();
            0
        }));
        *self.known.entry(server.clone()).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(servers: &[(&str, &str)], equivalent: Option<bool>) -> UpstreamSet {
        let servers = servers.iter().map(|(server, source)| (server.parse().unwrap(), Arc::from(*source)));
        UpstreamSet::new(servers.collect(), equivalent, &mut UpstreamIds::default())
    }

    #[test]
    fn equivalent_are_servers_of_one_source_and_one_kind() {
        assert!(set(&[("10.0.0.2", "a"), ("10.0.0.3", "a")], None).equivalent);
        assert!(!set(&[("10.0.0.2", "a"), ("8.8.8.8", "a")], None).equivalent);
        assert!(!set(&[("10.0.0.2", "a"), ("10.0.0.3", "b")], None).equivalent);
        assert!(set(&[("10.0.0.2", "a"), ("8.8.8.8", "a")], Some(true)).equivalent);
    }

    #[test]
    fn a_server_keeps_its_number_across_sets() {
        let mut ids = UpstreamIds::default();
        let one = UpstreamSet::new(vec![("10.0.0.2".parse().unwrap(), "a".into())], None, &mut ids);
        let two = UpstreamSet::new(
            vec![("10.0.0.3".parse().unwrap(), "a".into()), ("10.0.0.2".parse().unwrap(), "b".into())],
            None,
            &mut ids,
        );
        assert_eq!(one.upstreams[0].id, two.upstreams[1].id);
        assert_ne!(two.upstreams[0].id, two.upstreams[1].id);
    }
}
