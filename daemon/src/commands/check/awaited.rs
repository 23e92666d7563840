//! What the configuration needs and the node does not have now, so that Onward would wait for it: interfaces,
//! addresses, servers. What can never work is in `node.rs`.

use std::net::SocketAddr;

use super::node::of_key;
use crate::commands::dedicated;
use crate::config::{Fault, Loaded, Origin};
use crate::discovery::kubelet::Kubelet;
use crate::discovery::last_good::{FILE, LastGood};
use crate::discovery::vet::Refusal;
use crate::discovery::{Candidate, Found, Inputs, Root, Use, look};
use crate::node_address::{self, NoAddress, Tables, Wanted, choose};
use crate::service::wanted;

/// Looks at the node, and returns what is waited for there.
pub(super) fn find(loaded: &Loaded, kubelet: &Kubelet, own: &[SocketAddr], root: &Root) -> Vec<Fault> {
    let settings = &loaded.settings;
    let mut awaited = Vec::new();
    if let Ok(tables) = node_address::netlink::read() {
        awaited.extend(places(loaded, &wanted(settings, kubelet, Vec::new()), &tables));
        awaited.extend(scopes(loaded, &tables));
        awaited.extend(dedicated(loaded, kubelet, &tables));
    }
    let inputs = Inputs {
        root,
        configured: &settings.upstreams.servers,
        routes: &settings.routes,
        sources: &settings.upstreams.sources,
        own,
        written: &settings.resolv_conf.path,
    };
    let content = Root::at(&settings.state_dir).read(FILE).ok().flatten();
    let last_good = content.is_some_and(|content| LastGood::parse(&content, &root.machine_id()).is_ok());
    awaited.extend(servers(loaded, &look(&inputs), last_good));
    awaited
}

/// Returns which configured places to listen on have no address now. What nobody configured is not judged.
fn places(loaded: &Loaded, wanted: &Wanted, tables: &Tables) -> Option<Fault> {
    let is_set = |key: &&str| loaded.effective.get(key).is_some_and(|entry| entry.origin != Origin::Default);
    let key = ["listen", "families"].into_iter().find(is_set)?;
    let mut missing: Vec<String> = Vec::new();
    for place in &wanted.places {
        let one = Wanted { places: vec![place.clone()], ..wanted.clone() };
        let Err(reason) = choose(&one, tables) else { continue };
        // Some of the texts say it already.
        let is_untold = matches!(reason, NoAddress::NoSuchLink { .. } | NoAddress::ToldIsAbsent { .. });
        let text = format!("{reason}{}", if is_untold { "; it is waited for" } else { "" });
        if !missing.contains(&text) {
            missing.push(text);
        }
    }
    (!missing.is_empty()).then(|| of_key(loaded, key, missing.join("; ")))?
}

/// Returns which dedicated addresses are not put on this node, and why. The node that has it already has no conflict.
fn dedicated(loaded: &Loaded, kubelet: &Kubelet, tables: &Tables) -> Option<Fault> {
    let against = dedicated::conflicts(&loaded.settings, kubelet, tables);
    let told: Vec<String> = against.iter().map(|(one, conflict)| dedicated::tell(*one, conflict)).collect();
    (!told.is_empty()).then(|| of_key(loaded, "listen", told.join("; ")))?
}

/// Returns which configured servers are on interfaces that the node does not have now.
fn scopes(loaded: &Loaded, tables: &Tables) -> Option<Fault> {
    let is_there =
        |scope: &str| tables.links.iter().any(|link| link.name == scope || link.index.0.to_string() == scope);
    let servers = loaded.settings.upstreams.servers.iter();
    let missing: Vec<String> = servers
        .filter(|endpoint| endpoint.server.scope().is_some_and(|scope| !is_there(scope)))
        .map(|endpoint| format!("{endpoint}: there is no such network interface yet; it is waited for"))
        .collect();
    (!missing.is_empty()).then(|| of_key(loaded, "upstreams.servers", missing.join("; ")))?
}

/// Returns that no source names a server that may be asked. `last_good` says whether there is a list of an earlier
/// life, which is asked meanwhile. Servers of the configuration are judged in `node.rs`.
fn servers(loaded: &Loaded, found: &Found, last_good: bool) -> Option<Fault> {
    if !found.servers.is_empty() || !loaded.settings.upstreams.servers.is_empty() {
        return None;
    }
    let is_own = |candidate: &&Candidate| candidate.usage == Use::Refused(Refusal::OwnListener);
    let own: Vec<String> = found
        .candidates
        .iter()
        .filter(is_own)
        .map(|candidate| format!("{} by {} is Onward itself", candidate.server, candidate.source))
        .collect();
    let what = match (last_good, own.is_empty()) {
        (true, true) => return None,
        (true, false) => format!("no server is left but those of the last good list: {}", own.join("; ")),
        (false, false) => format!("no server is left to ask: {}; one is waited for", own.join("; ")),
        (false, true) => "no source names a server that may be asked; one is waited for".to_owned(),
    };
    of_key(loaded, "upstreams.sources", format!("{what}; name one in upstreams.servers (`onward discover` tells more)"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Overrides, Roots};
    use crate::node_address::table::{Link, LinkIndex};

    fn loaded(variables: &[(&str, &str)]) -> Loaded {
        let roots = Roots { vendor: "/nonexistent".into(), etc: "/nonexistent".into() };
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        config::load_from(&roots, variables, &Overrides::default()).unwrap()
    }

    /// A node with a link, and no address.
    fn tables() -> Tables {
        let (name, kind) = ("eth0".to_owned(), String::new());
        Tables { links: vec![Link { index: LinkIndex(2), name, kind, up: true, loopback: false }], ..Tables::default() }
    }

    fn told(fault: Option<Fault>) -> String {
        fault.map(|fault| fault.to_string()).unwrap_or_default()
    }

    #[test]
    fn places_that_the_node_does_not_have_are_told_where_they_are_configured() {
        let place = |variables: &[(&str, &str)]| {
            let loaded = loaded(variables);
            told(places(&loaded, &wanted(&loaded.settings, &Kubelet::default(), Vec::new()), &tables()))
        };
        assert_eq!(place(&[]), "");
        let link = place(&[("ONWARD_LISTEN", "interface:eth7, 10.0.0.1")]);
        assert!(link.contains("no network interface \"eth7\" yet") && link.ends_with("; it is waited for"), "{link}");
        let none = place(&[("ONWARD_LISTEN", "interface:eth0")]);
        assert!(none.contains("eth0") && none.contains("waiting for one"), "{none}");
        let family = place(&[("ONWARD_FAMILIES", "ipv6")]);
        assert!(family.starts_with("environment ONWARD_FAMILIES: families = \"ipv6\": "), "{family}");
        assert!(family.contains("no IPv6 address yet") && family.contains("waiting for one"), "{family}");
    }

    #[test]
    fn servers_on_interfaces_that_the_node_does_not_have_are_told() {
        let scope = |servers: &str| told(scopes(&loaded(&[("ONWARD_UPSTREAMS__SERVERS", servers)]), &tables()));
        assert_eq!(scope("fe80::1%eth0, fe80::2%2, 10.0.0.2"), "");
        let missing = scope("fe80::1%eth0, fe80::1%eth9");
        assert!(missing.contains("fe80::1%eth9") && missing.contains("it is waited for"), "{missing}");
        assert_eq!(missing.matches("no such network interface").count(), 1, "{missing}");
    }

    /// What is told of a node with these files.
    fn supply(files: &[(&str, &str)], variables: &[(&str, &str)], last_good: bool) -> String {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        for (path, text) in files {
            std::fs::create_dir_all(root.path(path).parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, root.path(path)).unwrap(),
                None => std::fs::write(root.path(path), text).unwrap(),
            }
        }
        let loaded = loaded(variables);
        let upstreams = &loaded.settings.upstreams;
        let inputs = Inputs {
            root: &root,
            configured: &upstreams.servers,
            routes: &[],
            sources: &upstreams.sources,
            own: &[],
            written: Path::new("/run/onward/resolv.conf"),
        };
        told(servers(&loaded, &look(&inputs), last_good))
    }

    #[test]
    fn a_node_where_nothing_names_a_server_is_told_unless_there_is_a_last_good_list() {
        let none = supply(&[], &[], false);
        assert!(none.contains("no source names a server that may be asked; one is waited for"), "{none}");
        assert_eq!(supply(&[], &[], true), "");
        assert_eq!(supply(&[("/etc/resolv.conf", "nameserver 10.0.0.2\n")], &[], false), "");
        assert_eq!(supply(&[], &[("ONWARD_UPSTREAMS__SERVERS", "10.0.0.2")], false), "");
    }

    #[test]
    fn our_own_file_as_the_only_source_is_told_even_with_a_last_good_list() {
        let files =
            [("/etc/resolv.conf", "-> /run/onward/resolv.conf"), ("/run/onward/resolv.conf", "nameserver 10.0.0.1\n")];
        for (last_good, expected) in [(false, "no server is left to ask"), (true, "but those of the last good list")] {
            let own = supply(&files, &[], last_good);
            assert!(own.contains(expected) && own.contains("10.0.0.1:53"), "{own}");
            assert!(own.contains("is Onward itself"), "{own}");
        }
    }
}
