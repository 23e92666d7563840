//! The servers that Onward asks, as it knows them: which of them loops, is silent or slow, and what to do. Pure.

use super::daemon::{effect, severity};
use super::{Finding, Severity};
use crate::control::status::{Status, Upstream};
use crate::upstream::Endpoint;

/// Returns a finding for each server that is not well.
pub(super) fn examine(status: &Status) -> Vec<Finding> {
    status.upstreams.iter().filter_map(|upstream| of(upstream, status)).collect()
}

/// Whether the line is about a server that one of these findings is about: both begin with it.
pub(super) fn is_told(trouble: &str, found: &[Finding]) -> bool {
    let server = |text: &str| text.split(' ').next().map(str::to_owned);
    found.iter().any(|finding| server(&finding.what) == server(trouble))
}

fn of(upstream: &Upstream, status: &Status) -> Option<Finding> {
    let Upstream { server, source, .. } = upstream;
    let named = format!("named by {source}");
    let finding = match upstream.state.as_str() {
        "looping" => Finding {
            severity: severity(status),
            what: format!("{server} sends our queries back to us: it is not asked"),
            evidence: evidence_of_loop(server, status).chain([named]).collect(),
            effect: effect(status.state).to_owned(),
            cure: remedies(server, status).chain(["journalctl -u onward ONWARD_EVENT=looping".to_owned()]).collect(),
        },
        "down" => Finding {
            severity: severity(status),
            what: format!("{server} does not answer"),
            evidence: vec![answered(upstream), named],
            effect: effect(status.state).to_owned(),
            cure: vec![
                format!("ping -c 3 {}; traceroute {}", host(server), host(server)),
                format!(
                    "# if it is gone for good: take it out of {source}, or name others as servers of [upstreams] in /etc/onward/onward.toml"
                ),
            ],
        },
        "slow" => Finding {
            // Others are asked beside it.
            severity: Severity::Risk,
            what: format!("{server} is slow"),
            evidence: vec![
                format!("half of its responses take more than {} ms", upstream.median_microseconds.unwrap_or(0) / 1000),
                named,
            ],
            effect: "names that are not remembered take as long, or until the next server is asked as well".to_owned(),
            cure: vec!["onward explain kubernetes.io --ask".to_owned(), format!("ping -c 3 {}", host(server))],
        },
        _ => return None,
    };
    Some(finding)
}

/// What shows the loop: the probes that came home.
fn evidence_of_loop<'s>(server: &'s str, status: &'s Status) -> impl Iterator<Item = String> + 's {
    let ours = status.verdicts.iter().filter(move |verdict| verdict.server == server);
    ours.map(|verdict| {
        format!(
            "a probe over {} came home through {}, {} s ago",
            verdict.transport.to_uppercase(),
            verdict.through,
            verdict.since_seconds
        )
    })
}

/// What to do about it, each once.
fn remedies<'s>(server: &'s str, status: &'s Status) -> impl Iterator<Item = String> + 's {
    let mut told: Vec<String> = Vec::new();
    for verdict in status.verdicts.iter().filter(|verdict| verdict.server == server && !verdict.remedy.is_empty()) {
        let line = format!("# {}", verdict.remedy);
        if !told.contains(&line) {
            told.push(line);
        }
    }
    told.into_iter()
}

fn answered(upstream: &Upstream) -> String {
    match upstream.answered_seconds {
        Some(seconds) => format!("it answered last {seconds} s ago"),
        None => "it has not answered since Onward began".to_owned(),
    }
}

/// The address alone.
fn host(server: &str) -> String {
    server.parse::<Endpoint>().map_or_else(|_| server.to_owned(), |endpoint| endpoint.server.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::{Overall, Verdict};

    fn status(states: &[(&str, &str)]) -> Status {
        let upstreams = states.iter().map(|(server, state)| Upstream {
            server: (*server).to_owned(),
            state: (*state).to_owned(),
            source: "/etc/resolv.conf".to_owned(),
            ..Upstream::default()
        });
        Status { state: Overall::Degraded, upstreams: upstreams.collect(), ..Status::default() }
    }

    #[test]
    fn each_server_that_is_not_well_has_its_finding_and_its_cure() {
        let mut status = status(&[
            ("10.0.0.1:53", "up"),
            ("10.0.0.2:53", "looping"),
            ("[fd00::3]:53", "down"),
            ("10.0.0.4:53", "slow"),
        ]);
        status.verdicts.push(Verdict {
            server: "10.0.0.2:53".to_owned(),
            transport: "udp".to_owned(),
            through: "10.0.0.9".to_owned(),
            since_seconds: 7,
            remedy: "Take this node out there.".to_owned(),
            ..Verdict::default()
        });
        let found = examine(&status);
        let whats: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(
            whats,
            [
                "10.0.0.2:53 sends our queries back to us: it is not asked",
                "[fd00::3]:53 does not answer",
                "10.0.0.4:53 is slow"
            ]
        );
        assert_eq!(
            found[0].evidence,
            ["a probe over UDP came home through 10.0.0.9, 7 s ago", "named by /etc/resolv.conf"]
        );
        assert_eq!(found[0].cure[0], "# Take this node out there.");
        assert!(found[1].cure[0].contains("ping -c 3 fd00::3"), "{found:?}");
        assert!(found.iter().all(|finding| finding.severity == Severity::Risk));
        assert_eq!(host("tls://192.0.2.8:853#dns.example"), "192.0.2.8");
        status.state = Overall::NoDns;
        assert_eq!(examine(&status)[0].severity, Severity::Fault);
    }

    #[test]
    fn what_is_said_of_a_server_is_not_said_twice() {
        let found = examine(&status(&[("10.0.0.2:53", "down"), ("10.0.0.20:53", "up")]));
        assert!(is_told("10.0.0.2:53 does not answer", &found));
        assert!(!is_told("10.0.0.20:53 does not answer", &found), "the daemon of another version may mean it so");
        assert!(!is_told("the file for pods cannot be written", &found));
    }
}
