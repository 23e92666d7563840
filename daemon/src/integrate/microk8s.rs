//! MicroK8s: `--resolv-conf` in the file of its kubelet's arguments, one a line. The snap takes that file along when it
//! is refreshed.

use std::path::Path;

use super::plan::{Change, Content, Plan, Refusal, Restart, text};
use crate::discovery::Root;
use crate::discovery::kubelet::flags::Flags;
use crate::discovery::kubelet::running::Process;
use crate::discovery::kubelet::yaml::Document;

/// The program that has kubelet in it, and its unit.
const PROGRAM: &str = "kubelite";
const UNIT: &str = "snap.microk8s.daemon-kubelite.service";
/// kubelet's arguments. `current` is a link to those of the snap's revision.
const ARGUMENTS: &str = "/var/snap/microk8s/current/args/kubelet";
/// What the snap is.
const SNAP: &str = "/snap/microk8s/current/meta/snap.yaml";

/// Plans to have MicroK8s hand `file` to its kubelet.
///
/// # Errors
/// Where it is not here, or does not see the file.
pub(super) fn plan(root: &Root, file: &str, processes: &[Process]) -> Result<Plan, Refusal> {
    let Some(before) = text(root, ARGUMENTS)? else {
        return Err(Refusal(format!("MicroK8s is not installed here: there is no {ARGUMENTS}")));
    };
    let snap = text(root, SNAP)?.and_then(|text| Document::read(&text).ok());
    let confinement = snap.and_then(|snap| snap.list("confinement").ok()).unwrap_or_default();
    if confinement.first().is_some_and(|confinement| confinement == "strict") {
        return Err(Refusal(format!("this MicroK8s is the strictly confined one, which may not read {file}")));
    }
    let arguments: Vec<&str> = before.lines().flat_map(str::split_ascii_whitespace).collect();
    let given = Flags::parse(arguments.into_iter()).resolv_conf;
    let mut changes = Vec::new();
    if given.map(|given| given.trim_matches(['"', '\'']).to_owned()).as_deref() != Some(file) {
        let is_other = |line: &&str| !line.trim_start_matches(['-', ' ']).starts_with("resolv-conf");
        let mut lines: Vec<&str> = before.lines().filter(is_other).collect();
        let ours = format!("--resolv-conf={file}");
        lines.push(&ours);
        changes.extend(Change::to(root, Path::new(ARGUMENTS), Content::Text(lines.join("\n") + "\n"))?);
    }
    let process = processes.iter().find(|process| process.program == PROGRAM).map(|process| process.id);
    Ok(Plan { changes, restarts: vec![Restart::unit(UNIT)], process, notes: Vec::new() })
}
