//! Values that are sound alone but not together. Each rule names the keys it looks at, and is left out where one of
//! them is at fault already.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use super::schema::ROUTES;
use super::{Effective, Fault, Origin, Settings};
use crate::discovery::SourceName;
use crate::kubelet_limits;
use crate::kubelet_resolv_conf::Policy;
use crate::node_address::choose::{Families, Place};
use crate::upstream::{Endpoint, Suffix};

/// Directories of the programs that are our sources.
const OF_OTHERS: [&str; 5] =
    ["/run/systemd", "/run/NetworkManager", "/run/resolvconf", "/etc/resolvconf", "/run/dnsmasq"];

/// The faults between values.
pub(super) fn check(settings: &Settings, effective: &Effective, told: &[Fault]) -> Vec<Fault> {
    let rules = Rules { effective, told };
    let mut faults = Vec::new();
    faults.extend(addresses(settings, &rules));
    faults.extend(upstreams(settings, &rules));
    faults.extend(routes(settings, &rules));
    faults.extend(files(settings, &rules));
    faults.extend(lifetimes(settings, &rules));
    faults
}

struct Rules<'a> {
    effective: &'a Effective,
    told: &'a [Fault],
}

impl Rules<'_> {
    /// A fault of the first key, or of the second where the first is a default.
    fn between(&self, one: &str, other: &str, what: &str) -> Option<Fault> {
        if self.told.iter().any(|fault| fault.key.as_deref().is_some_and(|key| key == one || key == other)) {
            return None;
        }
        let (one, other) = (self.effective.get(one)?, self.effective.get(other)?);
        let (one, other) = if one.origin == Origin::Default { (other, one) } else { (one, other) };
        let beside = if one.key == other.key {
            String::new()
        } else {
            format!(" (beside {} = {}, {})", other.key, other.toml(), other.origin)
        };
        Some(Fault::value(one.origin.clone(), &one.key, &one.toml(), format!("{what}{beside}")))
    }
}

fn left_out(ip: IpAddr, families: Families) -> bool {
    match families {
        Families::Ipv4 => ip.is_ipv6(),
        Families::Ipv6 => ip.is_ipv4(),
        Families::Auto | Families::Both => false,
    }
}

fn addresses(settings: &Settings, rules: &Rules<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut listen = settings.listen.iter().filter_map(Place::server).map(|server| server.ip());
    let families = settings.families;
    let other = |ip: IpAddr| left_out(ip, families);
    if listen.any(other) {
        faults.extend(rules.between("listen", "families", "an address of a family that is not to be listened on"));
    }
    if settings.node_ip.iter().copied().any(other) {
        faults.extend(rules.between("node_ip", "families", "an address of a family that is not to be listened on"));
    }
    if let [one, other] = settings.node_ip.as_slice()
        && one.is_ipv4() == other.is_ipv4()
    {
        faults.extend(rules.between("node_ip", "node_ip", "two addresses of one family; allowed is one of each"));
    }
    faults
}

/// Whether one of the servers is where Onward listens.
fn has_ours(servers: &[Endpoint], settings: &Settings) -> bool {
    settings.listen.iter().filter_map(Place::server).any(|own| servers.iter().any(|endpoint| endpoint.server == own))
}

fn upstreams(settings: &Settings, rules: &Rules<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if has_ours(&settings.upstreams.servers, settings) {
        let what = "one of the servers is Onward itself, which would be a loop; remove it";
        faults.extend(rules.between("upstreams.servers", "listen", what));
    }
    if settings.upstreams.servers.is_empty() && settings.upstreams.sources.is_empty() {
        let what = "neither servers nor sources: nothing could ever be asked; name one of them";
        faults.extend(rules.between("upstreams.sources", "upstreams.servers", what));
    }
    faults
}

fn routes(settings: &Settings, rules: &Rules<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen: HashMap<&Suffix, usize> = HashMap::new();
    for (place, route) in settings.routes.iter().enumerate() {
        if has_ours(&route.servers, settings) {
            let what = "one of the servers is Onward itself, which would be a loop; remove it";
            faults.extend(rules.between(&format!("routes[{place}].servers"), "listen", what));
        }
        for domain in &route.domains {
            if let Some(other) = seen.insert(domain, place) {
                let what = format!("{domain} has a route already; put all of its servers into one");
                let key = |place: usize| format!("routes[{place}].domains");
                faults.extend(rules.between(&key(place), &key(other), &what));
            }
        }
    }
    if settings.routes.len() > ROUTES {
        let what = format!("{} routes in all files; allowed are {ROUTES}", settings.routes.len());
        faults.extend(rules.between("routes[0].domains", "routes[0].domains", &what));
    }
    faults
}

fn files(settings: &Settings, rules: &Rules<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let path = plain(&settings.resolv_conf.path);
    if settings.upstreams.sources.iter().any(|source| matches!(source, SourceName::File(file) if plain(file) == path)) {
        let what = "the file that Onward writes is one that it reads servers from, and would name Onward as its own \
                    upstream; choose another path";
        faults.extend(rules.between("resolv_conf.path", "upstreams.sources", what));
    }
    if OF_OTHERS.iter().any(|directory| path.starts_with(directory)) {
        let what = "this directory belongs to another program, which reads and writes its own files there; choose another path";
        faults.extend(rules.between("resolv_conf.path", "resolv_conf.path", what));
    }
    let state_dir = plain(&settings.state_dir);
    if state_dir.starts_with(&path) {
        let what =
            "it would be a file and a directory at once, since state_dir needs a directory there; choose another path";
        faults.extend(rules.between("resolv_conf.path", "state_dir", what));
    }
    if let Policy::List(domains) = &settings.resolv_conf.search {
        let characters = domains.iter().map(|domain| domain.as_str().len() + 1).sum::<usize>().saturating_sub(1);
        if characters > kubelet_limits::CHARACTERS {
            let what = format!("{characters} characters in all; allowed are {}", kubelet_limits::CHARACTERS);
            faults.extend(rules.between("resolv_conf.search", "resolv_conf.search", &what));
        }
    }
    faults
}

/// The path without `.` and `..`, which need no look at the machine.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

fn lifetimes(settings: &Settings, rules: &Rules<'_>) -> Vec<Fault> {
    let cache = &settings.cache;
    let mut faults = Vec::new();
    if cache.ttl_min > cache.ttl_max {
        faults.extend(rules.between("cache.ttl_min", "cache.ttl_max", "must not exceed cache.ttl_max"));
    }
    if cache.ttl_min > cache.negative_ttl_max {
        let what = "must not exceed cache.negative_ttl_max, since it holds for negative responses, too";
        faults.extend(rules.between("cache.ttl_min", "cache.negative_ttl_max", what));
    }
    faults
}
