//! `onward dedicated`: puts the dedicated addresses of the configuration on the node, for a service that may not by
//! itself. What speaks against an address, and what has to be done, is decided in `node_address::dedicated`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::check::unit::Unit;
use super::{DedicatedArgs, Failure};
use crate::config::{self, Faults, Loaded, Overrides, Roots, Settings, last_good};
use crate::discovery::Root;
use crate::discovery::kubelet::{self, Kubelet};
use crate::node_address::choose::Place;
use crate::node_address::dedicated::{self, Conflict, Dedicated, LINK, LOOPBACK, Step};
use crate::node_address::{self, Tables};

/// Puts them on the node, and tells each. An address that something speaks against is left out, and told at the end.
pub(super) fn run(args: &DedicatedArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let root = Root::machine();
    let settings = load(args, &root)?.settings;
    let kubelet = kubelet::read(&root);
    let tables = node_address::netlink::read()
        .map_err(|error| Failure::System(format!("the kernel's addresses and routes cannot be read: {error}")))?;
    let against = conflicts(&settings, &kubelet, &tables);
    let is_free = |one: &Dedicated| against.iter().all(|(other, _)| other != one);
    let free: Vec<_> = wanted(&settings).filter(is_free).collect();
    for step in steps(&free, &tables)? {
        carry_out(step)?;
        if let Step::Add(one, link) = step {
            writeln!(out, "{} is on {link} now", one.ip())?;
        }
    }
    if against.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = against.iter().map(|(one, conflict)| tell(*one, conflict)).collect();
    Err(Failure::Unusable(told.join("\n")))
}

/// What is left to do once there is a link to do it on.
fn steps(free: &[Dedicated], tables: &Tables) -> Result<Vec<Step>, Failure> {
    let mut steps = dedicated::steps(free, LINK, tables);
    if steps.first() != Some(&Step::MakeLink) {
        return Ok(steps);
    }
    match carry_out(Step::MakeLink) {
        Ok(()) => drop(steps.remove(0)),
        // A kernel that has no such links, or may not load them.
        Err(Failure::System(_)) => steps = dedicated::steps(free, LOOPBACK, tables),
        Err(failure) => return Err(failure),
    }
    Ok(steps)
}

/// What the service would run on: its configuration, else the one that worked last.
fn load(args: &DedicatedArgs, root: &Root) -> Result<Loaded, Faults> {
    let (overrides, variables) = match Unit::read(root) {
        Some(unit) => (unit.overrides(args.config.clone()), unit.variables()),
        None => (Overrides { config: args.config.clone(), ..Overrides::default() }, Vec::new()),
    };
    config::load_from(&Roots::default(), variables, &overrides)
        .or_else(|faults| last_good::load(Path::new(last_good::OF_SERVICE), &overrides).map_err(|_| faults))
}

fn wanted(settings: &Settings) -> impl Iterator<Item = Dedicated> {
    settings.listen.iter().filter_map(|place| match place {
        Place::Dedicated(one) => Some(*one),
        Place::Node | Place::Address(_) | Place::Interface { .. } => None,
    })
}

/// The dedicated addresses of the configuration that must not be put on this node, with the reason.
pub(super) fn conflicts(settings: &Settings, kubelet: &Kubelet, tables: &Tables) -> Vec<(Dedicated, Conflict)> {
    let (services, cluster_dns) = (&settings.names.service_networks, kubelet.never_asked());
    wanted(settings).filter_map(|one| Some((one, one.conflict(tables, services, &cluster_dns)?))).collect()
}

/// What people are told of one of them.
pub(super) fn tell(one: Dedicated, conflict: &Conflict) -> String {
    format!(
        "listen = \"dedicated:{}\" is not put on this node: {conflict}; take an address that nobody has, as \
         \"dedicated:169.254.53.53\"",
        one.ip()
    )
}

/// Does one step by `ip` of iproute2, which every node with pods has.
fn carry_out(step: Step) -> Result<(), Failure> {
    let network = match step {
        Step::Add(one, _) => one.network().to_string(),
        Step::MakeLink | Step::RaiseLink => String::new(),
    };
    let words: &[&str] = match step {
        Step::MakeLink => &["link", "add", LINK, "type", "dummy"],
        Step::RaiseLink => &["link", "set", LINK, "up"],
        // An address of IPv6 would be tentative for a second, in which nobody is answered; nobody else is on this link.
        Step::Add(one, link) if one.ip().is_ipv6() => &["address", "add", &network, "dev", link, "nodad"],
        Step::Add(_, link) => &["address", "add", &network, "dev", link],
    };
    let told = || format!("ip {}", words.join(" "));
    let ended = Command::new("ip").args(words).stdin(Stdio::null()).output();
    let ended = ended.map_err(|error| {
        Failure::System(format!("{}: {error}; ip of iproute2 is needed to put a dedicated address on the node", told()))
    })?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim();
    if said.contains("not permitted") {
        return Err(Failure::Permission(format!("{}: {said}; run it as root, or by onward-dedicated.service", told())));
    }
    Err(Failure::System(format!("{}: {said}", told())))
}
