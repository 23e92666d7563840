//! The node itself: its own programs ask Onward, by whatever governs `/etc/resolv.conf`.
//!
//! systemd-resolved gets Onward as its server for all names, by a drop-in. NetworkManager is told to leave the file
//! alone, which then is a link to ours; it goes on writing its servers to /run, where Onward reads them. resolvconf
//! names Onward first. A file that nobody governs becomes a link, and what it said stays a source of Onward's.
//!
//! What Onward itself asks must not come to depend on what the node asks: that would be a loop.

use std::net::SocketAddr;
use std::path::Path;

use super::Onward;
use super::plan::{Change, Content, Plan, Refusal, Restart, text};
use super::settings::{prepend_servers, variable};
use crate::discovery::programs::dropins::{self, Assignment};
use crate::discovery::programs::link::Encryption;
use crate::discovery::reader::Reader;
use crate::discovery::{Found, Governor, Inputs, Root, SourceName, governor, look};
use crate::upstream::server::DNS_PORT;

/// What the node itself reads.
const ETC: &str = "/etc/resolv.conf";
/// Our files for each program.
const RESOLVED: &str = "/etc/systemd/resolved.conf.d/90-onward.conf";
const NETWORK_MANAGER: &str = "/etc/NetworkManager/conf.d/90-onward.conf";
/// What Debian's resolvconf puts first, and the configuration of openresolv, with its variable for that.
const RESOLVCONF_HEAD: &str = "/etc/resolvconf/resolv.conf.d/head";
const OPENRESOLV: &str = "/etc/resolvconf.conf";
const OPENRESOLV_SERVERS: &str = "name_servers";
/// What a file that nobody governs said, as a source of Onward's; and the configuration that says which comes first.
const KEPT_SOURCE: &str = "/etc/onward/resolv.conf.host";
const CONFIGURATION: &str = "/etc/onward/onward.toml.d/50-host.toml";
/// The name that the kernel shows of it, which has 15 characters at most.
const RESOLVED_NAME: &str = "systemd-resolve";
/// Programs that write `/etc/resolv.conf` by themselves, through a link too.
const WRITERS: [&str; 4] = ["dhclient", "dhcpcd", "udhcpc", "pppd"];
/// The first line of our files.
const MADE: &str = "# `onward integrate host` made this; `onward revert host` takes it away.";

/// Plans to have the node ask Onward.
///
/// # Errors
/// Where that would be a loop, or a person has to decide which servers count.
pub(super) fn plan(root: &Root, onward: &Onward) -> Result<Plan, Refusal> {
    if onward.servers.is_empty() {
        return Err(Refusal(format!("Onward has written no {}: systemctl start onward", onward.file)));
    }
    let own: Vec<_> = onward.servers.iter().map(|ip| SocketAddr::new(*ip, DNS_PORT)).collect();
    let found = look(&Inputs {
        root,
        configured: &onward.configured,
        routes: &[],
        sources: &onward.sources,
        own: &own,
        written: Path::new(&onward.file),
    });
    let by = governor(&found.programs, &own);
    if by != Governor::Onward {
        is_no_loop(&found)?;
    }
    match by {
        Governor::Onward => Ok(Plan::default()),
        Governor::Resolved => resolved(root, onward, &found),
        Governor::NetworkManager => network_manager(root, onward),
        Governor::Resolvconf => resolvconf(root, onward),
        Governor::Nobody => nobody(root, onward),
    }
}

/// A server on loopback is asked as it is where what is behind it is not known, or does more than its servers could: it
/// may well ask what the node asks.
fn is_no_loop(found: &Found) -> Result<(), Refusal> {
    let on_loopback = found.servers.iter().find(|(endpoint, _)| endpoint.server.ip().to_canonical().is_loopback());
    match on_loopback {
        None => Ok(()),
        Some((server, source)) => Err(Refusal(format!(
            "Onward itself asks {server} (from {source}), a program on this node, which may ask what the node asks: that would \
             be a loop. Name the servers behind it in upstreams.servers of Onward's configuration (onward discover says why \
             it is asked), and run this again"
        ))),
    }
}

/// `DNS=` of others would come before ours, so theirs go into `FallbackDNS=`, where Onward finds them and resolved does
/// not ask.
fn resolved(root: &Root, onward: &Onward, found: &Found) -> Result<Plan, Refusal> {
    if found.programs.resolved.global.encryption == Some(Encryption::Yes) {
        return Err(Refusal(
            "systemd-resolved is to encrypt (DNSOverTLS=yes), which Onward does not do for clients".to_owned(),
        ));
    }
    let lines = dropins::read("resolved.conf", "Resolve", &mut Reader::new(root));
    let others: Vec<&Assignment> = lines.iter().filter(|line| line.path != RESOLVED).collect();
    let named = words_of(&others, "DNS");
    if let Some(line) = others.iter().find(|line| line.key == "DNS" && !named.is_empty()) {
        let of_links = found.programs.resolved.servers().into_iter().map(|listed| listed.server.ip().to_string());
        let ours: Vec<String> = onward.servers.iter().map(ToString::to_string).collect();
        if let Some(other) = of_links.into_iter().find(|ip| !named.contains(ip) && !ours.contains(ip)) {
            return Err(Refusal(format!(
                "{}:{} names servers for all links (DNS=), and {other} comes from a link: with Onward in between, their order \
                 would be lost. Put those that are to be asked into upstreams.servers of Onward's configuration, take \
                 that line out, and run this again",
                line.path, line.line
            )));
        }
    }
    let mut text = format!("{MADE}\n[Resolve]\nDNS=\nDNS={}\nDomains=~.\n", joined(onward));
    if !named.is_empty() {
        let fallback = [named, words_of(&others, "FallbackDNS")].concat().join(" ");
        text.push_str(&format!("FallbackDNS=\nFallbackDNS={fallback}\n"));
    }
    let changes = Change::of_file(root, RESOLVED, text)?;
    let process = running(root, &[RESOLVED_NAME]).map(|(_, id)| id);
    Ok(Plan { process, ..plan_of(changes, Restart::unit("systemd-resolved")) })
}

/// The words of a key, of which an empty assignment takes back all before it.
fn words_of(lines: &[&Assignment], key: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in lines.iter().filter(|line| line.key == key) {
        if line.value.is_empty() {
            words.clear();
        }
        words.extend(line.value.split_ascii_whitespace().map(str::to_owned));
    }
    words
}

fn network_manager(root: &Root, onward: &Onward) -> Result<Plan, Refusal> {
    let text = format!("{MADE}\n[main]\nrc-manager=unmanaged\n");
    let mut changes: Vec<Change> = Change::of_file(root, NETWORK_MANAGER, text)?.into_iter().collect();
    if onward.configured.is_empty() {
        changes.extend(comes_first(root, onward, &SourceName::NetworkManager)?);
    }
    changes.extend(link(root, onward)?);
    let restarts = [&["systemctl", "reload", "NetworkManager"], &["systemctl", "reload", "onward"]];
    Ok(Plan { changes, restarts: restarts.map(|words| Restart::command(words)).to_vec(), ..Plan::default() })
}

fn resolvconf(root: &Root, onward: &Onward) -> Result<Plan, Refusal> {
    let restart = Restart::command(&["resolvconf", "-u"]);
    if let Some(before) = text(root, OPENRESOLV)? {
        let named = variable(&before, OPENRESOLV_SERVERS).unwrap_or_default();
        let after = prepend_servers(&before, OPENRESOLV_SERVERS, &named, &joined(onward));
        return Ok(plan_of(Change::of_file(root, OPENRESOLV, after)?, restart));
    }
    let before = text(root, RESOLVCONF_HEAD)?.unwrap_or_default();
    let wanted: Vec<String> = onward.servers.iter().map(|ip| format!("nameserver {ip}")).collect();
    let mut lines: Vec<&str> = before.lines().collect();
    lines.extend(wanted.iter().map(String::as_str).filter(|line| !before.lines().any(|has| has == *line)));
    Ok(plan_of(Change::of_file(root, RESOLVCONF_HEAD, lines.join("\n") + "\n")?, restart))
}

fn nobody(root: &Root, onward: &Onward) -> Result<Plan, Refusal> {
    if let Some((writer, _)) = running(root, &WRITERS) {
        return Err(Refusal(format!(
            "{writer} runs here and writes {ETC} by itself, a link too: have it leave that file alone, or name Onward's \
             addresses ({}) in its configuration",
            joined(onward)
        )));
    }
    let mut changes = Vec::new();
    let etc = SourceName::File(ETC.into());
    if onward.configured.is_empty() && onward.sources.contains(&etc) {
        let Some(before) = text(root, ETC)? else {
            return Err(Refusal(format!("there is no {ETC}, so that nothing says whom Onward is to ask")));
        };
        let kept = format!(
            "# What {ETC} said before it became a link to Onward's file: whom Onward asks. Edit this one.\n{before}"
        );
        changes.extend(Change::of_file(root, KEPT_SOURCE, kept)?);
        changes.extend(comes_first(root, onward, &SourceName::File(KEPT_SOURCE.into()))?);
    }
    changes.extend(link(root, onward)?);
    Ok(plan_of(changes, Restart::command(&["systemctl", "reload", "onward"])))
}

/// Has a source come before the others, as it does while it governs the file: once that names Onward, nothing tells
/// whom the node meant.
fn comes_first(root: &Root, onward: &Onward, first: &SourceName) -> Result<Option<Change>, Refusal> {
    let is_other = |source: &&SourceName| *source != first && **source != SourceName::File(ETC.into());
    let all = [first].into_iter().chain(onward.sources.iter().filter(is_other));
    let sources = all.map(|source| format!("\"{source}\"")).collect::<Vec<_>>().join(", ");
    Change::of_file(root, CONFIGURATION, format!("{MADE}\n[upstreams]\nsources = [{sources}]\n"))
}

fn link(root: &Root, onward: &Onward) -> Result<Option<Change>, Refusal> {
    Change::to(root, Path::new(ETC), Content::Link(onward.file.clone().into()))
}

/// The first of these programs that runs, by its name (proc_pid_comm(5)), and the number of its process.
fn running(root: &Root, names: &[&'static str]) -> Option<(&'static str, u32)> {
    let processes = root.list("/proc").unwrap_or_default();
    let mut numbers = processes.iter().filter_map(|name| name.parse::<u32>().ok());
    numbers.find_map(|number| {
        let name = root.read_text(format!("/proc/{number}/comm")).ok().flatten()?;
        Some((names.iter().find(|known| **known == name.trim())?.to_owned(), number))
    })
}

fn joined(onward: &Onward) -> String {
    onward.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn plan_of(changes: impl IntoIterator<Item = Change>, restart: Restart) -> Plan {
    Plan { changes: changes.into_iter().collect(), restarts: vec![restart], process: None, notes: Vec::new() }
}
