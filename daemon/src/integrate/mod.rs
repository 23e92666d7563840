//! `onward integrate` and `onward revert`: has a program of this node use the file that Onward writes, or Onward
//! itself, and takes that back.
//!
//! The way through this folder: [`Program::plan`] reads what the program is told (`unit`, `settings`) and says what
//! is to become of which file ([`plan`]); one file for each program knows where it looks. [`reach`] finds out whether
//! pods reach Onward at all ([`pods`], [`nonce`]). [`carry_out`] keeps what is there ([`kept`]) and then does it
//! ([`apply`]); [`take_back`] undoes it. One run at a time has its [`turn`]. What a
//! person reads, and how a command ends, is for `commands`.
//!
//! Nothing is ever restarted here: the plan says what must be.

mod apply;
mod host;
mod k0s;
pub(crate) mod kept;
mod kubelet;
mod lines;
mod microk8s;
pub(crate) mod nonce;
pub(crate) mod plan;
pub(crate) mod pods;
mod rancher;
pub(crate) mod reach;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod turn;
mod unit;

use std::net::IpAddr;
use std::path::PathBuf;

use crate::discovery::kubelet::running::Process;
use crate::discovery::{Root, SourceName};
use crate::upstream::Endpoint;
use apply::NotDone;
use kept::{Kept, Started, Unusable};
use plan::{Change, Plan, Refusal, Restart};

/// What can be integrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// A kubelet that runs by itself.
    Kubelet,
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// MicroK8s.
    Microk8s,
    /// k0s.
    K0s,
    /// The node itself: its own programs.
    Host,
}

/// What is handed out on this node, and whom Onward asks.
#[derive(Debug, Clone)]
pub(crate) struct Onward {
    /// The file for kubelet.
    pub(crate) file: String,
    /// The addresses in it; none where Onward has not written it.
    pub(crate) servers: Vec<IpAddr>,
    /// `upstreams.servers` of the configuration.
    pub(crate) configured: Vec<Endpoint>,
    /// `upstreams.sources` of the configuration.
    pub(crate) sources: Vec<SourceName>,
}

/// Why something was not done, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It is not done, on purpose.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The record of what was replaced cannot be used.
    #[error("{0}")]
    Record(#[from] Unusable),
    /// A file could not be written.
    #[error("{0}; what was done before that is kept in {DIRECTORY}, and onward revert takes it back", DIRECTORY = kept::DIRECTORY)]
    NotDone(#[from] NotDone),
}

/// What takes a program's changes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Undoing {
    /// The changes.
    pub(crate) changes: Vec<Change>,
    /// What makes them take effect.
    pub(crate) restarts: Vec<Restart>,
    /// Paths where the same lines were changed since, so that they are left as they are.
    pub(crate) changed: Vec<PathBuf>,
    /// The directories that were made.
    made: Vec<PathBuf>,
}

impl Program {
    /// All of them, in the order of the help.
    pub(crate) const ALL: [Self; 6] = [Self::Kubelet, Self::K3s, Self::Rke2, Self::Microk8s, Self::K0s, Self::Host];

    /// As it is written on the command line, and in the record's name.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::K3s => "k3s",
            Self::Rke2 => "rke2",
            Self::Microk8s => "microk8s",
            Self::K0s => "k0s",
            Self::Host => "host",
        }
    }

    /// Whether it is pods that come to ask Onward.
    #[must_use]
    pub(crate) fn is_for_pods(self) -> bool {
        self != Self::Host
    }

    /// Plans to have it use what Onward hands out.
    ///
    /// # Errors
    /// Where it is not here, or is told in a way that cannot be changed without a person.
    pub(crate) fn plan(self, root: &Root, onward: &Onward) -> Result<Plan, Refusal> {
        let file = onward.file.as_str();
        let processes = Process::read_all(root).map_err(|error| Refusal(format!("/proc cannot be listed: {error}")))?;
        match self {
            Self::Kubelet => kubelet::plan(root, file, &processes),
            Self::K3s => rancher::plan(root, file, &processes, rancher::K3S),
            Self::Rke2 => rancher::plan(root, file, &processes, rancher::RKE2),
            Self::Microk8s => microk8s::plan(root, file, &processes),
            Self::K0s => k0s::plan(root, file, &processes),
            Self::Host => host::plan(root, onward),
        }
    }

    /// Whether its process still runs that ran when its files were changed, and so knows nothing of the change.
    pub(crate) fn is_awaited(self, root: &Root) -> bool {
        Kept::read(root, self.name()).is_ok_and(|kept| kept.is_some_and(|kept| kept.is_awaited(root)))
    }
}

/// Does what is planned, after what is there is kept.
///
/// # Errors
/// Where the record or a file cannot be written. The record then has what was done.
pub(crate) fn carry_out(root: &Root, program: Program, plan: &Plan) -> Result<(), Trouble> {
    let before = Kept::read(root, program.name())?;
    let made = plan.changes.iter().flat_map(|change| apply::missing_directories(root, change)).collect();
    let mut kept = Kept::with(before, &plan.changes, made);
    kept.restarts.clone_from(&plan.restarts);
    kept.process = plan.process.and_then(|id| Started::read(root, id));
    kept.save(root, program.name())?;
    for change in &plan.changes {
        apply::apply(root, change)?;
    }
    Ok(())
}

/// Says what takes a program's changes back; `None` where nothing was done for it.
///
/// # Errors
/// Where the record cannot be used.
pub(crate) fn undoing(root: &Root, program: Program, force: bool) -> Result<Option<Undoing>, Trouble> {
    let Some(kept) = Kept::read(root, program.name())? else { return Ok(None) };
    let (changes, changed) = kept.undo(root, force);
    Ok(Some(Undoing { changes, changed, restarts: kept.restarts, made: kept.made }))
}

/// Takes changes back, and forgets them.
///
/// # Errors
/// Where a file cannot be written: the record then stays.
pub(crate) fn take_back(root: &Root, program: Program, undoing: &Undoing) -> Result<(), Trouble> {
    for change in &undoing.changes {
        apply::apply(root, change)?;
    }
    apply::remove_directories(root, &undoing.made);
    Ok(Kept::forget(root, program.name())?)
}
