//! systemd-networkd: the servers of each link, as its state files tell (`/run/systemd/netif/links/N`, N being the
//! link's index), and the lease of a link that has no such file.
//!
//! A lease is not read beside a link's own file: that one has the lease's servers already, save where the administrator
//! said `UseDNS=no`.

use std::sync::Arc;

use super::entry;
use super::link::{Encryption, LinkFacts, Validation, boolean};
use crate::discovery::listed::Listed;
use crate::discovery::reader::Reader;
use crate::upstream::Server;

const LINKS: &str = "/run/systemd/netif/links";
const LEASES: &str = "/run/systemd/netif/leases";

/// What networkd tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networkd {
    /// All links, by index.
    pub links: Vec<LinkFacts>,
}

/// Where changes show.
pub(super) const PATHS: [&str; 2] = [LINKS, LEASES];

impl Networkd {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut files: Vec<(u32, &str)> = Vec::new();
        for directory in PATHS {
            for name in reader.names(directory) {
                match name.parse() {
                    Ok(index) if !files.iter().any(|(known, _)| *known == index) => files.push((index, directory)),
                    _ => {}
                }
            }
        }
        files.sort_unstable();
        let link = |(index, directory): (u32, &str)| {
            let path = format!("{directory}/{index}");
            reader.text(&path).known().map(|text| parse(text, index, &path))
        };
        Self { links: files.into_iter().filter_map(link).collect() }
    }

    /// The servers of all links.
    #[must_use]
    pub(crate) fn servers(&self) -> Vec<Listed> {
        self.links.iter().flat_map(|link| link.servers.iter().cloned()).collect()
    }
}

/// Reads one state file. Link-local servers without a scope are on the link that the file is of.
fn parse(text: &str, index: u32, path: &str) -> LinkFacts {
    let source: Arc<str> = path.into();
    let mut link = LinkFacts { index, ..LinkFacts::default() };
    for (number, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let words = || value.split_ascii_whitespace();
        let names = || words().map(str::to_owned);
        match key {
            "DNS" => link.servers.extend(words().filter_map(entry::parse).map(|(server, tls_name)| Listed {
                tls_name,
                ..Listed::new(on_link(server, index), &source, Some(number + 1))
            })),
            "DOMAINS" | "DOMAINNAME" | "DOMAIN_SEARCH_LIST" => link.search.extend(names()),
            "ROUTE_DOMAINS" => link.routes.extend(names()),
            "DNS_DEFAULT_ROUTE" => link.default_route = boolean(value.trim()),
            "DNS_OVER_TLS" => link.encryption = Encryption::parse(value.trim()),
            "DNSSEC" => link.validation = Validation::parse(value.trim()),
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
