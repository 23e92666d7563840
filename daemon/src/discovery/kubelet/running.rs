//! The cluster's programs that run on this node, by their command lines in /proc: which of them start pods, and their
//! words.
//!
//! Anybody can call a program kubelet, in a pod too. Only root's processes count, and of those only such as are in no
//! PID namespace below this one.

use std::io;

use super::flags::Flags;
use crate::discovery::root::Root;

/// Programs that start pods, by the name of their file: kubelet, and those that have it in themselves.
const STARTERS: [&str; 5] = ["kubelet", "k3s", "rke2", "k0s", "kubelite"];

/// What runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    /// Which of the programs that start pods run.
    pub(super) starters: Vec<String>,
    /// Flags of the first kubelet; none where none runs.
    pub(super) flags: Flags,
    /// Whether processes of others cannot be seen from here, as in a sandbox (`ProtectProc=`, systemd.exec(5)).
    pub(super) is_hidden: bool,
    /// Why nothing is known; `None` where it is.
    pub(super) unknown: Option<String>,
}

/// A process of a program that starts pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) id: u32,
    /// Which of the programs that start pods it is: `kubelet`, `k3s` and others of their kind.
    pub(crate) program: &'static str,
    /// The words of its command line, that of the program left out.
    pub(crate) words: Vec<String>,
}

impl Running {
    /// Looks at all processes.
    pub(super) fn read(root: &Root) -> Self {
        let Ok(numbers) = numbers(root) else {
            let unknown = Some("/proc cannot be listed: whether kubelet runs, and how, is unknown".to_owned());
            return Self { unknown, ..Self::default() };
        };
        let is_hidden = !numbers.is_empty() && !numbers.contains(&1);
        let mut running = Self { is_hidden, ..Self::default() };
        let mut is_flagged = false;
        for process in starters(root, &numbers) {
            if process.program == "kubelet" && !is_flagged {
                (running.flags, is_flagged) = (process.flags(), true);
            }
            if !running.starters.iter().any(|known| known == process.program) {
                running.starters.push(process.program.to_owned());
            }
        }
        running
    }
}

impl Process {
    /// All of them that run on this node, in the order of their numbers.
    ///
    /// # Errors
    /// Where /proc cannot be listed.
    pub(crate) fn read_all(root: &Root) -> io::Result<Vec<Self>> {
        Ok(starters(root, &numbers(root)?).collect())
    }

    /// Its flags.
    #[must_use]
    pub(crate) fn flags(&self) -> Flags {
        Flags::parse(self.words.iter().map(String::as_str))
    }
}

/// The numbers of all processes, smallest first.
fn numbers(root: &Root) -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = root.list("/proc")?.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Those of these processes that start pods.
fn starters<'a>(root: &'a Root, numbers: &'a [u32]) -> impl Iterator<Item = Process> + 'a {
    numbers.iter().filter_map(|id| {
        let line = root.read_text(format!("/proc/{id}/cmdline")).ok().flatten()?;
        let mut words = line.trim_end_matches('\0').split('\0').map(str::to_owned);
        // k3s writes its title over its words, in one: `/usr/local/bin/k3s server`.
        let path = words.next().unwrap_or_default();
        let name = path.split(' ').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let words: Vec<String> = words.collect();
        // `hyperkube kubelet …` and snaps have the program's name second.
        let name = if words.first().is_some_and(|word| word == "kubelet") { "kubelet" } else { name };
        let program = STARTERS.iter().find(|starter| **starter == name)?;
        is_the_nodes(root, *id).then_some(Process { id: *id, program, words })
    })
}

/// Returns whether a process is root's and in no namespace below ours (proc(5), `status`).
fn is_the_nodes(root: &Root, number: u32) -> bool {
    let Ok(Some(status)) = root.read_text(format!("/proc/{number}/status")) else { return false };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::split_ascii_whitespace);
    let is_roots = field("Uid:").is_some_and(|mut users| users.next() == Some("0"));
    let is_ours = field("NSpid:").is_none_or(|numbers| numbers.count() == 1);
    is_roots && is_ours
}
