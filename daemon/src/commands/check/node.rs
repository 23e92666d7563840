//! What only the node can tell of a configuration: whether its files can be read and written by the user of the
//! service, whether its memory is enough, and whether the servers are others than Onward itself.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::access::Identity;
use super::unit::Unit;
use crate::config::{Fault, Loaded, Origin, Settings};
use crate::discovery::Root;
use crate::discovery::vet::Rules;
use crate::upstream::Endpoint;

/// Memory of a service that has nothing to do, in bytes.
const BASE: u64 = 8 << 20;
/// Maximum memory of a question that is being asked, and of a client's connection, in bytes.
const OF_A_MISS: u64 = 2 << 10;
const OF_A_CONNECTION: u64 = 48 << 10;

/// The node, as far as it matters.
#[derive(Debug)]
pub(super) struct Node {
    /// Who reads and writes.
    pub(super) identity: Identity,
    /// The unit, where one is installed.
    pub(super) unit: Option<Unit>,
    /// Memory of the machine, in bytes, where it is known.
    pub(super) memory: Option<u64>,
    /// Where Onward listens, or would.
    pub(super) own: Vec<SocketAddr>,
    /// kubelet's `clusterDNS`.
    pub(super) cluster_dns: Vec<IpAddr>,
}

/// Memory of the machine, in bytes (proc(5), `/proc/meminfo`).
pub(super) fn memory(root: &Root) -> Option<u64> {
    let text = root.read_text("/proc/meminfo").ok()??;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns what may be in memory by the configuration, in bytes, by the key that bounds it. The test `flood` holds
/// these figures.
fn needs(settings: &Settings) -> [(&'static str, u64); 3] {
    let times = |number: usize, bytes: u64| u64::try_from(number).unwrap_or(u64::MAX).saturating_mul(bytes);
    let cache = settings.cache.max_bytes;
    [
        ("cache.max_bytes", cache.saturating_add(cache / 4)),
        ("limits.misses", times(settings.limits.misses, OF_A_MISS)),
        ("limits.tcp_connections", times(settings.limits.tcp.connections, OF_A_CONNECTION)),
    ]
}

impl Node {
    /// Returns what the service could not read or write.
    pub(super) fn barred(&self, loaded: &Loaded) -> Vec<Fault> {
        let mut barred = Vec::new();
        for file in &loaded.files {
            barred.extend(self.identity.reads(file).err().map(|what| fault(file, what)));
        }
        for folder in &loaded.folders {
            barred.extend(self.identity.lists(folder).err().map(|what| fault(folder, what)));
        }
        let path = &loaded.settings.resolv_conf.path;
        let is_directory = path.is_dir().then(|| "it is a directory; write the path of a file".to_owned());
        let directory = path.parent().unwrap_or(path);
        let what = is_directory.or_else(|| self.bars(loaded, "resolv_conf.path", directory));
        barred.extend(what.and_then(|what| of_key(loaded, "resolv_conf.path", format!("cannot be written: {what}"))));
        let what = self.bars(loaded, "state_dir", &loaded.settings.state_dir);
        barred.extend(what.and_then(|what| of_key(loaded, "state_dir", format!("nothing can be kept there: {what}"))));
        barred
    }

    /// Returns what keeps the service from making files in the directory. A default is not judged where no unit is
    /// installed, since the unit will make its directory.
    fn bars(&self, loaded: &Loaded, key: &str, directory: &Path) -> Option<String> {
        let is_default = loaded.effective.get(key).is_none_or(|entry| entry.origin == Origin::Default);
        match &self.unit {
            None if is_default => None,
            Some(unit) if unit.made.iter().any(|made| directory.starts_with(made)) => None,
            Some(unit) if !unit.lets_write(directory) => {
                Some(format!("the unit protects {}; name it in ReadWritePaths=", directory.display()))
            }
            _ => self.identity.writes_into(directory).err(),
        }
    }

    /// Returns what would not work, or not as meant, on this node.
    pub(super) fn doubts(&self, loaded: &Loaded) -> Vec<Fault> {
        let mut doubts = self.servers(loaded);
        let limit = self.unit.as_ref().and_then(|unit| unit.memory).map(|bytes| (bytes, "MemoryMax= of the unit"));
        let machine = self.memory.map(|bytes| (bytes, "the memory of this machine"));
        let least = limit.into_iter().chain(machine).min_by_key(|(bytes, _)| *bytes);
        let needs = needs(&loaded.settings);
        let whole = needs.iter().map(|(_, bytes)| bytes).sum::<u64>() + BASE;
        if let Some((bytes, whose)) = least.filter(|(bytes, _)| whole > *bytes) {
            let what = format!(
                "with it Onward may need {} MiB, more than {whose}, which is {} MiB, and would be killed",
                whole >> 20,
                bytes >> 20
            );
            let largest = needs.iter().max_by_key(|(_, bytes)| *bytes);
            doubts.extend(largest.and_then(|(key, _)| of_key(loaded, key, what)));
        }
        doubts
    }

    /// Servers of the configuration that would never be asked.
    fn servers(&self, loaded: &Loaded) -> Vec<Fault> {
        let rules = Rules { own: &self.own, cluster_dns: &self.cluster_dns };
        let servers = &loaded.settings.upstreams.servers;
        let refusal = |endpoint: &Endpoint| Some(format!("{endpoint}: {}", rules.vet(&endpoint.server).err()?));
        let refused: Vec<String> = servers.iter().filter_map(refusal).collect();
        if refused.is_empty() {
            return Vec::new();
        }
        let left = if refused.len() == servers.len() { "no server is left to ask" } else { "not asked" };
        of_key(loaded, "upstreams.servers", format!("{left}: {}", refused.join("; "))).into_iter().collect()
    }
}

fn fault(file: &Path, what: String) -> Fault {
    let origin = Origin::File { path: file.display().to_string(), line: 0 };
    Fault { origin, key: None, value: None, what }
}

pub(super) fn of_key(loaded: &Loaded, key: &str, what: String) -> Option<Fault> {
    let entry = loaded.effective.get(key)?;
    Some(Fault { origin: entry.origin.clone(), key: Some(key.to_owned()), value: Some(entry.toml()), what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Overrides, Roots};

    fn loaded(variables: &[(&str, &str)]) -> Loaded {
        let roots = Roots { vendor: "/nonexistent".into(), etc: "/nonexistent".into() };
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        config::load_from(&roots, variables, &Overrides::default()).unwrap()
    }

    fn node() -> Node {
        let own = vec!["10.0.0.1:53".parse().unwrap()];
        let cluster_dns = vec!["10.96.0.10".parse().unwrap()];
        Node { identity: Identity::own(), unit: None, memory: Some(256 << 20), own, cluster_dns }
    }

    fn told(faults: &[Fault]) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_nodes_own_address_as_the_only_server_leaves_none() {
        let own = loaded(&[("ONWARD_UPSTREAMS__SERVERS", "10.0.0.1")]);
        let expected = "environment ONWARD_UPSTREAMS__SERVERS: upstreams.servers = [\"10.0.0.1:53\"]: no server is left to \
                        ask: 10.0.0.1:53: Onward itself listens there, or did: a loop";
        assert_eq!(told(&node().doubts(&own)), [expected]);
        let others = loaded(&[("ONWARD_UPSTREAMS__SERVERS", "10.0.0.2, 10.96.0.10")]);
        let doubts = told(&node().doubts(&others));
        assert!(
            doubts.len() == 1 && doubts[0].contains(": not asked: 10.96.0.10:53: kubelet's clusterDNS"),
            "{doubts:?}"
        );
        assert!(node().doubts(&loaded(&[("ONWARD_UPSTREAMS__SERVERS", "10.0.0.1:5353")])).is_empty());
    }

    #[test]
    fn a_cache_larger_than_the_memory_is_told() {
        let large = loaded(&[("ONWARD_CACHE__MAX_BYTES", "1GiB")]);
        let doubts = told(&node().doubts(&large));
        let expected = "cache.max_bytes = \"1GiB\": with it Onward may need 1308 MiB, more than the memory of this machine, \
                        which is 256 MiB, and would be killed";
        assert!(doubts[0].ends_with(expected), "{doubts:?}");
        let limited = Node { unit: Some(Unit { memory: Some(16 << 20), ..Unit::default() }), ..node() };
        let doubts = told(&limited.doubts(&loaded(&[])));
        assert!(
            doubts[0].ends_with("more than MemoryMax= of the unit, which is 16 MiB, and would be killed"),
            "{doubts:?}"
        );
        assert!(node().doubts(&loaded(&[])).is_empty());
    }

    #[test]
    fn limits_that_add_up_to_more_than_the_unit_allows_are_told() {
        let limited = Node { unit: Some(Unit { memory: Some(512 << 20), ..Unit::default() }), memory: None, ..node() };
        assert!(limited.doubts(&loaded(&[])).is_empty());
        let many = loaded(&[("ONWARD_LIMITS__TCP_CONNECTIONS", "16384")]);
        let doubts = told(&limited.doubts(&many));
        assert!(doubts[0].contains("limits.tcp_connections = 16384: with it Onward may need 824 MiB"), "{doubts:?}");
    }

    #[test]
    fn paths_that_cannot_be_written_are_told_and_those_that_systemd_makes_are_not() {
        let bad =
            loaded(&[("ONWARD_RESOLV_CONF__PATH", "/proc/onward/resolv.conf"), ("ONWARD_STATE_DIR", "/sys/onward")]);
        let barred = told(&node().barred(&bad));
        assert_eq!(barred.len(), 2, "{barred:?}");
        assert!(
            barred[0].contains("resolv_conf.path = \"/proc/onward/resolv.conf\": cannot be written: "),
            "{barred:?}"
        );
        let directory = loaded(&[("ONWARD_RESOLV_CONF__PATH", "/run")]);
        assert!(told(&node().barred(&directory))[0].ends_with("it is a directory; write the path of a file"));
        let unit = Unit { made: vec!["/run/onward".into(), "/var/lib/onward".into()], ..Unit::default() };
        let service = Node { unit: Some(unit), identity: Identity::nobody(), ..node() };
        assert!(service.barred(&loaded(&[])).is_empty());
        let elsewhere = loaded(&[("ONWARD_RESOLV_CONF__PATH", "/etc/kubernetes/resolv.conf")]);
        let barred = told(&service.barred(&elsewhere));
        assert!(barred.len() == 1 && barred[0].ends_with("the user onward may not write to /etc"), "{barred:?}");
    }
}
