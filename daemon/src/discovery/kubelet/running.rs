//! The cluster's programs that run on this node, by their command lines in /proc: which of them start pods, and
//! kubelet's flags.
//!
//! Anybody can call a program kubelet, in a pod too. Only root's processes count, and of those only such as are in no
//! PID namespace below this one.

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

impl Running {
    /// Looks at all processes.
    pub(super) fn read(root: &Root) -> Self {
        let Ok(names) = root.list("/proc") else {
            let unknown = Some("/proc cannot be listed: whether kubelet runs, and how, is unknown".to_owned());
            return Self { unknown, ..Self::default() };
        };
        let numbers: Vec<_> = names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect();
        let is_hidden = !numbers.is_empty() && !numbers.iter().any(|number| *number == "1");
        let mut running = Self { is_hidden, ..Self::default() };
        let mut is_flagged = false;
        for number in numbers {
            let Ok(Some(line)) = root.read_text(format!("/proc/{number}/cmdline")) else { continue };
            let mut words = line.split('\0');
            // k3s writes its title over its words, in one: `/usr/local/bin/k3s server`.
            let path = words.next().unwrap_or_default().split(' ').next().unwrap_or_default();
            let program = path.rsplit('/').next().unwrap_or_default();
            // `hyperkube kubelet …` and snaps have the program's name second.
            let program = if words.clone().next() == Some("kubelet") { "kubelet" } else { program };
            let Some(starter) = STARTERS.iter().find(|starter| **starter == program) else { continue };
            if !is_the_nodes(root, number) {
                continue;
            }
            if program == "kubelet" && !is_flagged {
                (running.flags, is_flagged) = (Flags::parse(words), true);
            }
            if !running.starters.iter().any(|known| known == starter) {
                running.starters.push((*starter).to_owned());
            }
        }
        running
    }
}

/// Returns whether a process is root's and in no namespace below ours (proc(5), `status`).
fn is_the_nodes(root: &Root, number: &str) -> bool {
    let Ok(Some(status)) = root.read_text(format!("/proc/{number}/status")) else { return false };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::split_ascii_whitespace);
    let is_roots = field("Uid:").is_some_and(|mut users| users.next() == Some("0"));
    let is_ours = field("NSpid:").is_none_or(|numbers| numbers.count() == 1);
    is_roots && is_ours
}
