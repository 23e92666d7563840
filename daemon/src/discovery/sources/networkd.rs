//! systemd-networkd: the servers of each link, as its state files tell (`/run/systemd/netif/links/N`, N being the link's
//! index), and the lease of a link that has no such file.
//!
//! A lease is not read beside a link's own file: that one has the lease's servers already, save where the administrator
//! said `UseDNS=no`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Listed, Reading, Source};
use crate::discovery::entry;
use crate::discovery::root::Root;
use crate::upstream::Server;

const LINKS: &str = "/run/systemd/netif/links";
const LEASES: &str = "/run/systemd/netif/leases";

/// systemd-networkd.
#[derive(Debug, Clone, Copy)]
pub struct Networkd;

/// One link's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The servers.
    pub servers: Vec<Listed>,
    /// Its domains, for searching (and for routing, where resolved runs).
    pub domains: Vec<String>,
    /// Its domains for routing only.
    pub route_domains: Vec<String>,
    /// `DNS_OVER_TLS=`.
    pub dns_over_tls: Option<String>,
    /// `DNSSEC=`.
    pub dnssec: Option<String>,
}

impl Source for Networkd {
    fn read(&self, root: &Root) -> Reading {
        let mut reading = Reading::default();
        let mut servers = Vec::new();
        for link in links(root, &mut reading) {
            servers.extend(link.servers);
            reading.search.extend(link.domains);
        }
        reading.lists.push(servers);
        reading
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![LINKS.into(), LEASES.into()]
    }
}

/// All links, by index.
pub(in crate::discovery) fn links(root: &Root, reading: &mut Reading) -> Vec<Link> {
    let mut files: Vec<(u32, &str)> = Vec::new();
    for directory in [LINKS, LEASES] {
        for name in reading.names(root, directory) {
            match name.parse() {
                Ok(index) if !files.iter().any(|(known, _)| *known == index) => files.push((index, directory)),
                _ => {}
            }
        }
    }
    files.sort_unstable();
    let link = |(index, directory): (u32, &str)| {
        let path = format!("{directory}/{index}");
        Some(parse(&reading.text(root, &path)?, index, &path))
    };
    files.into_iter().filter_map(link).collect()
}

/// One state file. Link-local servers without a scope are on the link that the file is of.
fn parse(text: &str, index: u32, path: &str) -> Link {
    let source: Arc<str> = path.into();
    let mut link = Link::default();
    for (number, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let words = || value.split_ascii_whitespace();
        let names = || words().map(str::to_owned);
        match key {
            "DNS" => link.servers.extend(words().filter_map(entry::parse).map(|server| Listed {
                server: on_link(server, index),
                source: Arc::clone(&source),
                line: Some(number + 1),
                note: None,
            })),
            "DOMAINS" | "DOMAINNAME" | "DOMAIN_SEARCH_LIST" => link.domains.extend(names()),
            "ROUTE_DOMAINS" => link.route_domains.extend(names()),
            "DNS_OVER_TLS" => link.dns_over_tls = names().next(),
            "DNSSEC" => link.dnssec = names().next(),
            _ => {}
        }
    }
    link
}

fn on_link(server: Server, index: u32) -> Server {
    match server.ip() {
        std::net::IpAddr::V6(ip) if ip.is_unicast_link_local() && server.scope().is_none() => {
            Server::scoped(server.ip(), &index.to_string(), server.port())
        }
        _ => server,
    }
}
