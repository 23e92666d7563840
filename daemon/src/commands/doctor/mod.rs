//! `onward doctor`: what is wrong with DNS on this node, with its evidence and its cure; and an archive of all that was
//! looked at, for support.

mod bundle;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

use super::{Failure, daemon};
use crate::clock;
use crate::control::client::AskError;
use crate::control::status::Status;
use crate::discovery::{Root, resolv_conf};
use crate::doctor::{self, Around, Diagnosis, Finding, Firewall, Machine, Onward, Reached, Severity};
use crate::integrate::pods::Pod;
use crate::integrate::reach;
use crate::node_address;
use crate::upstream::server::DNS_PORT;
use bundle::Part;

/// Maximum number of servers of the daemon's that are asked.
const UPSTREAMS_MAX: usize = 8;

/// `onward doctor`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Find out what is wrong with DNS on this node, and say what to do",
    long_about = "Find out what is wrong with DNS on this node, and say what to do: whose /etc/resolv.conf is, which file kubelet \
                  gives to pods and what it names, what the pods that run really have, where CoreDNS forwards to and what it \
                  said before it ended, whether a loop would form now and through whom, whether Onward runs, is well, is what was \
                  installed last, and is reached from the networks of pods (and if not, which rule of the firewall is in the way), whether long messages pass, full disks, the clock, \
                  versions.\n\nTo find a loop it asks, from the pod of a CoreDNS that is down, what that \
                  CoreDNS would ask, and listens for a moment in its place: one question to each server, which goes around \
                  once at most. Where a CoreDNS runs it asks nothing of the kind.\n\nEach \
                  finding has its evidence, what it does to pods, and the cure, as commands to paste; the one to do first \
                  stands at the end. Nothing is changed. It needs no daemon; as another user than root it sees less, and \
                  says what.",
    after_help = "Exit status: 0 nothing was found; 1 something was\n\
                  Examples:\n  onward doctor\n  onward doctor --json | jq '.findings[].what'\n  onward doctor --bundle /tmp/node.tar"
)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Show what is well, too
    #[arg(long)]
    pub verbose: bool,
    /// Write an archive (tar) of what was looked at, for support: findings, status, configuration, journal, resolv.conf
    /// files, Corefiles; without secrets
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Ask the daemon here, instead of where the configuration says
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
}

/// Does it, on this machine.
pub(super) fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let settings = daemon::settings();
    let root = Root::machine();
    let onward = Onward {
        file: settings.resolv_conf.path.display().to_string(),
        state_dir: settings.state_dir,
        configured: settings.upstreams.servers,
        sources: settings.upstreams.sources,
    };
    let socket = args.control_socket.clone().unwrap_or(settings.control.socket);
    let status = daemon::status(&socket);
    let diagnosis = look(&root, &onward, &status);
    let as_json = serde_json::to_string_pretty(&diagnosis).map_err(std::io::Error::from)?;
    if args.json {
        writeln!(out, "{as_json}")?;
    } else {
        out.write_all(text(&diagnosis, args.verbose).as_bytes())?;
    }
    if let Some(path) = &args.bundle {
        let part = |name: &str, text: String| Part { name: name.to_owned(), content: text.into_bytes() };
        let mut parts = vec![part("doctor.json", as_json), part("doctor.txt", text(&diagnosis, true))];
        if let Ok(status) = &status {
            parts.push(part("status.json", serde_json::to_string_pretty(status).map_err(std::io::Error::from)?));
        }
        parts.extend(bundle::files(&root, &doctor::files(&root, &onward)));
        parts.extend(bundle::journal());
        // With --json the list would spoil the object.
        let mut nowhere = Vec::new();
        bundle::write(path, &parts, clock::wall(), if args.json { &mut nowhere } else { out })?;
    }
    if diagnosis.findings.is_empty() { Ok(()) } else { Err(Failure::Told(1)) }
}

/// Looks at files, asks servers and the daemon.
fn look(root: &Root, onward: &Onward, status: &Result<Status, AskError>) -> Diagnosis {
    let is_root = nix::unistd::geteuid().is_root();
    let pods = if is_root { Pod::find(root) } else { Vec::new() };
    let machine = Machine::look();
    let around = Around { pods: &pods, answers: &reach::answers, now: clock::wall(), machine: &machine };
    let mut diagnosis = doctor::examine(root, onward, &around);
    if !is_root {
        diagnosis.unseen.push("the networks of pods can be entered by root alone".to_owned());
    }
    let file = root.read(&onward.file).ok().flatten().unwrap_or_default();
    let names: Vec<IpAddr> = resolv_conf::parse(&file).nameservers.iter().map(|named| named.server.ip()).collect();
    let asked = if status.is_ok() { reach::try_all(&names, &pods) } else { Vec::new() };
    let firewall = if doctor::is_shut(&asked) { Firewall::look(root) } else { Firewall::default() };
    let reached = Reached { networks: networks(&names, &pods), names, asked, firewall };
    doctor::examine_daemon(status, &reached, &mut diagnosis);
    if let Ok(status) = status {
        doctor::examine_paths(&doctor::try_paths(&reached.names, &asked_upstream(status), &pods), &mut diagnosis);
    }
    diagnosis
}

/// The networks from which pods ask these servers: as this node routes them, else each pod by itself.
fn networks(servers: &[IpAddr], pods: &[Pod]) -> Vec<IpNet> {
    let tables = node_address::netlink::read().unwrap_or_default();
    let routed = |ip: IpAddr| {
        let networks = tables.routes.iter().map(|route| route.destination);
        let around = networks.filter(|network| network.prefix_len() > 0 && network.contains(&ip));
        around.max_by_key(IpNet::prefix_len).unwrap_or_else(|| ip.into())
    };
    let each = pods.iter().flat_map(|pod| servers.iter().filter_map(|server| pod.address_towards(*server)));
    each.map(routed).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The servers that the daemon asks on the port of DNS, each once.
fn asked_upstream(status: &Status) -> Vec<IpAddr> {
    let servers = status.upstreams.iter().filter_map(|upstream| upstream.server.parse::<SocketAddr>().ok());
    let mut servers: Vec<IpAddr> =
        servers.filter(|server| server.port() == DNS_PORT).map(|server| server.ip()).collect();
    servers.sort_unstable();
    servers.dedup();
    servers.truncate(UPSTREAMS_MAX);
    servers
}

fn text(diagnosis: &Diagnosis, verbose: bool) -> String {
    let mut text = String::new();
    if verbose {
        diagnosis.well.iter().for_each(|line| text.push_str(&format!("ok    {line}\n")));
    }
    for (number, finding) in diagnosis.findings.iter().enumerate() {
        let word = if finding.severity == Severity::Fault { "FAULT" } else { "risk " };
        let _ = writeln!(text, "\n{}. {word} {}", number + 1, finding.what); // a String takes all
        finding.evidence.iter().for_each(|line| text.push_str(&format!("   seen:  {line}\n")));
        let _ = writeln!(text, "   so:    {}", finding.effect);
        push_cure(&mut text, finding);
    }
    if !diagnosis.unseen.is_empty() {
        text.push_str("\nNot seen:\n");
        diagnosis.unseen.iter().for_each(|line| text.push_str(&format!("   {line}\n")));
    }
    match diagnosis.first() {
        Some(first) if diagnosis.findings.len() > 1 => {
            let _ = writeln!(text, "\nDo this first: it ends \"{}\"", first.what);
            push_cure(&mut text, first);
        }
        Some(_) => {}
        None if diagnosis.unseen.is_empty() => text.push_str("Nothing is wrong with DNS on this node.\n"),
        None => text.push_str("\nNothing wrong was seen.\n"),
    }
    text.trim_start_matches('\n').to_owned()
}

fn push_cure(text: &mut String, finding: &Finding) {
    for (number, line) in finding.cure.iter().enumerate() {
        let title = if number == 0 { "do:" } else { "" };
        let _ = writeln!(text, "   {title:<6} {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_to_be_done_first() {
        let finding = |severity, what: &str| Finding {
            severity,
            what: what.to_owned(),
            evidence: vec!["/etc/resolv.conf:1".to_owned()],
            effect: "pods resolve nothing".to_owned(),
            cure: vec![format!("mend {what}"), "and more".to_owned()],
        };
        let findings = vec![finding(Severity::Risk, "one"), finding(Severity::Fault, "two")];
        let diagnosis = Diagnosis { findings, ..Diagnosis::default() };
        let said = text(&diagnosis, false);
        let expected =
            "1. risk  one\n   seen:  /etc/resolv.conf:1\n   so:    pods resolve nothing\n   do:    mend one\n";
        assert!(said.starts_with(expected), "{said}");
        assert!(said.ends_with("Do this first: it ends \"two\"\n   do:    mend two\n          and more\n"), "{said}");
        assert_eq!(text(&Diagnosis::default(), false), "Nothing is wrong with DNS on this node.\n");
    }
}
