//! Whether ways bear long messages: from this node and its pods to Onward, from this node to the servers that it asks.
//! A way with a smaller MTU than its ends know of loses them, where a firewall drops what would tell.

use std::net::IpAddr;

use super::{Diagnosis, Finding, Severity};
use crate::integrate::nonce::{LARGE, Large, bears_large};
use crate::integrate::pods::Pod;

/// One way, and what became of a long message on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The pod; `None` for the node itself.
    pub(crate) pod: Option<String>,
    /// Who was asked.
    pub(crate) server: IpAddr,
    /// What came of it.
    pub(crate) large: Large,
}

/// Asks, from the node, Onward's addresses and other servers; from pods Onward's addresses.
#[must_use]
pub(crate) fn try_all(ours: &[IpAddr], others: &[IpAddr], pods: &[Pod]) -> Vec<Way> {
    let mut jobs: Vec<(Option<&Pod>, IpAddr)> = ours.iter().chain(others).map(|server| (None, *server)).collect();
    jobs.extend(pods.iter().flat_map(|pod| ours.iter().map(move |server| (Some(pod), *server))));
    // At once: one that is lost takes seconds.
    std::thread::scope(|scope| {
        let each = |(pod, server): (Option<&Pod>, IpAddr)| {
            let large = match pod {
                None => bears_large(server),
                Some(pod) => pod.within(|| bears_large(server)).unwrap_or(Large::Unknown),
            };
            Way { pod: pod.map(|pod| pod.name.clone()), server, large }
        };
        let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(move || each(job))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

/// Says which ways lose long messages.
pub(crate) fn examine(ways: &[Way], diagnosis: &mut Diagnosis) {
    let lost: Vec<&Way> = ways.iter().filter(|way| way.large == Large::Lost).collect();
    let from = |way: &Way| way.pod.clone().unwrap_or_else(|| "this node itself".to_owned());
    let Some(first) = lost.first() else {
        if ways.iter().any(|way| way.large == Large::Answered) {
            diagnosis.well.push(format!("messages of {LARGE} bytes pass wherever short ones do"));
        }
        return;
    };
    let evidence = lost.iter().map(|way| {
        format!("a query of {LARGE} bytes from {} to {} had no answer over UDP; a short one had", from(way), way.server)
    });
    diagnosis.add(Finding {
        severity: Severity::Risk,
        what: format!("the way from {} to {} loses long messages", from(first), first.server),
        evidence: evidence.collect(),
        effect: "long answers (many addresses, DNSSEC) get lost, and are had over TCP after a second or two".to_owned(),
        cure: vec![
            format!("tracepath -n {}", first.server),
            "ip link | grep mtu".to_owned(),
            "# set the MTU of the network that tracepath names on both ends, or udp_payload = 512 below [limits] in \
             /etc/onward/onward.toml"
                .to_owned(),
        ],
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_told_that_loses_long_messages_alone() {
        let way =
            |pod: Option<&str>, large| Way { pod: pod.map(str::to_owned), server: "10.0.0.5".parse().unwrap(), large };
        let mut well = Diagnosis::default();
        examine(&[way(None, Large::Answered), way(Some("web-1"), Large::Unknown)], &mut well);
        assert!(well.findings.is_empty() && well.well.len() == 1, "{well:?}");
        let mut ill = Diagnosis::default();
        examine(&[way(None, Large::Answered), way(Some("web-1"), Large::Lost)], &mut ill);
        assert_eq!(ill.findings[0].what, "the way from web-1 to 10.0.0.5 loses long messages");
        assert_eq!(ill.findings[0].evidence.len(), 1);
        let mut nothing = Diagnosis::default();
        examine(&[], &mut nothing);
        assert_eq!(nothing, Diagnosis::default());
    }
}
