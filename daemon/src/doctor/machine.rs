//! What else stops DNS on a node: file systems without room, on which neither the file for kubelet nor what should
//! survive a restart can be written; a clock by which no signature and no certificate holds; versions that do not fit.

use std::time::{Duration, SystemTime};

use nix::sys::statvfs::statvfs;

use super::{Diagnosis, Finding, Node, Severity};

/// Directories that Onward and kubelet write to.
const PLACES: [&str; 3] = ["/run", "/var/lib", "/var/log"];
/// Minimum room, in bytes, and in files.
const ROOM: u64 = 1 << 20;
const FILES: u64 = 16;
/// Time before this program's own date by which a clock may be behind: zones of clocks that were set by hand.
const BEHIND: Duration = Duration::from_secs(86_400);
/// Time after that date from which on a clock is not believed.
const AHEAD: Duration = Duration::from_secs(15 * 365 * 86_400);
/// The oldest kernel and the oldest systemd that Onward's service is made for.
const KERNEL: (u32, u32) = (5, 10);
const SYSTEMD: u32 = 247;

/// What the machine says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The kernel's release, as uname(2) has it.
    pub(crate) kernel: String,
    /// The first line of `systemctl --version`; none where there is no systemd.
    pub(crate) systemd: Option<String>,
    /// When this program's file was made.
    pub(crate) built: Option<SystemTime>,
}

impl Machine {
    /// Asks it.
    #[must_use]
    pub(crate) fn look() -> Self {
        let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
        let systemd = std::process::Command::new("systemctl").arg("--version").output().ok();
        let first =
            systemd.map(|output| String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned());
        let file = std::env::current_exe().and_then(std::fs::metadata).and_then(|file| file.modified());
        Self { kernel: kernel.unwrap_or_default(), systemd: first, built: file.ok() }
    }
}

pub(super) fn examine(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    for place in PLACES {
        let Ok(room) = statvfs(&node.root.path(place)) else { continue };
        let (bytes, files) = (room.blocks_available() * room.fragment_size(), room.files_available());
        // Some file systems have no number of files.
        if bytes < ROOM || room.files() > 0 && files < FILES {
            diagnosis.add(Finding {
                severity: Severity::Fault,
                what: format!("{place} is full"),
                evidence: vec![format!("{bytes} bytes and {files} files are left")],
                effect: "what changes cannot be written: files for pods, state, logs".to_owned(),
                cure: vec![format!("du -xh {place} | sort -h | tail")],
            });
        }
    }
    let machine = &node.around.machine;
    diagnosis.findings.extend(machine.built.and_then(|built| clock(node.around.now, built)));
    diagnosis.findings.extend(versions(machine));
}

/// What is wrong with the clock, if anything is, by the time at which this program was made.
fn clock(now: SystemTime, built: SystemTime) -> Option<Finding> {
    let is_behind = now + BEHIND < built;
    if !is_behind && now < built + AHEAD {
        return None;
    }
    let said = |time| humantime::format_rfc3339_seconds(time).to_string();
    let how = if is_behind { "before" } else { "many years after" };
    Some(Finding {
        severity: Severity::Risk,
        what: format!("the clock is wrong: it says {}, {how} this program was made", said(now)),
        evidence: vec![format!("this program's file is of {}", said(built))],
        effect: "no DNSSEC signature and no TLS certificate holds: servers that validate answer SERVFAIL".to_owned(),
        cure: vec!["timedatectl set-ntp true".to_owned(), "timedatectl".to_owned()],
    })
}

/// What is older than Onward's service is made for.
fn versions(machine: &Machine) -> Vec<Finding> {
    let kernel = numbers(&machine.kernel);
    let kernel = kernel.first().map(|major| (*major, kernel.get(1).copied().unwrap_or(0)));
    let systemd = machine.systemd.as_deref().and_then(|line| numbers(line).first().copied());
    let old = |what: String, effect: &str| Finding {
        severity: Severity::Risk,
        what,
        evidence: vec!["uname -r; systemctl --version".to_owned()],
        effect: effect.to_owned(),
        cure: vec!["# upgrade the node's system".to_owned()],
    };
    let mut found = Vec::new();
    if kernel.is_some_and(|kernel| kernel < KERNEL) {
        let (major, minor) = KERNEL;
        let what = format!("the kernel is {}, older than {major}.{minor}", machine.kernel);
        found.push(old(what, "Onward is not tried there: what it asks of the kernel may not be there"));
    }
    if systemd.is_some_and(|version| version < SYSTEMD) {
        let what = format!("systemd is older than {SYSTEMD}: {}", machine.systemd.as_deref().unwrap_or_default());
        found.push(old(what, "the service does not keep its sockets through a restart, and its sandbox is not whole"));
    }
    found
}

/// The numbers in a text, in order.
fn numbers(text: &str) -> Vec<u32> {
    text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_or_is_years_ahead_is_told() {
        let built = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let day = Duration::from_secs(86_400);
        let told = |now| clock(now, built).map(|finding| finding.what);
        assert_eq!(told(built), None);
        assert_eq!(told(built - day), None);
        assert_eq!(told(built + 3650 * day), None);
        let never_set = told(SystemTime::UNIX_EPOCH + day).unwrap();
        assert_eq!(never_set, "the clock is wrong: it says 1970-01-02T00:00:00Z, before this program was made");
        assert!(told(built + 10_000 * day).unwrap().ends_with("many years after this program was made"));
    }

    #[test]
    fn systems_that_are_too_old_are_told() {
        let told = |kernel: &str, systemd: Option<&str>| {
            let machine = Machine { kernel: kernel.to_owned(), systemd: systemd.map(str::to_owned), built: None };
            versions(&machine).into_iter().map(|finding| finding.what).collect::<Vec<_>>()
        };
        assert_eq!(told("5.10.0-28-amd64", Some("systemd 247 (247.3-7+deb11u6)")), [""; 0]);
        assert_eq!(told("6.1", None), [""; 0]);
        assert_eq!(told("unknown", Some("")), [""; 0]);
        assert_eq!(
            told("4.19.0-27-amd64", Some("systemd 241 (241)")),
            ["the kernel is 4.19.0-27-amd64, older than 5.10", "systemd is older than 247: systemd 241 (241)"]
        );
    }
}
