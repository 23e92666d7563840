//! systemd-resolved: the servers it would ask, or its stub, where asking them ourselves would lose something.
//!
//! Its own list is /run/systemd/resolve/resolv.conf. Kubespray's host mode leaves nothing there but the node cache, which
//! is refused; so after it come `DNS=` and `FallbackDNS=` of resolved.conf, and the links' own servers.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use super::networkd::{self, Link};
use super::{Listed, Reading, Source, dropins, listed};
use crate::discovery::entry;
use crate::discovery::root::Root;
use crate::upstream::Server;
use crate::upstream::server::DNS_PORT;

/// The servers of all links, merged.
pub(in crate::discovery) const RESOLV_CONF: &str = "/run/systemd/resolve/resolv.conf";

/// The stub that passes messages on as they are, where resolved has it.
pub(in crate::discovery) const PROXY_STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 54);
/// The stub that is in stub-resolv.conf; it strips what it does not know.
pub(in crate::discovery) const STUB: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// systemd-resolved.
#[derive(Debug, Clone, Copy)]
pub struct Resolved;

/// resolved.conf with its drop-ins, as far as it matters here.
#[derive(Debug, Default)]
struct Configuration {
    dns: Vec<Listed>,
    fallback: Vec<Listed>,
    route_domains: bool,
    dns_over_tls: Option<String>,
    dnssec: Option<String>,
    no_stub: bool,
}

impl Source for Resolved {
    fn read(&self, root: &Root) -> Reading {
        let mut reading = Reading::default();
        let Some(conf) = reading.resolv_conf(root, RESOLV_CONF) else { return reading };
        let configuration = configuration(root, &mut reading);
        let links = networkd::links(root, &mut reading);
        let lost = lost(&configuration, &links);
        reading.search = conf.search.clone();
        reading.options = conf.options.words();
        let stub = if lost.is_empty() { None } else { stub(root, &configuration, &mut reading) };
        if let Some(address) = stub {
            reading.note(format!("systemd-resolved {}: asked through its stub {address}", lost.join(", ")));
            reading.lists.push(vec![stub_listed(address, &lost)]);
        } else if lost.contains(&TLS_ALWAYS) {
            reading.note(format!(
                "systemd-resolved {TLS_ALWAYS} and has no stub: its servers are not asked in plain text"
            ));
        } else {
            if !lost.is_empty() {
                reading.note(format!(
                    "systemd-resolved {} and has no stub: its servers are asked without that",
                    lost.join(", ")
                ));
            }
            reading.lists.push(listed(&conf, RESOLV_CONF));
            reading.lists.push(configuration.dns);
            reading.lists.push(configuration.fallback);
            reading.lists.push(links.into_iter().flat_map(|link| link.servers).collect());
        }
        reading
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![PathBuf::from(RESOLV_CONF), "/run/systemd/netif/links".into()];
        for directory in dropins::DIRECTORIES {
            paths.push(format!("{directory}/resolved.conf").into());
            paths.push(format!("{directory}/resolved.conf.d").into());
        }
        paths
    }
}

const TLS_ALWAYS: &str = "encrypts (DNSOverTLS=yes)";
const TLS_OPPORTUNISTIC: &str = "encrypts where it can (DNSOverTLS=opportunistic)";
const VALIDATES: &str = "validates (DNSSEC=yes)";
const ROUTES: &str = "sends some domains to servers of their own";
const PORTS: &str = "uses other ports than 53";

/// What plain servers would lose, in words.
fn lost(configuration: &Configuration, links: &[Link]) -> Vec<&'static str> {
    let is = |text: &Option<String>, wanted: &str| {
        text.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(wanted) || (wanted == "yes" && is_yes(text)))
    };
    let any = |of_link: fn(&Link) -> &Option<String>, global: &Option<String>, wanted| {
        is(global, wanted) || links.iter().any(|link| is(of_link(link), wanted))
    };
    let other_port = |list: &[Listed]| list.iter().any(|listed| listed.server.port() != DNS_PORT);
    [
        (any(|link| &link.dns_over_tls, &configuration.dns_over_tls, "yes"), TLS_ALWAYS),
        (any(|link| &link.dns_over_tls, &configuration.dns_over_tls, "opportunistic"), TLS_OPPORTUNISTIC),
        (any(|link| &link.dnssec, &configuration.dnssec, "yes"), VALIDATES),
        (configuration.route_domains || routes(links), ROUTES),
        (other_port(&configuration.dns) || links.iter().any(|link| other_port(&link.servers)), PORTS),
    ]
    .into_iter()
    .filter_map(|(is_so, loss)| is_so.then_some(loss))
    .collect()
}

/// Routing domains, or links with servers of their own for search domains of their own, which resolved routes alike.
fn routes(links: &[Link]) -> bool {
    let addresses = |link: &Link| -> Vec<_> { link.servers.iter().map(|listed| listed.server.clone()).collect() };
    let with_servers = || links.iter().filter(|link| !link.servers.is_empty());
    let differ = with_servers()
        .zip(with_servers().skip(1))
        .any(|(one, other)| addresses(one) != addresses(other) && one.domains != other.domains);
    differ || links.iter().any(|link| !link.route_domains.is_empty())
}

/// The stub that listens; where nobody can tell, the one that every version has, unless it is switched off.
fn stub(root: &Root, configuration: &Configuration, reading: &mut Reading) -> Option<Ipv4Addr> {
    let Some(sockets) = reading.text(root, "/proc/net/udp") else {
        return (!configuration.no_stub).then_some(STUB);
    };
    [PROXY_STUB, STUB].into_iter().find(|address| listens(&sockets, *address))
}

/// Whether /proc/net/udp has a socket on port 53 of `address`, which it shows as a number in the machine's byte order.
fn listens(sockets: &str, address: Ipv4Addr) -> bool {
    let wanted = format!("{:08X}:{DNS_PORT:04X}", u32::from_ne_bytes(address.octets()));
    sockets.lines().any(|line| line.split_ascii_whitespace().nth(1) == Some(&wanted))
}

fn stub_listed(address: Ipv4Addr, lost: &[&str]) -> Listed {
    Listed {
        server: Server::new(IpAddr::V4(address), DNS_PORT),
        source: Arc::from(RESOLV_CONF),
        line: None,
        note: Some(format!("the stub of systemd-resolved, which {}", lost.join(", "))),
    }
}

fn configuration(root: &Root, reading: &mut Reading) -> Configuration {
    let mut found = Configuration::default();
    for assignment in dropins::read(root, "resolved.conf", "Resolve", reading) {
        let value = assignment.value.as_str();
        let scalar = || (!value.is_empty()).then(|| value.to_owned());
        match assignment.key.as_str() {
            "DNS" => add(&mut found.dns, &assignment, reading),
            "FallbackDNS" => add(&mut found.fallback, &assignment, reading),
            // An empty assignment takes back all before it.
            "Domains" if value.is_empty() => found.route_domains = false,
            "Domains" => found.route_domains |= value.split_ascii_whitespace().any(|domain| domain.starts_with('~')),
            "DNSOverTLS" => found.dns_over_tls = scalar(),
            "DNSSEC" => found.dnssec = scalar(),
            "DNSStubListener" => {
                found.no_stub = matches!(value.to_ascii_lowercase().as_str(), "no" | "n" | "false" | "f" | "off" | "0")
            }
            _ => {}
        }
    }
    found
}

fn add(list: &mut Vec<Listed>, assignment: &dropins::Assignment, reading: &mut Reading) {
    if assignment.value.is_empty() {
        list.clear();
    }
    for word in assignment.value.split_ascii_whitespace() {
        match entry::parse(word) {
            Some(server) => list.push(Listed {
                server,
                source: assignment.path.as_str().into(),
                line: Some(assignment.line),
                note: None,
            }),
            None => reading.note(format!("{}:{}: \"{word}\" is not an address", assignment.path, assignment.line)),
        }
    }
}

/// systemd's words for true (systemd.syntax(7)).
fn is_yes(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "yes" | "y" | "true" | "t" | "on" | "1")
}
