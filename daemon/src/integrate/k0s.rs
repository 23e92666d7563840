//! k0s: a drop-in of its unit that starts it with `--resolv-conf` among kubelet's extra arguments. It writes kubelet's
//! configuration by itself at each start, and reads no file of the administrator's for it.

use std::ffi::OsStr;
use std::path::Path;

use super::plan::{Change, Plan, Refusal, Restart};
use super::settings::without_flag;
use super::unit::Unit;
use crate::discovery::Root;
use crate::discovery::kubelet::flags::Flags;
use crate::discovery::kubelet::running::Process;

/// The program.
const PROGRAM: &str = "k0s";
/// Its units, as `k0s install` writes them.
const UNITS: [&str; 2] = ["k0sworker.service", "k0scontroller.service"];
/// The flag; of several, the last one counts.
const FLAG: &str = "--kubelet-extra-args";
/// Flags by which a controller starts pods, too.
const ALSO_WORKER: [&str; 2] = ["--enable-worker", "--single"];
/// Our drop-in, in the directory of the unit's name.
const DROPIN: &str = "90-onward.conf";

/// Plans to have k0s hand `file` to its kubelet.
///
/// # Errors
/// Where it is not here, starts no pods, or its unit cannot be changed without a person.
pub(super) fn plan(root: &Root, file: &str, processes: &[Process]) -> Result<Plan, Refusal> {
    let mut found = None;
    for name in UNITS {
        found = match found {
            None => Unit::read(root, name)?,
            found => found,
        };
    }
    let Some(unit) = found else {
        return Err(Refusal(format!(
            "k0s is not installed here as a service: there is neither {}",
            UNITS.join(" nor ")
        )));
    };
    let name = unit.name.clone();
    let ours = format!("/etc/systemd/system/{name}.d/{DROPIN}");
    let before = unit.without(&ours);
    let Some(command) = before.command() else { return Err(Refusal(format!("{name} has no ExecStart="))) };
    let words = before.words();
    if words.first().is_some_and(|word| word == "controller") && !words.iter().any(|word| starts_pods(word)) {
        return Err(Refusal(format!("{name} starts no pods: a controller does with {}", ALSO_WORKER.join(" or "))));
    }
    let extra = extra_arguments(&words);
    let mut plan = Plan {
        restarts: vec![Restart::command(&["systemctl", "daemon-reload"]), Restart::unit(&name)],
        process: processes.iter().find(|process| process.program == PROGRAM).map(|process| process.id),
        ..Plan::default()
    };
    if Flags::parse(extra.split_ascii_whitespace()).resolv_conf.as_deref() == Some(file) {
        return Ok(plan);
    }
    if extra.contains(['"', '\'', '\\']) {
        return Err(Refusal(format!(
            "{} has {FLAG} with quotes in it: put --resolv-conf={file} into it by hand",
            command.path
        )));
    }
    let flag = format!("--resolv-conf={file}");
    let mut arguments = without_flag(&extra);
    arguments.push(&flag);
    let text = format!(
        "# `onward integrate k0s` made this of {}; `onward revert k0s` takes it away.\n[Service]\nExecStart=\n\
         ExecStart={} \"{FLAG}={}\"\n",
        command.path,
        command.value,
        arguments.join(" ")
    );
    // Drop-ins take effect in the order of their names, whatever directory they are in.
    let file_name = Path::new(&command.path).file_name();
    if command.path.contains(".service.d/") && file_name > Some(OsStr::new(DROPIN)) {
        return Err(Refusal(format!(
            "{} has an ExecStart= that comes after {ours}: put \"{FLAG}={}\" into it",
            command.path,
            arguments.join(" ")
        )));
    }
    plan.changes.extend(Change::of_file(root, &ours, text)?);
    Ok(plan)
}

fn starts_pods(word: &str) -> bool {
    ALSO_WORKER.iter().any(|flag| word == *flag || word.strip_prefix(flag) == Some("=true"))
}

/// What the flag says, the last one if there are more.
fn extra_arguments(words: &[String]) -> String {
    let mut words = words.iter();
    let mut extra = String::new();
    while let Some(word) = words.next() {
        match word.strip_prefix(FLAG) {
            Some("") => extra = words.next().cloned().unwrap_or_default(),
            Some(rest) => extra = rest.strip_prefix('=').map_or(extra, str::to_owned),
            None => {}
        }
    }
    extra
}
