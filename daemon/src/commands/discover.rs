//! `onward discover`: what would be used as upstream, from where, and what not and why. A dry run: it reads files, and
//! needs neither the daemon nor a privilege.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;

use super::{DiscoverArgs, Failure};
use crate::config::{self, Settings};
use crate::discovery::listed::Listed;
use crate::discovery::programs::link::{Encryption, LinkFacts, Validation};
use crate::discovery::{Candidate, Found, Inputs, Root, kubelet, look};
use crate::kubelet_resolv_conf::{self, Content, Naming};
use crate::node_address::{self, Wanted};
use crate::service::{handed_out, wanted};

/// Does it for this machine.
pub(super) fn run(args: &DiscoverArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let settings = config::load(&args.overrides())?.settings;
    let root = Root::machine();
    let own = own(&settings, &root);
    let upstreams = &settings.upstreams;
    let inputs = Inputs {
        root: &root,
        configured: &upstreams.servers,
        routes: &settings.routes,
        sources: &upstreams.sources,
        own: &own,
        written: &settings.resolv_conf.path,
    };
    if args.resolv_conf {
        return print_resolv_conf(out, &look(&inputs), &settings.resolv_conf);
    }
    Ok(discover(out, &inputs, args.json)?)
}

/// Prints what kubelet may give to pods when Onward is gone: the servers themselves, of which pods reach those that are
/// neither on loopback nor on a port of their own.
///
/// # Errors
/// Where no such server is in use, or the output cannot be written.
fn print_resolv_conf(
    out: &mut dyn Write,
    found: &Found,
    settings: &kubelet_resolv_conf::Settings,
) -> Result<(), Failure> {
    // What is asked with TLS is not handed out to be asked without.
    let plain = found.servers.iter().filter_map(|(endpoint, _)| endpoint.plain());
    let unscoped = plain.filter(|server| server.scope().is_none());
    let servers: Vec<SocketAddr> = unscoped.map(|server| SocketAddr::new(server.ip(), server.port())).collect();
    let content = Content {
        naming: Naming::Node,
        listeners: &servers,
        search: &settings.search,
        options: &settings.options,
        found: kubelet_resolv_conf::Found { search: &found.search, options: &found.options },
    };
    let Ok(rendered) = kubelet_resolv_conf::render(&content) else {
        let used: Vec<String> = found.servers.iter().map(|(server, _)| server.to_string()).collect();
        return Err(Failure::Unusable(format!(
            "pods could ask none of the servers that this node uses ({}): a resolv.conf for them names addresses that are not \
             on loopback, with port 53; name such servers with --upstream",
            if used.is_empty() { "there are none".to_owned() } else { used.join(", ") }
        )));
    };
    Ok(out.write_all(rendered.text.as_bytes())?)
}

/// Where the daemon listens, or would: never an upstream. Nothing, where that cannot be found out.
pub(super) fn own(settings: &Settings, root: &Root) -> Vec<SocketAddr> {
    let handed_out = handed_out::load(&settings.state_dir, root).ok().flatten().unwrap_or_default();
    let wanted: Wanted = wanted(settings, &kubelet::read(root), handed_out);
    let chosen = node_address::netlink::read().ok().and_then(|tables| node_address::choose(&wanted, &tables).ok());
    chosen.iter().flat_map(|chosen| &chosen.addresses).map(|address| address.socket).collect()
}

/// Looks, and prints what is found: for people, or as JSON.
///
/// # Errors
/// Where the output cannot be written.
fn discover(out: &mut dyn Write, inputs: &Inputs<'_>, json: bool) -> io::Result<()> {
    let found = look(inputs);
    if json { print_json(out, &found) } else { print_text(out, &found) }
}

#[derive(Serialize)]
struct Report<'a> {
    candidates: Vec<CandidateReport<'a>>,
    routes: Vec<RouteReport<'a>>,
    search: &'a [String],
    options: &'a [String],
    resolved: ResolvedReport<'a>,
    links: Vec<LinkReport<'a>>,
    notes: &'a [String],
    unknown: &'a [String],
}

/// Domains that have servers of their own. `equivalent` is null where Onward judges by the servers' addresses.
#[derive(Serialize)]
struct RouteReport<'a> {
    domains: Vec<String>,
    candidates: Vec<CandidateReport<'a>>,
    equivalent: Option<bool>,
}

/// What resolved.conf says for all links.
#[derive(Serialize)]
struct ResolvedReport<'a> {
    servers: Vec<ServerReport<'a>>,
    fallback: Vec<ServerReport<'a>>,
    search: &'a [String],
    routes: &'a [String],
    encryption: Option<Encryption>,
    validation: Option<Validation>,
    hidden_links: bool,
}

/// What systemd-networkd says of a link. What it does not say is null, or an empty list.
#[derive(Serialize)]
struct LinkReport<'a> {
    index: u32,
    servers: Vec<ServerReport<'a>>,
    search: &'a [String],
    routes: &'a [String],
    default_route: Option<bool>,
    encryption: Option<Encryption>,
    validation: Option<Validation>,
}

#[derive(Serialize)]
struct ServerReport<'a> {
    server: String,
    tls_name: Option<&'a str>,
    source: &'a str,
}

#[derive(Serialize)]
struct CandidateReport<'a> {
    server: String,
    source: &'a str,
    line: Option<usize>,
    #[serde(rename = "use")]
    used: bool,
    reason: Option<String>,
    note: Option<&'a str>,
}

fn print_json(out: &mut dyn Write, found: &Found) -> io::Result<()> {
    let routes = found.routes.iter().map(|route| RouteReport {
        domains: route.domains.iter().map(ToString::to_string).collect(),
        candidates: route.candidates.iter().map(candidate).collect(),
        equivalent: route.equivalent,
    });
    let report = Report {
        candidates: found.candidates.iter().map(candidate).collect(),
        routes: routes.collect(),
        search: &found.search,
        options: &found.options,
        resolved: resolved(found),
        links: found.programs.networkd.links.iter().map(link).collect(),
        notes: &found.notes,
        unknown: &found.unknown,
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn candidate(candidate: &Candidate) -> CandidateReport<'_> {
    let reason = candidate.usage.reason();
    CandidateReport {
        server: candidate.endpoint().to_string(),
        source: &candidate.source,
        line: candidate.line,
        used: reason.is_none(),
        reason,
        note: candidate.note.as_deref(),
    }
}

fn resolved(found: &Found) -> ResolvedReport<'_> {
    let resolved = &found.programs.resolved;
    ResolvedReport {
        servers: servers(&resolved.global.servers),
        fallback: servers(&resolved.global.fallback),
        search: &resolved.global.search,
        routes: &resolved.global.routes,
        encryption: resolved.global.encryption,
        validation: resolved.global.validation,
        hidden_links: resolved.has_hidden_links,
    }
}

fn link(link: &LinkFacts) -> LinkReport<'_> {
    LinkReport {
        index: link.index,
        servers: servers(&link.servers),
        search: &link.search,
        routes: &link.routes,
        default_route: link.default_route,
        encryption: link.encryption,
        validation: link.validation,
    }
}

fn servers(list: &[Listed]) -> Vec<ServerReport<'_>> {
    let report = list.iter().map(|listed| ServerReport {
        server: listed.server.to_string(),
        tls_name: listed.tls_name.as_deref(),
        source: &listed.source,
    });
    report.collect()
}

fn print_text(out: &mut dyn Write, found: &Found) -> io::Result<()> {
    match &found.source {
        Some(source) => writeln!(out, "Upstream servers, from {source}:")?,
        None => {
            writeln!(out, "No upstream server found. Name one in `upstreams.servers`, or see below why none is used.")?
        }
    }
    print_candidates(out, &found.candidates)?;
    for route in &found.routes {
        let domains: Vec<String> = route.domains.iter().map(ToString::to_string).collect();
        writeln!(out, "For {}:", domains.join(", "))?;
        print_candidates(out, &route.candidates)?;
    }
    print_words(out, "search", &found.search)?;
    print_words(out, "options", &found.options)?;
    print_lines(out, "Notes", &found.notes)?;
    print_lines(out, "Unknown", &found.unknown)
}

fn print_candidates(out: &mut dyn Write, candidates: &[Candidate]) -> io::Result<()> {
    let rows: Vec<[String; 3]> = candidates.iter().map(row).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (server_width, place_width) = (width(0), width(1));
    rows.iter()
        .try_for_each(|[server, place, usage]| writeln!(out, "  {server:server_width$}  {place:place_width$}  {usage}"))
}

fn row(candidate: &Candidate) -> [String; 3] {
    let place = match candidate.line {
        Some(line) => format!("{}:{line}", candidate.source),
        None => candidate.source.to_string(),
    };
    let mut usage = match candidate.usage.reason() {
        None => "used".to_owned(),
        Some(reason) => format!("not used: {reason}"),
    };
    if let Some(note) = &candidate.note {
        usage.push_str(" (");
        usage.push_str(note);
        usage.push(')');
    }
    [candidate.server.to_string(), place, usage]
}

fn print_words(out: &mut dyn Write, name: &str, words: &[String]) -> io::Result<()> {
    let words = if words.is_empty() { "none".to_owned() } else { words.join(" ") };
    writeln!(out, "{name}: {words}")
}

fn print_lines(out: &mut dyn Write, title: &str, lines: &[String]) -> io::Result<()> {
    if !lines.is_empty() {
        writeln!(out, "{title}:")?;
    }
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
