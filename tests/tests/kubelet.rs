//! kubelet's own code reads what Onward writes, under hosts as odd as they come: no warning event, and the servers and
//! domains that were meant, for pods with dnsPolicy Default and ClusterFirst.

use std::process::Command;

use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::{onward, peers};
use serde::Deserialize;

/// The DNS settings of a pod, as the Go program prints them.
#[derive(Debug, Deserialize)]
struct Settings {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// All that the Go program prints.
#[derive(Debug, Deserialize)]
struct Report {
    default: Settings,
    cluster_first: Settings,
    events: Vec<String>,
}

/// A host's `/etc/resolv.conf`, less a nameserver that answers, and what pods should get of it.
struct Case {
    what: &'static str,
    resolv_conf: String,
    searches: Vec<String>,
    options: &'static [&'static str],
}

impl Case {
    fn new(what: &'static str, resolv_conf: &str, searches: &[&str], options: &'static [&'static str]) -> Self {
        let searches = searches.iter().map(|domain| (*domain).to_owned()).collect();
        Self { what, resolv_conf: resolv_conf.to_owned(), searches, options }
    }

    fn of_domains(what: &'static str, domains: &[String], kept: usize) -> Self {
        let searches: Vec<_> = domains[..kept].iter().map(String::as_str).collect();
        Self::new(what, &format!("search {}\n", domains.join(" ")), &searches, &[])
    }
}

fn cases() -> Vec<Case> {
    let forty: Vec<String> = (0..40).map(|number| format!("d{number}.example")).collect();
    let long: Vec<String> =
        (10..30).map(|number| format!("{}.{number}.example", vec!["x".repeat(60); 3].join("."))).collect();
    let labels = |count: usize| vec!["x".repeat(49); count].join(".");
    let five = "nameserver 10.99.0.54\nnameserver 10.99.0.55\nnameserver 10.99.0.56\nnameserver 10.99.0.57\n";
    vec![
        Case::new("nothing but a server", "", &[], &[]),
        Case::new("a domain", "search corp.example\n", &["corp.example"], &[]),
        Case::new("`domain`", "domain corp.example\n", &["corp.example"], &[]),
        Case::new(
            "the last `search` counts",
            "search a.example\nsearch b.example c.example\n",
            &["b.example", "c.example"],
            &[],
        ),
        Case::of_domains("40 domains, of which 29 are the host's share", &forty, 29),
        Case::of_domains("20 domains of 193 bytes, of which 1,792 characters are the host's share", &long, 9),
        Case::new("the root as a domain", "search .\n", &[], &[]),
        Case::new("the root among domains", "search . corp.example\n", &["corp.example"], &[]),
        Case::new("a domain twice", "search a.example b.example a.example\n", &["a.example", "b.example"], &[]),
        Case::new("a domain of 299 bytes", &format!("search {} a.example\n", labels(6)), &["a.example"], &[]),
        Case::new("a comment behind a domain", "search a.example #b.example\n", &["a.example"], &[]),
        Case::new("whole lines of comment", "# one\n; two\nsearch a.example\n", &["a.example"], &[]),
        Case::new("tabs", "search\ta.example\tb.example\t\n", &["a.example", "b.example"], &[]),
        Case::new("line ends of another system", "search a.example\r\n", &["a.example"], &[]),
        Case::new("five servers more", five, &[], &[]),
        Case::new("a server with a scope", "nameserver fe80::1%eth0\n", &[], &[]),
        Case::new(
            "options",
            "options ndots:2 timeout:3 attempts:1 edns0\n",
            &[],
            &["ndots:2", "timeout:3", "attempts:1", "edns0"],
        ),
        Case::new("options for the stub", "options edns0 trust-ad use-vc rotate inet6\n", &[], &["edns0"]),
    ]
}

#[test]
fn what_is_written_is_what_pods_get() {
    let cases = cases();
    let half = cases.len() / 2;
    // Two at a time: most of a case is waiting.
    std::thread::scope(|scope| {
        for part in [&cases[..half], &cases[half..]] {
            scope.spawn(move || part.iter().for_each(check));
        }
    });
}

fn check(case: &Case) {
    let Some(lab) = Lab::new() else { return };
    let text = format!("nameserver {}\n{}", UPSTREAMS[0], case.resolv_conf);
    lab.node.write("/etc/resolv.conf", &text);
    let _process = onward::start(&lab.node, NODE, &[]);
    let file = lab.node.read(onward::RESOLV_CONF);
    let report = kubelet(&lab);

    let what = format!("{}: the host has\n{text}and Onward wrote\n{file}and kubelet read {report:?}", case.what);
    assert!(report.events.is_empty(), "{what}");
    assert_eq!(report.default.servers, [NODE], "{what}");
    assert_eq!(report.default.searches, case.searches, "{what}");
    // kubelet merges options in a map, so their order is chance.
    let mut options = report.default.options.clone();
    options.sort_unstable();
    let mut expected = case.options.to_vec();
    expected.sort_unstable();
    assert_eq!(options, expected, "{what}");

    let cluster = [format!("{}.svc.cluster.local", "n".repeat(63)), "svc.cluster.local".into(), "cluster.local".into()];
    assert_eq!(report.cluster_first.servers, ["10.96.0.10"], "{what}");
    assert_eq!(report.cluster_first.searches, [&cluster[..], &case.searches].concat(), "{what}");
    assert_eq!(report.cluster_first.options, ["ndots:5"], "{what}");
}

fn kubelet(lab: &Lab) -> Report {
    let output = Command::new(peers::kubelet()).arg(lab.node.path(onward::RESOLV_CONF)).output().expect("run it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
