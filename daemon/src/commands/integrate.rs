//! `onward integrate` and `onward revert`: the command line, what a person reads, how the commands end. What is planned
//! and done is in `integrate`.

mod report;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::Failure;
use crate::config;
use crate::discovery::Root;
use crate::integrate::plan::{Plan, Restart};
use crate::integrate::pods::Pod;
use crate::integrate::reach::{self, Asked};
use crate::integrate::turn::Turn;
use crate::integrate::{self, Onward, Program, Trouble, Undoing};
use crate::kubelet_resolv_conf;
use report::Report;

/// Time for which the end of another run is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The exit code of `--check` where something would be changed.
const WOULD_CHANGE: u8 = 1;

/// `onward integrate`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Have kubelet, k3s and others give Onward's file to pods, or the node itself ask Onward",
    long_about = "Have kubelet, k3s, RKE2, MicroK8s or k0s give Onward's file to pods, or (host) the node itself ask \
                  Onward.\n\nWhere it is set depends on how the program was started: a drop-in where kubelet has \
                  --config-dir, else its flag in the environment file that its unit reads, else kubeadm's files; a file in \
                  config.yaml.d of k3s and RKE2; MicroK8s' file of arguments; a drop-in for k0s' unit; and for the node \
                  what governs /etc/resolv.conf: systemd-resolved, NetworkManager, resolvconf, or nobody. What cannot be \
                  changed safely is refused, with the reason and what to do.\n\nBefore anything is changed, a name that only \
                  Onward answers is asked over UDP and TCP, from this node and from the networks of pods that run here. \
                  Where that fails, the cause is told and nothing is changed, unless --force is given. Afterwards it is \
                  checked that the program is told what it should be.\n\nWhat is replaced is kept in \
                  /var/lib/onward/integrate. A second run changes nothing. Nothing is restarted unless --restart is given: \
                  what has to be is said.",
    after_help = "Exit status: 0 it is so, or was already; 1 with --check: something would be changed; 69 pods do not reach \
                  Onward; 77 not root; 78 refused\n\
                  Examples:\n  onward integrate kubelet --check --diff\n  onward integrate kubelet\n  \
                  onward integrate k3s --restart"
)]
pub struct IntegrateArgs {
    /// What to integrate: kubelet, k3s, rke2, microk8s, k0s or host
    #[arg(value_name = "PROGRAM", hide_possible_values = true)]
    program: Program,
    #[command(flatten)]
    how: HowArgs,
}

/// `onward revert`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Take back what `onward integrate` has changed",
    long_about = "Take back what `onward integrate` has changed: all of it, or of the programs that are named.\n\nFiles that \
                  were made are removed, others are as they were. Where somebody has changed other lines of a file since, \
                  those stay; where the same lines were changed, nothing is touched and it is said, unless --force is given.",
    after_help = "Exit status: 0 it is so, or was already; 1 with --check: something would be changed; 77 not root; 78 refused\n\
                  Examples:\n  onward revert\n  onward revert kubelet --diff"
)]
pub struct RevertArgs {
    /// What to revert, of the same; all, if none is named
    #[arg(value_name = "PROGRAM", hide_possible_values = true)]
    programs: Vec<Program>,
    #[command(flatten)]
    how: HowArgs,
}

/// How either is done.
#[derive(Debug, Clone, Default, Args)]
struct HowArgs {
    /// Change nothing, and end with 1 if something would be changed
    #[arg(long)]
    check: bool,
    /// Show the lines that are changed
    #[arg(long)]
    diff: bool,
    /// Print JSON: one object for each program
    #[arg(long)]
    json: bool,
    /// Do it even if pods do not reach Onward, or if files were changed since
    #[arg(long)]
    force: bool,
    /// Restart what has to be restarted for it to take effect
    #[arg(long)]
    restart: bool,
}

impl ValueEnum for Program {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// Integrates one program of this machine.
///
/// # Errors
/// Where it is refused, where pods do not reach Onward, and where something would change and only that was asked.
pub(super) fn integrate(args: &IntegrateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    must_be_root()?;
    let IntegrateArgs { program, how } = args;
    let root = Root::machine();
    let _turn = take_turn(&root, how)?;
    let mut report = Report::new(*program, how.check);
    let ended = integrate_one(&root, *program, how, &mut report);
    if let Err(failure) = &ended {
        report.end(failure);
    }
    report.write(how, out)?;
    ended
}

/// Takes back what was done for one program, or for all.
///
/// # Errors
/// Where something cannot be taken back, and where something would change and only that was asked.
pub(super) fn revert(args: &RevertArgs, out: &mut dyn Write) -> Result<(), Failure> {
    must_be_root()?;
    let root = Root::machine();
    let _turn = take_turn(&root, &args.how)?;
    // In the other order, so that directories that one made and another filled are empty in the end.
    let all = || Program::ALL.into_iter().rev().collect();
    let programs: Vec<Program> = if args.programs.is_empty() { all() } else { args.programs.clone() };
    let mut ended = Ok(());
    for program in programs {
        let mut report = Report::new(program, args.how.check);
        let this = revert_one(&root, program, &args.how, &mut report);
        if let Err(failure) = &this {
            report.end(failure);
        }
        // Of several that were not named, those that were never integrated are no news.
        if report.is_news() || !args.programs.is_empty() {
            report.write(&args.how, out)?;
        }
        ended = ended.and(this); // one that fails keeps none of the others
    }
    ended
}

/// Waits for the end of another run; one that changes nothing need not.
fn take_turn(root: &Root, how: &HowArgs) -> Result<Option<Turn>, Failure> {
    if how.check {
        return Ok(None);
    }
    Turn::take(root, PATIENCE).map(Some).map_err(|error| Failure::System(error.to_string()))
}

fn revert_one(root: &Root, program: Program, how: &HowArgs, report: &mut Report) -> Result<(), Failure> {
    let Some(undoing) = integrate::undoing(root, program, how.force)? else { return Ok(()) };
    report.is_reverted(&undoing);
    let Undoing { changes, changed, restarts, .. } = &undoing;
    if let Some(path) = changed.first() {
        return Err(Failure::Unusable(format!(
            "{} was changed since in the lines that Onward put there: put it right by hand, or have what was there before \
             with --force (it is in {})",
            path.display(),
            integrate::kept::path(program.name()).display()
        )));
    }
    if how.check {
        return would_change(!changes.is_empty());
    }
    integrate::take_back(root, program, &undoing)?;
    report.is_done();
    if how.restart && !changes.is_empty() { restart_all(restarts) } else { Ok(()) }
}

fn read_onward(root: &Root) -> Result<Onward, Failure> {
    let settings = config::load(&config::Overrides::default())?.settings;
    let path = settings.resolv_conf.path;
    let text = root.read(&path).ok().flatten().filter(|text| !kubelet_resolv_conf::is_of_node(text));
    let text = text.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok()).collect();
    let upstreams = settings.upstreams;
    let (configured, sources) = (upstreams.servers, upstreams.sources);
    Ok(Onward { file: path.to_string_lossy().into_owned(), servers, configured, sources })
}

fn integrate_one(root: &Root, program: Program, how: &HowArgs, report: &mut Report) -> Result<(), Failure> {
    let onward = read_onward(root)?;
    let plan = program.plan(root, &onward).map_err(Trouble::from)?;
    report.is_planned(&plan, program.is_awaited(root));
    if plan.changes.is_empty() {
        return if how.restart && report.restarts_are_due() { restart(root, program, &plan) } else { Ok(()) };
    }
    let pods = if program.is_for_pods() { Pod::find(root) } else { Vec::new() };
    let asked = reach::try_all(&onward.servers, &pods);
    report.is_asked(program, &asked);
    must_be_reached(&onward, &asked, how)?;
    if how.check {
        return would_change(true);
    }
    integrate::carry_out(root, program, &plan)?;
    report.is_done();
    verify(root, program, &onward, &plan)?;
    if how.restart { restart(root, program, &plan) } else { Ok(()) }
}

fn must_be_reached(onward: &Onward, asked: &[Asked], how: &HowArgs) -> Result<(), Failure> {
    let mut troubles = reach::trouble(asked);
    if onward.servers.is_empty() {
        let file = &onward.file;
        troubles.push(format!("Onward has written no {file}, without which no pod starts: systemctl start onward"));
    }
    if troubles.is_empty() || how.force {
        return Ok(());
    }
    let troubles = troubles.join("\n");
    Err(Failure::Unavailable(format!("{troubles}\nnothing is changed; --force does it all the same")))
}

/// Looks whether the program is told now what it should be.
fn verify(root: &Root, program: Program, onward: &Onward, plan: &Plan) -> Result<(), Failure> {
    let after = program.plan(root, onward).map_err(Trouble::from)?;
    match after.changes.first() {
        None => Ok(()),
        Some(change) => {
            let paths: Vec<_> = plan.changes.iter().map(|change| change.path.display().to_string()).collect();
            Err(Failure::System(format!(
                "{} was written, but {} would have to be changed still: something changes it back; onward revert {} takes \
                 it back",
                paths.join(", "),
                change.path.display(),
                program.name()
            )))
        }
    }
}

fn must_be_root() -> Result<(), Failure> {
    if nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    Err(Failure::Permission("this reads and changes what only root may: run it as root".to_owned()))
}

fn would_change(anything: bool) -> Result<(), Failure> {
    if anything { Err(Failure::Told(WOULD_CHANGE)) } else { Ok(()) }
}

/// Restarts what is to take the change up, and looks whether another process runs now.
fn restart(root: &Root, program: Program, plan: &Plan) -> Result<(), Failure> {
    restart_all(&plan.restarts)?;
    if program.is_awaited(root) {
        let process = plan.process.unwrap_or_default();
        return Err(Failure::System(format!(
            "{} is told, but process {process} still runs, which was started before: restart it by what started it",
            program.name()
        )));
    }
    Ok(())
}

/// Runs the commands, each to its end.
fn restart_all(restarts: &[Restart]) -> Result<(), Failure> {
    for restart in restarts {
        let Some((program, arguments)) = restart.words() else { continue };
        // Standard output is for the result.
        let ended = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(std::io::stderr()).status();
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(Failure::System(format!("{restart}: {status}"))),
            Err(error) => return Err(Failure::System(format!("{restart}: {error}"))),
        }
    }
    Ok(())
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(_)
            | Trouble::Record(integrate::kept::Unusable::Foreign(_) | integrate::kept::Unusable::Form(..)) => {
                Self::Unusable(trouble.to_string())
            }
            Trouble::Record(integrate::kept::Unusable::Io(..)) | Trouble::NotDone(_) => {
                Self::System(trouble.to_string())
            }
        }
    }
}
