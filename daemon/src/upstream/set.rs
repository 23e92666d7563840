//! The set of upstreams in use, and which of them are asked for which names: immutable, swapped whole when discovery
//! finds another.
//!
//! Discovery decides what is in it, the engine asks it, the guard speaks of its members by [`UpstreamId`]. Whoever asks
//! whom to ask, in which order, and whose word counts, asks the [`Route`] of the name: what is true of one route says
//! nothing of another.

use std::collections::HashMap;
use std::sync::Arc;

use super::Endpoint;
use crate::net::reach;
use crate::wire::name;
use crate::wire::query::shown_as_domain;

/// Stands for one endpoint for as long as the process lives, also across sets, so that what was learnt of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub u16);

/// How a server is reached. Verdicts and health are per transport, since a firewall or DNAT may bend only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams (RFC 1035, section 4.2.1).
    Udp,
    /// Streams with a length before each message (RFC 7766).
    Tcp,
    /// The same within TLS (RFC 7858).
    Tls,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// Returns its name, as programs read it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// One upstream server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its number.
    pub id: UpstreamId,
    /// Where it is, and how it is spoken to.
    pub endpoint: Endpoint,
    /// What named it, for people: a path, or `configuration`.
    pub source: Arc<str>,
}

/// The upstreams for the names under one suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The suffix in lower-cased wire form; the root's has all names that no longer suffix has.
    pub suffix: Box<[u8]>,
    /// First asked first.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Whether they know the same: any of them may be asked as well when another is slow.
    pub equivalent: bool,
}

/// All upstreams, and the routes to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamSet {
    /// Each once; those for all names first.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The longest suffix first.
    routes: Vec<Route>,
    /// Where in `routes` the route of each suffix stands.
    by_suffix: HashMap<Box<[u8]>, usize>,
}

/// What a response is worth after another set came into use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// As much as before: its upstream is asked still, and none comes before it that did not then, save one that knows
    /// the same.
    Unchanged,
    /// It serves where none of the upstreams answers: others are asked first now.
    BetterThanNothing,
    /// Another route has the name now, whose servers know other things.
    Nothing,
}

/// Hands out ids; the same endpoint always gets the same one.
#[derive(Debug, Default)]
pub struct UpstreamIds {
    known: HashMap<Endpoint, UpstreamId>,
}

impl Upstream {
    /// Whether the server is on loopback, link-local, private or unique local space: near, and perhaps part of a loop.
    #[must_use]
    pub fn is_near(&self) -> bool {
        let ip = self.endpoint.server.ip().to_canonical();
        ip.is_loopback() || reach::is_private(ip) || reach::is_link_local(ip)
    }
}

impl Route {
    /// Builds a route: equivalent are servers of one source that are all near or all public, and all asked with TLS or
    /// all without, unless `equivalent` says.
    #[must_use]
    pub fn new(
        suffix: &[u8],
        servers: Vec<(Endpoint, Arc<str>)>,
        equivalent: Option<bool>,
        ids: &mut UpstreamIds,
    ) -> Self {
        let upstreams: Vec<_> = servers
            .into_iter()
            .map(|(endpoint, source)| Arc::new(Upstream { id: ids.of(&endpoint), endpoint, source }))
            .collect();
        let alike = upstreams.windows(2).all(|pair| match pair {
            [one, other] => {
                let are_as_safe = one.endpoint.first_transport() == other.endpoint.first_transport();
                one.source == other.source && one.is_near() == other.is_near() && are_as_safe
            }
            _ => true,
        });
        Self { suffix: suffix.into(), upstreams, equivalent: equivalent.unwrap_or(alike) }
    }

    /// Whether it is the route of all names that no other has.
    #[must_use]
    pub(crate) fn is_root(&self) -> bool {
        *self.suffix == *name::ROOT
    }

    /// The upstream with this number, if this route has it.
    #[must_use]
    pub fn get(&self, id: UpstreamId) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|upstream| upstream.id == id)
    }

    /// Where the upstream stands in the order of the route.
    #[must_use]
    pub fn rank(&self, id: UpstreamId) -> Option<usize> {
        self.upstreams.iter().position(|upstream| upstream.id == id)
    }
}

impl UpstreamSet {
    /// Builds a set whose only route is the root's; see [`Route::new`].
    #[must_use]
    pub fn new(servers: Vec<(Endpoint, Arc<str>)>, equivalent: Option<bool>, ids: &mut UpstreamIds) -> Self {
        Self::of_routes(vec![Route::new(name::ROOT, servers, equivalent, ids)])
    }

    /// Builds a set of these routes.
    #[must_use]
    pub fn of_routes(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.suffix.len()));
        let by_suffix = routes.iter().enumerate().map(|(place, route)| (route.suffix.clone(), place)).collect();
        let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
        for upstream in routes.iter().rev().flat_map(|route| &route.upstreams) {
            if upstreams.iter().all(|known| known.id != upstream.id) {
                upstreams.push(Arc::clone(upstream));
            }
        }
        Self { upstreams, routes, by_suffix }
    }

    /// The upstream with this number, if it is in the set.
    #[must_use]
    pub fn get(&self, id: UpstreamId) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|upstream| upstream.id == id)
    }

    /// The route of `name` (lower-cased wire form): that of the longest suffix.
    #[must_use]
    pub fn route(&self, name: &[u8]) -> Option<&Route> {
        let mut suffix = name;
        while self.routes.len() > 1 {
            if let Some(route) = self.by_suffix.get(suffix).and_then(|place| self.routes.get(*place)) {
                return Some(route);
            }
            suffix = name::split(suffix)?.1;
        }
        self.routes.first().filter(|route| name::is_within(name, &route.suffix))
    }

    /// Tells in words all that decides whose answers count: routes, servers in their order, what is equivalent. Numbers
    /// of upstreams, which differ from process to process, are left out.
    #[must_use]
    pub fn describe(&self) -> String {
        let route = |route: &Route| {
            let servers: Vec<&Endpoint> = route.upstreams.iter().map(|upstream| &upstream.endpoint).collect();
            format!("{:?} {} {servers:?}\n", route.suffix, route.equivalent)
        };
        self.routes.iter().map(route).collect()
    }

    /// Tells what it is worth now that the upstream said something of `name` while `old` was in use.
    #[must_use]
    pub(crate) fn worth(&self, name: &[u8], id: UpstreamId, old: &Self) -> Worth {
        let (Some(route), Some(old)) = (self.route(name), old.route(name)) else { return Worth::Nothing };
        if route.suffix != old.suffix {
            return Worth::Nothing;
        }
        if route.upstreams.is_empty() {
            return Worth::Unchanged; // nothing better can be said
        }
        let Some(rank) = route.rank(id) else { return Worth::BetterThanNothing };
        let came_before = |earlier| old.rank(earlier).is_some_and(|earlier| Some(earlier) < old.rank(id));
        if route.equivalent || route.upstreams.iter().take(rank).all(|earlier| came_before(earlier.id)) {
            Worth::Unchanged
        } else {
            Worth::BetterThanNothing
        }
    }

    /// The upstreams for all names that no other route has.
    #[must_use]
    pub fn root(&self) -> &[Arc<Upstream>] {
        self.route(name::ROOT).map(|route| &route.upstreams[..]).unwrap_or_default()
    }

    /// The domains whose routes have this upstream, as text; none where it is one of those for all names.
    #[must_use]
    pub(crate) fn names(&self, id: UpstreamId) -> Vec<String> {
        let routes = || self.routes.iter().filter(|route| route.get(id).is_some());
        if routes().any(Route::is_root) {
            return Vec::new();
        }
        routes().map(|route| shown_as_domain(&route.suffix)).collect()
    }

    /// All routes, the longest suffix first.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

impl UpstreamIds {
    fn of(&mut self, endpoint: &Endpoint) -> UpstreamId {
        // Past 65,536 different endpoints in one life ids come again; what was learnt of the first is then forgotten.
        let next = UpstreamId(u16::try_from(self.known.len()).unwrap_or_else(|_| {
            self.known.clear();
            0
        }));
        *self.known.entry(endpoint.clone()).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Security;
    use crate::wire::name::wire;

    fn servers(servers: &[(&str, &str)]) -> Vec<(Endpoint, Arc<str>)> {
        servers.iter().map(|(server, source)| (server.parse().unwrap(), Arc::from(*source))).collect()
    }

    fn are_equivalent(listed: &[(&str, &str)], equivalent: Option<bool>) -> bool {
        Route::new(name::ROOT, servers(listed), equivalent, &mut UpstreamIds::default()).equivalent
    }

    #[test]
    fn equivalent_are_servers_of_one_source_and_one_kind() {
        assert!(are_equivalent(&[("10.0.0.2", "a"), ("10.0.0.3", "a")], None));
        assert!(!are_equivalent(&[("10.0.0.2", "a"), ("8.8.8.8", "a")], None));
        assert!(!are_equivalent(&[("10.0.0.2", "a"), ("10.0.0.3", "b")], None));
        assert!(are_equivalent(&[("10.0.0.2", "a"), ("8.8.8.8", "a")], Some(true)));
    }

    #[test]
    fn a_server_keeps_its_number_across_sets() {
        let mut ids = UpstreamIds::default();
        let one = UpstreamSet::new(servers(&[("10.0.0.2", "a")]), None, &mut ids);
        let two = UpstreamSet::new(servers(&[("10.0.0.3", "a"), ("10.0.0.2", "b")]), None, &mut ids);
        assert_eq!(one.upstreams[0].id, two.upstreams[1].id);
        assert_ne!(two.upstreams[0].id, two.upstreams[1].id);
    }

    #[test]
    fn what_an_upstream_said_counts_until_another_comes_before_it() {
        let mut ids = UpstreamIds::default();
        let mut set = |listed: &[&str], equivalent| {
            let listed: Vec<_> = listed.iter().map(|server| (*server, "a")).collect();
            UpstreamSet::new(servers(&listed), Some(equivalent), &mut ids)
        };
        let old = set(&["10.0.0.1", "10.0.0.2"], false);
        let [first, second] = [0, 1].map(|rank: usize| old.upstreams[rank].id);
        let (same, less) = (Worth::Unchanged, Worth::BetterThanNothing);
        for (listed, equivalent, worth) in [
            (&["10.0.0.1", "10.0.0.2"][..], false, [same, same]),
            (&["10.0.0.1", "10.0.0.2", "10.0.0.3"], false, [same, same]),
            (&["10.0.0.2", "10.0.0.1"], false, [less, same]),
            (&["10.0.0.2", "10.0.0.1"], true, [same, same]),
            (&["10.0.0.3", "10.0.0.1"], false, [less, less]),
            (&["10.0.0.2"], false, [less, same]),
        ] {
            let new = set(listed, equivalent);
            let found = [first, second].map(|id| new.worth(&wire("a.example"), id, &old));
            assert_eq!(found, worth, "{listed:?} {equivalent}");
        }
    }

    #[test]
    fn what_was_said_of_a_name_that_takes_another_route_now_counts_no_more() {
        let mut ids = UpstreamIds::default();
        let mut set = |routes: &[(&str, &str)]| {
            let mut route = |suffix: &str, server| Route::new(&wire(suffix), servers(&[(server, "a")]), None, &mut ids);
            UpstreamSet::of_routes(routes.iter().map(|(suffix, server)| route(suffix, *server)).collect())
        };
        let (all, corp) = ("192.0.2.8", "10.0.0.2");
        let without = set(&[("", all)]);
        let with = set(&[("", all), ("corp.example", corp)]);
        let shared = set(&[("", all), ("corp.example", all)]);
        let moved = set(&[("", all), ("corp.example", "10.0.0.3")]);
        let [all, corp] = [all, corp]
            .map(|server| with.upstreams.iter().find(|it| it.endpoint.server.ip().to_string() == server).unwrap().id);
        for (name, upstream, old, new, worth) in [
            ("www.example", all, &without, &with, Worth::Unchanged),
            ("www.corp.example", all, &without, &with, Worth::Nothing),
            ("www.corp.example", all, &without, &shared, Worth::Nothing),
            ("www.example", all, &with, &without, Worth::Unchanged),
            ("www.corp.example", corp, &with, &without, Worth::Nothing),
            ("www.corp.example", corp, &with, &with, Worth::Unchanged),
            ("www.corp.example", corp, &with, &moved, Worth::BetterThanNothing),
        ] {
            assert_eq!(new.worth(&wire(name), upstream, old), worth, "{name}");
        }
    }

    #[test]
    fn the_same_address_with_tls_is_another_upstream() {
        let mut ids = UpstreamIds::default();
        let plain = Endpoint::from("10.0.0.2".parse::<crate::upstream::Server>().unwrap());
        let tls = Endpoint { security: Security::Tls { name: None, strict: true }, ..plain.clone() };
        let set = UpstreamSet::new(vec![(plain, "a".into()), (tls, "a".into())], None, &mut ids);
        assert_ne!(set.upstreams[0].id, set.upstreams[1].id);
    }

    #[test]
    fn a_name_has_the_route_of_its_longest_suffix() {
        let mut ids = UpstreamIds::default();
        let mut route = |suffix: &str, server| Route::new(&wire(suffix), servers(&[(server, "a")]), None, &mut ids);
        let set = UpstreamSet::of_routes(vec![
            route("", "192.0.2.8"),
            route("corp.example", "10.0.0.2"),
            route("lab.corp.example", "10.0.0.3"),
        ]);
        let server = |name: &str| set.route(&wire(name)).map(|route| route.upstreams[0].endpoint.to_string());
        for (name, asked) in [
            ("www.example", "192.0.2.8:53"),
            ("notcorp.example", "192.0.2.8:53"),
            ("corp.example", "10.0.0.2:53"),
            ("www.corp.example", "10.0.0.2:53"),
            ("a.b.lab.corp.example", "10.0.0.3:53"),
        ] {
            assert_eq!(server(name).as_deref(), Some(asked), "{name}");
        }
        assert_eq!(set.upstreams.len(), 3);
        let corp_alone = UpstreamSet::of_routes(vec![route("corp.example", "10.0.0.2")]);
        assert_eq!(corp_alone.route(&wire("www.example")), None);
        assert!(corp_alone.route(&wire("www.corp.example")).is_some());
        assert_eq!(UpstreamSet::default().route(name::ROOT), None);
    }
}
