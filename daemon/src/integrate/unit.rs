//! What a unit of systemd says of a program that starts pods: its command line, the files its variables come from.

use super::plan::Refusal;
use crate::discovery::Root;
use crate::discovery::programs::dropins::{self, Assignment, words};
use crate::discovery::reader::Reader;

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its name, with `.service`.
    pub(super) name: String,
    assignments: Vec<Assignment>,
}

impl Unit {
    /// Reads it; `None` where it is not installed.
    ///
    /// # Errors
    /// Where one of its files cannot be read.
    pub(super) fn read(root: &Root, name: &str) -> Result<Option<Self>, Refusal> {
        let mut reader = Reader::new(root);
        let assignments = dropins::read(&format!("system/{name}"), "Service", &mut reader);
        if let Some(unknown) = reader.unknown.into_iter().next() {
            return Err(Refusal(unknown));
        }
        Ok((!assignments.is_empty()).then(|| Self { name: name.to_owned(), assignments }))
    }

    /// The same unit as it is without one of its files.
    pub(super) fn without(mut self, path: &str) -> Self {
        self.assignments.retain(|line| line.path != path);
        self
    }

    /// Its command line as it is written, and the file that has it.
    pub(super) fn command(&self) -> Option<&Assignment> {
        // An empty one ends what stood before.
        self.assignments.iter().rfind(|line| line.key == "ExecStart").filter(|line| !line.value.is_empty())
    }

    /// The words of the command line, that of the program left out.
    pub(super) fn words(&self) -> Vec<String> {
        self.command().map(|line| words(&line.value).into_iter().skip(1).collect()).unwrap_or_default()
    }

    /// The variables that become words of the command line, in order: `$NAME` by itself (systemd.service(5)).
    pub(super) fn variables(&self) -> Vec<String> {
        let names = self.words().into_iter().filter_map(|word| word.strip_prefix('$').map(str::to_owned));
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')).collect()
    }

    /// The file in which the unit itself sets a variable, `Environment=`, which a file of variables would replace.
    pub(super) fn sets(&self, name: &str) -> Option<&str> {
        let is_it = |word: &String| word.split_once('=').is_some_and(|(known, _)| known == name);
        let mut lines = self.assignments.iter().filter(|line| line.key == "Environment");
        lines.find(|line| words(&line.value).iter().any(is_it)).map(|line| line.path.as_str())
    }

    /// The files that variables come from, in the order in which they are read.
    pub(super) fn environment_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for line in self.assignments.iter().filter(|line| line.key == "EnvironmentFile") {
            match line.value.trim_start_matches('-') {
                "" => files.clear(),
                path => files.push(path.to_owned()),
            }
        }
        files
    }
}

/// The unit that a process belongs to, by its control group (proc_pid_cgroup(5)).
pub(super) fn of_process(root: &Root, id: u32) -> Option<String> {
    let groups = root.read_text(format!("/proc/{id}/cgroup")).ok().flatten()?;
    let names = groups.lines().filter_map(|line| line.rsplit('/').next());
    names.filter(|name| name.ends_with(".service")).map(str::to_owned).next()
}
