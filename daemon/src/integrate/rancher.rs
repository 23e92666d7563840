//! k3s and RKE2: `resolv-conf` in a file of ours in `config.yaml.d`, which beats `config.yaml`.
//!
//! Flags on the command line of their unit beat both, and so do flags for kubelet (`kubelet-arg`).

use super::plan::{Change, Plan, Refusal, Restart, text};
use super::unit::{self, Unit};
use crate::discovery::Root;
use crate::discovery::kubelet::flags::Flags;
use crate::discovery::kubelet::running::Process;
use crate::discovery::kubelet::yaml::Document;

/// The key of their configuration.
const KEY: &str = "resolv-conf";
/// Flags that they hand to kubelet.
const KUBELET_ARGUMENTS: [&str; 2] = ["kubelet-arg", "kubelet-arg+"];
/// The name of our file.
const DROPIN: &str = "onward.yaml";

/// One of the two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Distribution {
    /// The program.
    program: &'static str,
    /// Its configuration; drop-ins are in the directory of the same name with `.d`.
    config: &'static str,
    /// Its units, a server's first.
    units: [&'static str; 2],
}

/// k3s.
pub(super) const K3S: Distribution = Distribution {
    program: "k3s",
    config: "/etc/rancher/k3s/config.yaml",
    units: ["k3s.service", "k3s-agent.service"],
};
/// RKE2.
pub(super) const RKE2: Distribution = Distribution {
    program: "rke2",
    config: "/etc/rancher/rke2/config.yaml",
    units: ["rke2-server.service", "rke2-agent.service"],
};

/// Plans to have the distribution hand `file` to its kubelet.
///
/// # Errors
/// Where it is not here, or a flag stands against it.
pub(super) fn plan(
    root: &Root,
    file: &str,
    processes: &[Process],
    distribution: Distribution,
) -> Result<Plan, Refusal> {
    let process = processes.iter().find(|process| process.program == distribution.program);
    let unit = unit(root, process, distribution)?;
    let Some(unit) = unit else {
        let Distribution { program, units: [server, agent], .. } = distribution;
        return Err(Refusal(format!(
            "{program} is not installed here: it does not run, and there is neither {server} nor {agent}"
        )));
    };
    let words = unit.words();
    let flags = Flags::parse(words.iter().map(String::as_str));
    let asked = kubelet_argument(words.iter().map(String::as_str));
    if let Some(given) = asked.as_ref().or(flags.resolv_conf.as_ref()) {
        let place = unit.command().map_or(unit.name.as_str(), |line| line.path.as_str());
        if given != file {
            return Err(Refusal(format!(
                "{place} starts {} with resolv-conf={given}, which beats its files: take that flag out there, then \
                 systemctl daemon-reload, and run this again",
                distribution.program
            )));
        }
        return Ok(told(&unit, process, Vec::new()));
    }
    let config = flags.config.as_deref().unwrap_or(distribution.config);
    let changes = in_directory(root, file, config)?;
    Ok(told(&unit, process, changes))
}

fn told(unit: &Unit, process: Option<&Process>, changes: Vec<Change>) -> Plan {
    let process = process.map(|process| process.id);
    Plan { changes, restarts: vec![Restart::unit(&unit.name)], process, notes: Vec::new() }
}

/// The unit of the process, else the one that is installed.
fn unit(root: &Root, process: Option<&Process>, distribution: Distribution) -> Result<Option<Unit>, Refusal> {
    let of_process = process.and_then(|process| unit::of_process(root, process.id));
    for name in of_process.iter().map(String::as_str).chain(distribution.units) {
        if let Some(unit) = Unit::read(root, name)? {
            return Ok(Some(unit));
        }
    }
    Ok(None)
}

/// What `--kubelet-arg` says of the file, if anything.
fn kubelet_argument<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut words = words.peekable();
    let mut arguments = Vec::new();
    while let Some(word) = words.next() {
        match word.trim_start_matches('-').strip_prefix("kubelet-arg") {
            Some("") => arguments.extend(words.next()),
            Some(rest) => arguments.extend(rest.strip_prefix('=')),
            None => {}
        }
    }
    Flags::parse(arguments.into_iter()).resolv_conf
}

fn in_directory(root: &Root, file: &str, config: &str) -> Result<Vec<Change>, Refusal> {
    let directory = format!("{config}.d");
    let names = root.list(&directory).map_err(|error| Refusal(format!("{directory} cannot be listed: {error}")))?;
    let is_read = |name: &&String| name.ends_with(".yaml") || name.ends_with(".yml");
    let dropins = names.iter().filter(is_read).map(|name| format!("{directory}/{name}"));
    let ours = format!("{directory}/{DROPIN}");
    let mut named = None;
    for path in [config.to_owned()].into_iter().chain(dropins) {
        let Some(text) = text(root, &path)? else { continue };
        let not_understood = |error| Refusal(format!("{path} is not understood: {error}"));
        let document = Document::read(&text).map_err(not_understood)?;
        for key in KUBELET_ARGUMENTS {
            let arguments = document.list(key).map_err(not_understood)?;
            let given = Flags::parse(arguments.iter().map(String::as_str)).resolv_conf;
            if let Some(given) = given.filter(|given| given != file) {
                return Err(Refusal(format!(
                    "{path} has {key}: resolv-conf={given}, which beats {KEY}: take that line out of it, and run this again"
                )));
            }
        }
        if let Some(value) = document.list(KEY).map_err(not_understood)?.into_iter().next() {
            named = Some((path, value));
        }
    }
    match named {
        Some((_, value)) if value == file => return Ok(Vec::new()),
        Some((path, value)) if path > ours => {
            return Err(Refusal(format!(
                "{path} says {KEY}: {value}, and is read after {ours}: take that line out of it"
            )));
        }
        _ => {}
    }
    let text = format!("# `onward integrate` made this; `onward revert` takes it away.\n{KEY}: {file}\n");
    Ok(Change::of_file(root, ours, text)?.into_iter().collect())
}
