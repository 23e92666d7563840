//! `onward discover`: what would be used as upstream, from where, and what not and why. A dry run: it reads files, and
//! needs neither the daemon nor a privilege.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;

use super::{DiscoverArgs, Failure};
use crate::config::{self, Settings};
use crate::discovery::{Candidate, Found, Inputs, Root, kubelet, look};
use crate::node_address::{self, Wanted};
use crate::service::wanted;

/// Does it for this machine.
pub(super) fn run(args: &DiscoverArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let settings = config::load(&args.overrides())?.settings;
    let root = Root::machine();
    let own = own(&settings, &root);
    let upstreams = &settings.upstreams;
    let inputs = Inputs { root: &root, configured: &upstreams.servers, sources: &upstreams.sources, own: &own };
    Ok(discover(out, &inputs, args.json)?)
}

/// Where the daemon listens, or would: never an upstream. Nothing, where that cannot be found out.
pub(super) fn own(settings: &Settings, root: &Root) -> Vec<SocketAddr> {
    let wanted: Wanted = wanted(settings, &kubelet::read(root), Vec::new());
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
    search: &'a [String],
    options: &'a [String],
    notes: &'a [String],
    unknown: &'a [String],
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
    let candidates = found.candidates.iter().map(|candidate| {
        let reason = candidate.verdict.reason();
        CandidateReport {
            server: candidate.server.to_string(),
            source: &candidate.source,
            line: candidate.line,
            used: reason.is_none(),
            reason,
            note: candidate.note.as_deref(),
        }
    });
    let report = Report {
        candidates: candidates.collect(),
        search: &found.search,
        options: &found.options,
        notes: &found.notes,
        unknown: &found.unknown,
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn print_text(out: &mut dyn Write, found: &Found) -> io::Result<()> {
    match &found.source {
        Some(source) => writeln!(out, "Upstream servers, from {source}:")?,
        None => {
            writeln!(out, "No upstream server found. Name one in `upstreams.servers`, or see below why none is used.")?
        }
    }
    let rows: Vec<[String; 3]> = found.candidates.iter().map(row).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (server_width, place_width) = (width(0), width(1));
    for [server, place, verdict] in &rows {
        writeln!(out, "  {server:server_width$}  {place:place_width$}  {verdict}")?;
    }
    print_words(out, "search", &found.search)?;
    print_words(out, "options", &found.options)?;
    print_lines(out, "Notes", &found.notes)?;
    print_lines(out, "Unknown", &found.unknown)
}

fn row(candidate: &Candidate) -> [String; 3] {
    let place = match candidate.line {
        Some(line) => format!("{}:{line}", candidate.source),
        None => candidate.source.to_string(),
    };
    let mut verdict = match candidate.verdict.reason() {
        None => "used".to_owned(),
        Some(reason) => format!("not used: {reason}"),
    };
    if let Some(note) = &candidate.note {
        verdict.push_str(" (");
        verdict.push_str(note);
        verdict.push(')');
    }
    [candidate.server.to_string(), place, verdict]
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
mod tests {
    use super::*;
    use crate::discovery::{Root, SourceName};

    fn output(text: &str, json: bool) -> String {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        std::fs::create_dir_all(root.path("/etc")).unwrap();
        std::fs::write(root.path("/etc/resolv.conf"), text).unwrap();
        let inputs = Inputs {
            root: &root,
            configured: &[],
            sources: &[SourceName::File("/etc/resolv.conf".into())],
            own: &["10.0.0.5:53".parse().unwrap()],
        };
        let mut out = Vec::new();
        discover(&mut out, &inputs, json).unwrap();
        String::from_utf8(out).unwrap()
    }

    const HOST: &str =
        "search corp.example\noptions edns0\nnameserver 10.0.0.2\nnameserver fd00::2\nnameserver 10.0.0.5\n";

    #[test]
    fn json_has_the_shape_that_is_promised() {
        let value: serde_json::Value = serde_json::from_str(&output(HOST, true)).unwrap();
        assert_eq!(
            value["candidates"][0],
            serde_json::json!({
                "server": "10.0.0.2:53", "source": "/etc/resolv.conf", "line": 3, "use": true, "reason": null, "note": null
            })
        );
        assert_eq!(value["candidates"][1]["server"], "[fd00::2]:53");
        assert_eq!(value["candidates"][2]["use"], false);
        assert!(value["candidates"][2]["reason"].as_str().unwrap().contains("Onward itself"));
        assert_eq!((&value["search"][0], &value["options"][0]), (&"corp.example".into(), &"edns0".into()));
    }

    #[test]
    fn people_see_each_candidate_with_its_place_and_why() {
        let text = output(HOST, false);
        assert!(text.starts_with("Upstream servers, from /etc/resolv.conf:\n"), "{text}");
        assert!(text.contains("  10.0.0.2:53   /etc/resolv.conf:3  used\n"), "{text}");
        assert!(text.contains("/etc/resolv.conf:5  not used: Onward itself listens there"), "{text}");
        assert!(text.contains("search: corp.example\noptions: edns0\n"), "{text}");
    }

    #[test]
    fn nothing_found_says_what_to_do() {
        let text = output("nameserver 0.0.0.0\n", false);
        assert!(text.contains("No upstream server found. Name one in `upstreams.servers`"), "{text}");
        assert!(text.contains("unspecified"), "{text}");
    }
}
