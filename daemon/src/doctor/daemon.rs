//! Onward itself: whether it runs, is well, and is reached, from this node and from the networks of pods.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Diagnosis, Finding, Firewall, Severity, upstreams};
use crate::control::client::AskError;
use crate::control::status::{Overall, Status};
use crate::integrate::nonce::Outcome;
use crate::integrate::reach::{Asked, trouble};

/// What came of asking the addresses in the file for pods, and what may explain it.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// The addresses in the file.
    pub(crate) names: Vec<IpAddr>,
    /// Each question.
    pub(crate) asked: Vec<Asked>,
    /// The networks of the pods that were asked from.
    pub(crate) networks: Vec<IpNet>,
    /// The node's firewall; looked at where pods do not get through.
    pub(crate) firewall: Firewall,
}

/// Whether packets of pods are dropped or rejected on their way.
pub(crate) fn is_shut(asked: &[Asked]) -> bool {
    asked.iter().any(|one| one.pod.is_some() && matches!(one.outcome, Outcome::Silence | Outcome::Closed))
}

/// Adds what the daemon says of itself, and what came of asking the addresses in its file.
pub(crate) fn examine(daemon: &Result<Status, AskError>, reached: &Reached, diagnosis: &mut Diagnosis) {
    let Reached { names, asked, networks, firewall } = reached;
    match daemon {
        Err(AskError::NotRunning(_)) if names.is_empty() => {
            diagnosis.well.push("Onward does not run here, and has written no file for pods".to_owned());
        }
        Err(error @ AskError::NotAllowed(_)) => diagnosis.unseen.push(error.to_string()),
        Err(error) => diagnosis.add(Finding {
            severity: Severity::Fault,
            what: error.to_string(),
            evidence: vec![format!("its file names {}", shown(names))],
            effect: "pods that have this address resolve nothing".to_owned(),
            cure: vec!["systemctl restart onward".to_owned(), "journalctl -xu onward".to_owned()],
        }),
        Ok(status) if status.state == Overall::Ok => diagnosis.well.push(format!("Onward is well: {}", status.summary)),
        Ok(status) => {
            let of_upstreams = upstreams::examine(status);
            for trouble in status.troubles.iter().filter(|trouble| !upstreams::is_told(trouble, &of_upstreams)) {
                diagnosis.add(Finding {
                    severity: severity(status),
                    what: format!("Onward says: {trouble}"),
                    evidence: vec!["onward status".to_owned()],
                    effect: effect(status.state).to_owned(),
                    cure: vec!["onward status".to_owned(), "journalctl -xu onward".to_owned()],
                });
            }
            diagnosis.findings.extend(of_upstreams);
        }
    }
    if let Ok(status) = daemon {
        diagnosis.findings.extend(another_version(status, env!("CARGO_PKG_VERSION")));
    }
    // That nothing answers while nothing runs is no news.
    let told = if daemon.is_ok() { trouble(asked) } else { Vec::new() };
    let is_shut = is_shut(asked);
    for line in &told {
        let asked_now = "asked just now, over UDP and TCP".to_owned();
        diagnosis.add(Finding {
            severity: Severity::Fault,
            what: line.clone(),
            evidence: std::iter::once(asked_now).chain(firewall.evidence().filter(|_| is_shut)).collect(),
            effect: "pods there resolve nothing outside the cluster, and CoreDNS among them nothing for others"
                .to_owned(),
            cure: if is_shut { firewall.cure(networks) } else { by_hand(networks) },
        });
    }
    let pods = asked.iter().filter_map(|one| one.pod.as_deref()).collect::<std::collections::BTreeSet<_>>();
    if told.is_empty() && daemon.is_ok() && !asked.is_empty() {
        let from = if pods.is_empty() { String::new() } else { format!(" and {} pod(s)", pods.len()) };
        diagnosis.well.push(format!("{} is reached over UDP and TCP from this node{from}", shown(names)));
    }
}

/// What to do where no firewall keeps pods away: they are refused, or another program answers.
fn by_hand(networks: &[IpNet]) -> Vec<String> {
    let networks: Vec<String> = networks.iter().map(|network| format!("\"{network}\"")).collect();
    let mut cure = vec!["ss -lntup 'sport = :53'".to_owned()];
    if !networks.is_empty() {
        cure.push(format!("# if they are refused: add {} to allow in /etc/onward/onward.toml", networks.join(", ")));
    }
    cure
}

/// The daemon is of another version than this command, which is of the version that was installed last.
fn another_version(status: &Status, own: &str) -> Option<Finding> {
    (status.version != own).then(|| Finding {
        severity: Severity::Risk,
        what: format!("the daemon that runs is of version {}, this command of version {own}", status.version),
        evidence: vec![format!("process {} has run for {} s", status.pid, status.uptime_seconds)],
        effect: "what was installed last is not in force".to_owned(),
        cure: vec!["systemctl restart onward".to_owned()],
    })
}

/// How bad what the daemon says is.
pub(super) fn severity(status: &Status) -> Severity {
    if status.state == Overall::NoDns { Severity::Fault } else { Severity::Risk }
}

pub(super) fn effect(state: Overall) -> &'static str {
    match state {
        Overall::NoDns => "pods get what is remembered, else SERVFAIL",
        Overall::Ok | Overall::Degraded | Overall::Unknown => "none while other servers answer",
    }
}

fn shown(names: &[IpAddr]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_of_another_version_is_told() {
        let status = Status { version: "0.9.0".to_owned(), pid: 7, uptime_seconds: 60, ..Status::default() };
        assert_eq!(another_version(&status, "0.9.0"), None);
        let told = another_version(&status, "1.0.0").unwrap();
        assert_eq!(told.what, "the daemon that runs is of version 0.9.0, this command of version 1.0.0");
        assert_eq!(told.evidence, ["process 7 has run for 60 s"]);
    }
}
