//! kubelet: a drop-in where it is started with `--config-dir`, else a flag in the environment file that its unit reads,
//! else kubeadm's files; or a refusal.
//!
//! Its flags beat its drop-ins, which beat its configuration file. It reads no drop-ins of itself, and `kubeadm
//! upgrade` rewrites `config.yaml` and `kubeadm-flags.env`, so that neither is the first choice.

use std::path::PathBuf;

use super::plan::{Change, Plan, Refusal, Restart, text};
use super::settings::{set_flag, set_key, variable};
use super::unit::{self, Unit};
use crate::discovery::Root;
use crate::discovery::kubelet::flags::Flags;
use crate::discovery::kubelet::running::Process;
use crate::discovery::kubelet::yaml::Document;

/// The program, and its unit unless its process is in another one.
const PROGRAM: &str = "kubelet";
const UNIT: &str = "kubelet.service";
/// The key of its configuration, and of kubeadm's patches.
const KEY: &str = "resolvConf";
/// Its name in the directory of drop-ins: after those that distributions and kubeadm put there.
const DROPIN: &str = "90-onward.conf";
/// Where administrators and distributions keep flags; what lies elsewhere programs write again.
const ENVIRONMENT: &str = "/etc/";
/// The variable that is for flags of the administrator's.
const EXTRA: &str = "KUBELET_EXTRA_ARGS";

/// kubeadm's own files, by which it is known, and the configuration that it writes.
const KUBEADM: [&str; 2] = ["/var/lib/kubelet/kubeadm-flags.env", "/etc/kubernetes/kubelet.conf"];
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// What newer versions of kubeadm merge into that configuration each time.
const INSTANCE: &str = "/var/lib/kubelet/instance-config.yaml";
/// A directory for `kubeadm upgrade --patches`, and our patch in it (`kubeadm upgrade node --help`).
const PATCHES: &str = "/etc/kubernetes/patches";
const PATCH: &str = "kubeletconfiguration90-onward+merge.yaml";

/// What is known of kubelet on this node.
#[derive(Debug)]
struct Facts<'a> {
    root: &'a Root,
    file: &'a str,
    process: Option<Process>,
    unit: Option<Unit>,
    flags: Flags,
}

/// Plans to have kubelet name `file`.
///
/// # Errors
/// Where kubelet is not here, or is told in a way that cannot be changed without a person.
pub(super) fn plan(root: &Root, file: &str, processes: &[Process]) -> Result<Plan, Refusal> {
    // k0s starts a kubelet of its own, whose files it writes itself.
    if processes.iter().any(|process| process.program == "k0s") {
        return Err(not_here(processes));
    }
    let process = processes.iter().find(|process| process.program == PROGRAM).cloned();
    let name = process.as_ref().and_then(|process| unit::of_process(root, process.id));
    let unit = Unit::read(root, name.as_deref().unwrap_or(UNIT))?;
    let flags = match (&process, &unit) {
        (Some(process), _) => process.flags(),
        (None, Some(unit)) => Flags::parse(unit.words().iter().map(String::as_str)),
        (None, None) => return Err(not_here(processes)),
    };
    let facts = Facts { root, file, process, unit, flags };
    facts.sees_the_file()?;
    let mut plan = facts.plan()?;
    plan.process = facts.process.as_ref().map(|process| process.id);
    let unit = facts.unit.as_ref().map_or(UNIT, |unit| unit.name.as_str());
    plan.restarts = vec![Restart::unit(unit)];
    Ok(plan)
}

fn not_here(processes: &[Process]) -> Refusal {
    let other = processes.iter().map(|process| match process.program {
        "kubelite" => "microk8s",
        program => program,
    });
    match other.into_iter().find(|program| *program != PROGRAM) {
        Some(other) => Refusal(format!("kubelet here is a part of {other}: onward integrate {other}")),
        None => Refusal(format!(
            "no kubelet runs here, and there is no {UNIT}: install and start kubelet first, or set {KEY} in the \
             configuration that it will have"
        )),
    }
}

impl Facts<'_> {
    /// A kubelet in a container has files of its own.
    fn sees_the_file(&self) -> Result<(), Refusal> {
        let Some(Process { id, .. }) = &self.process else { return Ok(()) };
        let inside = |path: &str| self.root.path(format!("/proc/{id}/root{path}")).exists();
        if !inside("/etc") || !self.root.path(self.file).exists() || inside(self.file) {
            return Ok(());
        }
        Err(Refusal(format!(
            "kubelet (process {id}) does not see {}: it runs in a container or mount namespace of its own. Mount the file's \
             directory there, and set {KEY} by what starts that container",
            self.file
        )))
    }

    fn plan(&self) -> Result<Plan, Refusal> {
        if let Some(given) = &self.flags.resolv_conf {
            return match self.in_environment_file()? {
                Some(plan) => Ok(plan),
                None if given == self.file => Ok(Plan::default()),
                None => Err(self.flag_stands_elsewhere(given)),
            };
        }
        if let Some(directory) = &self.flags.config_directory {
            return self.in_directory(directory);
        }
        if self.value_in(self.config())?.as_deref() == Some(self.file) {
            return Ok(Plan::default());
        }
        if let Some(plan) = self.in_environment_file()? {
            return Ok(plan);
        }
        self.in_kubeadms_files()
    }

    fn config(&self) -> &str {
        self.flags.config.as_deref().unwrap_or(CONFIG)
    }

    /// What a file of kubelet's says, if anything.
    fn value_in(&self, path: &str) -> Result<Option<String>, Refusal> {
        let Some(text) = text(self.root, path)? else { return Ok(None) };
        let value = Document::read(&text).and_then(|document| document.list(KEY));
        let value = value.map_err(|error| Refusal(format!("{path} is not understood: {error}")))?;
        Ok(value.into_iter().next())
    }

    fn in_directory(&self, directory: &str) -> Result<Plan, Refusal> {
        let names =
            self.root.list(directory).map_err(|error| Refusal(format!("{directory} cannot be listed: {error}")))?;
        let mut last = None;
        for name in names.iter().filter(|name| name.ends_with(".conf")) {
            let path = format!("{directory}/{name}");
            if let Some(value) = self.value_in(&path)? {
                last = Some((path, value));
            }
        }
        let ours = format!("{directory}/{DROPIN}");
        match last {
            Some((_, value)) if value == self.file => return Ok(Plan::default()),
            Some((path, value)) if path > ours => {
                return Err(Refusal(format!(
                    "{path} says {KEY}: {value}, and comes after {ours} in kubelet's order: take that line out of it"
                )));
            }
            _ => {}
        }
        let text = format!(
            "# `onward integrate kubelet` made this; `onward revert kubelet` takes it away.\n\
             apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{KEY}: {}\n",
            self.file
        );
        let change = Change::of_file(self.root, ours, text)?;
        Ok(Plan { changes: change.into_iter().collect(), ..Plan::default() })
    }

    /// The flag in the file of the administrator's that kubelet's unit reads; `None` where it reads none.
    fn in_environment_file(&self) -> Result<Option<Plan>, Refusal> {
        let Some((path, name)) = self.environment_file()? else { return Ok(None) };
        let before = text(self.root, &path)?.unwrap_or_default();
        let Some(after) = set_flag(&before, &name, self.file) else {
            return Err(Refusal(format!(
                "{path} has {name} in a form that is not changed by a program (more than one line, quotes within quotes): put \
                 --resolv-conf={} into it",
                self.file
            )));
        };
        let change = Change::of_file(self.root, &path, after)?;
        Ok(Some(Plan { changes: change.into_iter().collect(), ..Plan::default() }))
    }

    /// The file and the variable whose flags come last on the command line, and so count.
    fn environment_file(&self) -> Result<Option<(String, String)>, Refusal> {
        let Some(unit) = &self.unit else { return Ok(None) };
        let files: Vec<String> =
            unit.environment_files().into_iter().filter(|path| path.starts_with(ENVIRONMENT)).rev().collect();
        let variables = unit.variables();
        for name in variables.iter().rev() {
            for path in &files {
                if text(self.root, path)?.is_some_and(|text| variable(&text, name).is_some()) {
                    return Ok(Some((path.clone(), name.clone())));
                }
            }
        }
        if !variables.iter().any(|name| name == EXTRA) {
            return Ok(None);
        }
        // A value in the file would take the place of one that is set elsewhere.
        let mut elsewhere = unit.sets(EXTRA).map(str::to_owned);
        for path in unit.environment_files() {
            if text(self.root, &path)?.is_some_and(|text| variable(&text, EXTRA).is_some()) {
                elsewhere = Some(path);
            }
        }
        match (files.into_iter().next(), elsewhere) {
            (Some(_), Some(path)) => Err(Refusal(format!(
                "{path} sets {EXTRA}, and is not for Onward to change: put --resolv-conf={} into it by what wrote it",
                self.file
            ))),
            (file, _) => Ok(file.map(|file| (file, EXTRA.to_owned()))),
        }
    }

    fn flag_stands_elsewhere(&self, given: &str) -> Refusal {
        let place = self.unit.as_ref().and_then(Unit::command);
        let place =
            place.map_or_else(|| "its command line".to_owned(), |line| format!("{} or what it reads", line.path));
        Refusal(format!(
            "kubelet was started with --resolv-conf={given}, which beats all of its files; the flag comes from {place}: take it \
             out there, restart kubelet, and run this again"
        ))
    }

    /// The configuration that kubeadm wrote, and what has it written so again.
    fn in_kubeadms_files(&self) -> Result<Plan, Refusal> {
        let config = self.config();
        let is_kubeadms = config == CONFIG && KUBEADM.iter().any(|path| self.root.path(path).exists());
        let Some(before) = text(self.root, config)?.filter(|_| is_kubeadms) else {
            return Err(Refusal(format!(
                "kubelet is started without --config-dir, its unit reads no environment file with flags, and {config} is \
                 not kubeadm's, so that what wrote it may write it anew: set {KEY}: {} by that program, or add \
                 --config-dir=/etc/kubernetes/kubelet.conf.d to kubelet's unit and run this again",
                self.file
            )));
        };
        let mut changes = Vec::new();
        let mut notes = Vec::new();
        changes.extend(Change::of_file(self.root, config, self.with_key(config, &before)?)?);
        if let Some(before) = text(self.root, INSTANCE)? {
            changes.extend(Change::of_file(self.root, INSTANCE, self.with_key(INSTANCE, &before)?)?);
        } else {
            let path = PathBuf::from(PATCHES).join(PATCH);
            changes.extend(Change::of_file(self.root, path, format!("{KEY}: {}\n", self.file))?);
            notes.push(format!(
                "kubeadm upgrade writes {config} anew: run it with --patches {PATCHES}, or run this again after it"
            ));
        }
        Ok(Plan { changes, notes, ..Plan::default() })
    }

    fn with_key(&self, path: &str, before: &str) -> Result<String, Refusal> {
        set_key(before, KEY, self.file).ok_or_else(|| {
            Refusal(format!("{path} has a form that is not changed by a program: put {KEY}: {} into it", self.file))
        })
    }
}
