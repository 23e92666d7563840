//! Settings that are allowed, and hold, but that a person should look at again. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Effective, Fault, Origin, Settings};
use crate::admit::acl::Allow;
use crate::net::reach::{is_link_local, is_private};
use crate::node_address::choose::Place;
use crate::upstream::server::DNS_PORT;

/// Minimum prefix length of an allowed network that is not told as a part of the Internet, IPv4 and IPv6.
const NARROW: (u8, u8) = (8, 16);

/// Maximum size of an answer that is kept, in bytes (RFC 1035, section 4.2.2).
const LARGEST_ANSWER: u64 = 65_535;
/// Minimum size of an answer in the cache, with what the cache needs for it, in bytes.
const SMALLEST_ANSWER: u64 = 150;

/// Returns what should be looked at again.
pub(super) fn find(settings: &Settings, effective: &Effective) -> Vec<Fault> {
    let warn = |key: &str, what: String| {
        let entry = effective.get(key)?;
        Some(Fault::value(entry.origin.clone(), key, &entry.toml(), what))
    };
    let is_set = |key: &str| effective.get(key).is_some_and(|entry| entry.origin != Origin::Default);
    let cache = &settings.cache;
    let (entries, bytes) = (u64::try_from(cache.max_entries).unwrap_or(u64::MAX), cache.max_bytes);
    let mut warnings = Vec::new();
    if let Some(network) = open_to(&settings.allow) {
        let what = format!(
            "an open resolver: {network} lets the whole Internet ask where it reaches this node, and it will be abused for \
             attacks; name the networks of your pods and nodes"
        );
        warnings.extend(warn("allow", what));
    }
    if !settings.listen.iter().any(|place| port(place) == DNS_PORT) {
        let what =
            format!("nothing here is on port {DNS_PORT}, so {} cannot be written", settings.resolv_conf.path.display());
        warnings.extend(warn("listen", what));
    }
    if cache.negative_ttl_max > cache.ttl_max && is_set("cache.negative_ttl_max") && is_set("cache.ttl_max") {
        warnings.extend(warn("cache.negative_ttl_max", "cache.ttl_max is less, and holds for this, too".to_owned()));
    }
    if is_set("cache.max_bytes") && entries.saturating_mul(LARGEST_ANSWER) < bytes {
        warnings.extend(warn(
            "cache.max_bytes",
            format!("can never be filled: cache.max_entries allows {entries} answers"),
        ));
    }
    if is_set("cache.max_entries") && bytes / SMALLEST_ANSWER < entries {
        let most = bytes / SMALLEST_ANSWER;
        warnings
            .extend(warn("cache.max_entries", format!("can never be reached: cache.max_bytes has room for {most}")));
    }
    warnings
}

fn port(place: &Place) -> u16 {
    match place {
        Place::Node | Place::Dedicated(_) => DNS_PORT,
        Place::Address(server) => server.port(),
        Place::Interface { port, .. } => *port,
    }
}

/// Returns the first network, of all that are allowed together, that is a part of the public Internet as large as only
/// whole continents need.
fn open_to(allow: &[Allow]) -> Option<IpNet> {
    let networks = allow.iter().filter_map(|allow| match allow {
        Allow::Network(network) => Some(*network),
        Allow::Local | Allow::Private => None,
    });
    IpNet::aggregate(&networks.collect()).into_iter().find(is_wide)
}

fn is_wide(network: &IpNet) -> bool {
    let inside = |ip: IpAddr| is_private(ip) || is_link_local(ip) || ip.is_multicast();
    match network {
        IpNet::V4(v4) => v4.prefix_len() < NARROW.0,
        IpNet::V6(v6) => v6.prefix_len() < NARROW.1 && !(inside(v6.network().into()) && inside(v6.broadcast().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(allow: &[&str]) -> Option<String> {
        let allow: Vec<Allow> = allow.iter().map(|word| word.parse().unwrap()).collect();
        open_to(&allow).map(|network| network.to_string())
    }

    #[test]
    fn an_open_resolver_is_seen_in_one_network_or_in_parts() {
        assert_eq!(open(&["local", "0.0.0.0/0"]).as_deref(), Some("0.0.0.0/0"));
        assert_eq!(open(&["::/0"]).as_deref(), Some("::/0"));
        assert_eq!(open(&["0.0.0.0/1", "128.0.0.0/1"]).as_deref(), Some("0.0.0.0/0"));
        assert_eq!(open(&["0.0.0.0/1"]).as_deref(), Some("0.0.0.0/1"));
        assert_eq!(open(&["2000::/3"]).as_deref(), Some("2000::/3"));
        assert_eq!(open(&["128.0.0.0/2", "192.0.0.0/3", "10.0.0.0/8"]).as_deref(), Some("128.0.0.0/2"));
        let quarters: Vec<String> = (0..256).map(|first| format!("{first}.0.0.0/8")).collect();
        assert_eq!(open(&quarters.iter().map(String::as_str).collect::<Vec<_>>()).as_deref(), Some("0.0.0.0/0"));
        assert_eq!(open(&["local", "private"]), None);
        assert_eq!(open(&["10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32", "fc00::/7", "fe80::/10"]), None);
    }
}
