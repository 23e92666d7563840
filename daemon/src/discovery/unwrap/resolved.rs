//! systemd-resolved: its servers, or its stub where asking them ourselves would lose something. Pure.
//!
//! Its own list comes first. Kubespray's host mode leaves nothing there but the node cache, which is refused; so after
//! it come `DNS=` and `FallbackDNS=` of resolved.conf, and the links' own servers. A resolved that names no server at
//! all is an empty source, whether its stub answers or not.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::discovery::listed::Listed;
use crate::discovery::programs::Programs;
use crate::discovery::programs::link::{Encryption, LinkFacts, Validation};
use crate::discovery::programs::resolved::{Global, PROXY_STUB, RESOLV_CONF, STUB, Stub};
use crate::discovery::reader::Fact;
use crate::discovery::reading::{Reading, is_fit};
use crate::discovery::vet::{Refusal, Rules};
use crate::upstream::Server;
use crate::upstream::server::DNS_PORT;

/// The routing domain of all names, without its `~`.
const EVERYTHING: &str = ".";

/// What its servers would lack if they were asked directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Encryption,
    OpportunisticEncryption,
    Validation,
    Routes,
    Ports,
    HiddenLinks,
}

impl Loss {
    fn words(self) -> &'static str {
        match self {
            Self::Encryption => "encrypts (DNSOverTLS=yes)",
            Self::OpportunisticEncryption => "encrypts where it can (DNSOverTLS=opportunistic)",
            Self::Validation => "validates (DNSSEC=yes)",
            Self::Routes => "sends some domains to servers of their own",
            Self::Ports => "uses other ports than 53",
            Self::HiddenLinks => "was told more of its links over D-Bus than files show (domains, it may be)",
        }
    }
}

/// Returns its servers, its stub, or neither where it encrypts and its stub is away. Without a search list: that is for
/// the source.
pub(in crate::discovery) fn resolved(programs: &Programs, rules: &Rules<'_>) -> Reading {
    let facts = &programs.resolved;
    let losses = losses(programs, rules);
    let words = losses.iter().map(|loss| loss.words()).collect::<Vec<_>>().join(", ");
    let mut reading = Reading { encrypts: encrypts(programs, rules), ..Reading::default() };
    if facts.conf.known().is_none() {
        reading.is_degraded = facts.conf == Fact::Unknown;
        return reading;
    }
    let named =
        [facts.servers(), facts.global.servers.clone(), facts.global.fallback.clone(), programs.networkd.servers()]
            .map(|list| list.into_iter().map(without_own_stub).collect::<Vec<_>>());
    if !named.iter().flatten().any(|listed| is_fit(listed, rules)) {
        reading.note("systemd-resolved names no server that may be asked now".to_owned());
        reading.lists = named.into();
        return reading;
    }
    if losses.is_empty() {
        reading.lists = named.into();
        return reading;
    }
    match facts.stub {
        Stub::Listens(address) => {
            reading.note(format!("systemd-resolved {words}: asked through its stub {address}"));
            reading.lists = vec![vec![stub_listed(address, &words)]];
        }
        Stub::Unknown => {
            reading.note(format!("systemd-resolved {words}: asked through its stub {STUB}"));
            reading.lists = vec![vec![stub_listed(STUB, &words)]];
        }
        Stub::Away if reading.encrypts => reading.note(format!(
            "systemd-resolved {words} and its stub does not listen: waiting for it; its servers are not asked in plain text"
        )),
        Stub::Away => {
            reading.note(format!(
                "systemd-resolved {words} and its stub does not listen: a list in use stays for upstreams.hold, and without \
                 a better one after that its servers are asked without that"
            ));
            reading.is_degraded = true;
            reading.lists = named.into();
        }
        Stub::Disabled if losses.contains(&Loss::Encryption) => reading.note(format!(
            "systemd-resolved {words} and has no stub (DNSStubListener=no): its servers are not asked in plain text; \
             switch the stub on"
        )),
        Stub::Disabled => {
            reading.note(format!("systemd-resolved {words} and has no stub: its servers are asked without that"));
            reading.lists = named.into();
        }
    }
    reading
}

/// Whether anything else than its stub would turn encrypted queries into plain ones. Opportunistic encryption that no
/// stub offers cannot be kept.
fn encrypts(programs: &Programs, rules: &Rules<'_>) -> bool {
    let losses = losses(programs, rules);
    losses.contains(&Loss::Encryption)
        || (losses.contains(&Loss::OpportunisticEncryption) && programs.resolved.stub != Stub::Disabled)
}

/// Whether its servers, asked directly, lack nothing.
pub(super) fn loses_nothing(programs: &Programs, rules: &Rules<'_>) -> bool {
    losses(programs, rules).is_empty()
}

fn losses(programs: &Programs, rules: &Rules<'_>) -> Vec<Loss> {
    let (resolved, links) = (&programs.resolved, &programs.networkd.links);
    let encryption =
        |wanted| resolved.global.encryption == Some(wanted) || links.iter().any(|link| link.encryption == Some(wanted));
    let validates = resolved.global.validation == Some(Validation::Yes)
        || links.iter().any(|link| link.validation == Some(Validation::Yes));
    let other_port = |list: &[Listed]| list.iter().any(|listed| listed.server.port() != DNS_PORT);
    [
        (encryption(Encryption::Yes), Loss::Encryption),
        (encryption(Encryption::Opportunistic), Loss::OpportunisticEncryption),
        (validates, Loss::Validation),
        (routes_elsewhere(&resolved.global, rules) || resolved.has_delegates || routes(links), Loss::Routes),
        (other_port(&resolved.global.servers) || links.iter().any(|link| other_port(&link.servers)), Loss::Ports),
        (resolved.has_hidden_links, Loss::HiddenLinks),
    ]
    .into_iter()
    .filter_map(|(is_so, loss)| is_so.then_some(loss))
    .collect()
}

/// Routing domains of resolved.conf. That all names go to Onward itself (`onward integrate host`) is none.
fn routes_elsewhere(global: &Global, rules: &Rules<'_>) -> bool {
    let is_ours = |listed: &Listed| rules.vet(&listed.server) == Err(Refusal::OwnListener);
    let asks_us = !global.servers.is_empty() && global.servers.iter().all(is_ours);
    global.routes.iter().any(|route| route != EVERYTHING || !asks_us)
}

/// Routing domains, or links with servers of their own for search domains of their own, which resolved routes alike, or
/// a link whose servers are for its domains alone.
fn routes(links: &[LinkFacts]) -> bool {
    let addresses = |link: &LinkFacts| -> Vec<_> { link.servers.iter().map(|listed| listed.server.clone()).collect() };
    let with_servers = || links.iter().filter(|link| !link.servers.is_empty());
    let differ = with_servers()
        .zip(with_servers().skip(1))
        .any(|(one, other)| addresses(one) != addresses(other) && one.search != other.search);
    let not_for_all = with_servers().any(|link| link.default_route == Some(false));
    differ || not_for_all || links.iter().any(|link| !link.routes.is_empty())
}

/// Its own stub among its servers would ask itself.
fn without_own_stub(mut listed: Listed) -> Listed {
    let ip = listed.server.ip().to_canonical();
    if listed.may_be_stub() && (ip == IpAddr::V4(STUB) || ip == IpAddr::V4(PROXY_STUB)) {
        listed.refusal = Some(Refusal::OwnStub);
    }
    listed
}

fn stub_listed(address: Ipv4Addr, losses: &str) -> Listed {
    Listed {
        note: Some(format!("the stub of systemd-resolved, which {losses}")),
        ..Listed::new(Server::new(IpAddr::V4(address), DNS_PORT), &Arc::from(RESOLV_CONF), None)
    }
}
