//! What `onward integrate` and `onward revert` tell: lines for people, or one JSON object for each program.

use std::io::{self, Write};

use serde::Serialize;

use super::HowArgs;
use crate::commands::Failure;
use crate::integrate::nonce::Outcome;
use crate::integrate::plan::{Change, Plan, Restart};
use crate::integrate::reach::{self, Asked};
use crate::integrate::{Program, Undoing, kept};

/// What was found and done for one program.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    program: &'static str,
    /// Whether nothing is done, only said.
    check: bool,
    /// Whether something is changed, or with `check` would be.
    changed: bool,
    changes: Vec<ChangeReport>,
    /// Who was asked for a name that only Onward answers, from where.
    reached: Vec<AskedReport>,
    /// Commands that make it take effect.
    restart: Vec<String>,
    notes: Vec<String>,
    /// Why nothing is done.
    refused: Option<String>,
    /// What went wrong once it was done.
    failed: Option<String>,
    #[serde(skip)]
    is_done: bool,
    #[serde(skip)]
    is_for_pods: bool,
    #[serde(skip)]
    is_integration: bool,
    #[serde(skip)]
    is_news: bool,
}

#[derive(Debug, Serialize)]
struct ChangeReport {
    path: String,
    /// `create`, `change`, `link` or `remove`.
    action: &'static str,
    diff: String,
}

#[derive(Debug, Serialize)]
struct AskedReport {
    /// The pod; null for the node itself.
    pod: Option<String>,
    server: String,
    transport: String,
    answered: bool,
}

impl Report {
    pub(super) fn new(program: Program, check: bool) -> Self {
        Self {
            program: program.name(),
            check,
            changed: false,
            changes: Vec::new(),
            reached: Vec::new(),
            restart: Vec::new(),
            notes: Vec::new(),
            refused: None,
            failed: None,
            is_done: false,
            is_for_pods: program.is_for_pods(),
            is_integration: false,
            is_news: false,
        }
    }

    /// Takes a plan. `is_awaited`: whether a process runs that knows nothing of what was changed before.
    pub(super) fn is_planned(&mut self, plan: &Plan, is_awaited: bool) {
        self.is_integration = true;
        self.take(&plan.changes);
        if is_awaited || self.changed {
            self.restart = plan.restarts.iter().map(Restart::to_string).collect();
        }
        self.notes.clone_from(&plan.notes);
    }

    pub(super) fn is_asked(&mut self, program: Program, asked: &[Asked]) {
        if program.is_for_pods()
            && !asked.is_empty()
            && asked.iter().all(|one| one.pod.is_none() && one.outcome == Outcome::Onward)
        {
            self.notes.push(
                "no pod with a network of its own runs here, so that whether pods reach Onward is not known".to_owned(),
            );
        }
        self.notes.extend(reach::trouble(asked));
        self.reached = asked
            .iter()
            .map(|one| AskedReport {
                pod: one.pod.clone(),
                server: one.server.to_string(),
                transport: one.transport.to_string().to_lowercase(),
                answered: one.outcome == Outcome::Onward,
            })
            .collect();
    }

    pub(super) fn is_reverted(&mut self, undoing: &Undoing) {
        self.take(&undoing.changes);
        self.is_news = true;
        if self.changed {
            self.restart = undoing.restarts.iter().map(Restart::to_string).collect();
        }
    }

    /// Takes note that the changes are made.
    pub(super) fn is_done(&mut self) {
        self.is_done = true;
    }

    /// Takes the failure that ended it, if it is one: a refusal, unless the changes are made.
    pub(super) fn end(&mut self, failure: &Failure) {
        if failure.is_told() {
            return;
        }
        self.is_news = true;
        if self.is_done {
            self.failed = Some(failure.to_string());
        } else {
            self.refused = Some(failure.to_string());
            self.changed = false;
        }
    }

    pub(super) fn restarts_are_due(&self) -> bool {
        !self.restart.is_empty()
    }

    /// Whether there is anything to tell of a revert.
    pub(super) fn is_news(&self) -> bool {
        self.is_news
    }

    fn take(&mut self, changes: &[Change]) {
        self.changed = !changes.is_empty();
        self.changes = changes
            .iter()
            .map(|change| ChangeReport {
                path: change.path.display().to_string(),
                action: change.verb(),
                diff: change.diff(),
            })
            .collect();
    }

    /// Tells it. A refusal for people is left to who ends the program.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn write(&self, how: &HowArgs, out: &mut dyn Write) -> io::Result<()> {
        if how.json {
            return writeln!(out, "{}", serde_json::to_string(self)?);
        }
        if how.diff {
            for change in &self.changes {
                write!(out, "{}", change.diff)?;
            }
        }
        if self.refused.is_some() {
            return Ok(());
        }
        self.write_reached(out)?;
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        for ChangeReport { path, action, .. } in &self.changes {
            match self.check {
                true => writeln!(out, "would {action} {path}")?,
                false => writeln!(out, "{action}{} {path}", if action.ends_with('e') { "d" } else { "ed" })?,
            }
        }
        match (self.changed, self.is_integration) {
            (false, true) => writeln!(out, "{}: nothing to change, it is told so already", self.program)?,
            (false, false) => writeln!(out, "{}: nothing to take back", self.program)?,
            (true, true) if !self.check => writeln!(
                out,
                "what was there is kept in {}; onward revert {} puts it back",
                kept::path(self.program).display(),
                self.program
            )?,
            _ => {}
        }
        self.write_next(how, out)
    }

    fn write_reached(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut pods: Vec<&str> =
            self.reached.iter().filter(|one| one.answered).filter_map(|one| one.pod.as_deref()).collect();
        pods.dedup();
        if pods.is_empty() || self.reached.iter().any(|one| !one.answered) {
            return Ok(());
        }
        let mut servers: Vec<&str> = self.reached.iter().map(|one| one.server.as_str()).collect();
        servers.sort_unstable();
        servers.dedup();
        writeln!(out, "Onward answers on {}, over UDP and TCP, from {}", servers.join(", "), pods.join(", "))
    }

    /// What is left for a person to do.
    fn write_next(&self, how: &HowArgs, out: &mut dyn Write) -> io::Result<()> {
        if self.restart.is_empty() {
            return Ok(());
        }
        let commands = self.restart.join(" && ");
        match (how.restart && self.failed.is_none(), self.check) {
            (true, false) => writeln!(out, "restarted: {commands}")?,
            _ => writeln!(out, "takes effect with: {commands}")?,
        }
        if self.is_integration && self.is_for_pods {
            writeln!(
                out,
                "pods keep the file that they were born with; make those of DNS anew: \
                 kubectl -n kube-system rollout restart deployment coredns"
            )?;
        }
        Ok(())
    }
}
