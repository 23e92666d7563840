//! Names that are answered here: those of hosts files, and those of the cluster.

use std::net::Ipv4Addr;

use onward_tests::dns::{Answer, rcode};
use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, wait};

const UPSTREAM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOSTS: &str = "/etc/hosts";

fn upstream(lab: &Lab) -> Scripted {
    let script = |seen: &Seen| Reply::now(seen.address(UPSTREAM.octets(), 60));
    Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script)
}

fn start(lab: &Lab, settings: &str) -> Process {
    lab.node.write(onward::CONFIGURATION, &format!("{settings}\n[upstreams]\nservers = [\"{}\"]\n", UPSTREAMS[0]));
    onward::start(&lab.node, NODE, &["--log-level", "debug"])
}

fn ask(lab: &Lab, name: &str, kind: u16) -> Answer {
    lab.client().udp(&Query::new(name, kind).edns(1232))
}

#[test]
fn pods_get_what_the_nodes_hosts_file_says_and_a_change_at_once() {
    let Some(lab) = Lab::new() else { return };
    let upstream = upstream(&lab);
    lab.node.write(HOSTS, "127.0.0.1 localhost\n127.0.1.1 node-1\n10.0.0.7 DB.corp.example db\n");
    let process = start(&lab, "");
    assert_eq!(ask(&lab, "Db.Corp.Example", types::A).addresses(), [Ipv4Addr::new(10, 0, 0, 7)]);
    let reverse = ask(&lab, "7.0.0.10.in-addr.arpa", types::PTR);
    assert_eq!((reverse.rcode(), reverse.answers().len()), (rcode::NOERROR, 1));
    let none = ask(&lab, "db", types::AAAA);
    assert_eq!((none.rcode(), none.answers().len()), (rcode::NOERROR, 0));
    let over_tcp = lab.client().tcp(&Query::new("db", types::A));
    assert_eq!(over_tcp.addresses(), [Ipv4Addr::new(10, 0, 0, 7)]);
    assert_eq!(ask(&lab, "node-1", types::A).addresses(), [UPSTREAM], "127.0.1.1 is the pod itself, in a pod");
    assert_eq!(upstream.count_of("db"), 0, "nor asked of anybody");

    // What is in the cache gives way, too: such a file is written in an outage.
    assert_eq!(ask(&lab, "registry.example", types::A).addresses(), [UPSTREAM]);
    lab.node.write("/etc/onward/hosts.d/outage", "203.0.113.7 registry.example\n");
    let becomes = |address: Ipv4Addr| {
        wait::until(wait::seconds(2), || {
            (ask(&lab, "registry.example", types::A).addresses() == [address]).then_some(())
        })
    };
    assert!(becomes(Ipv4Addr::new(203, 0, 113, 7)).is_some(), "{}", process.output());
    let (_, explained) = onward::run_to_end(&lab.node, &["explain", "registry.example"]);
    assert!(explained.contains("answered here: a hosts file of the node has it"), "{explained}");
    std::fs::remove_file(lab.node.path("/etc/onward/hosts.d/outage")).unwrap();
    assert!(becomes(UPSTREAM).is_some(), "{}", process.output());
}

#[test]
fn an_odd_line_of_a_hosts_file_is_told_and_costs_no_other() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    lab.node.write(HOSTS, "10.0.0 odd\n10.0.0.7 db\n");
    let mut process = start(&lab, "");
    process.wait_for_line("/etc/hosts:1: \"10.0.0\" is no address", wait::seconds(2));
    assert_eq!(ask(&lab, "db", types::A).addresses(), [Ipv4Addr::new(10, 0, 0, 7)]);
    lab.node.write(HOSTS, "");
    let gone = wait::until(wait::seconds(2), || (ask(&lab, "db", types::A).addresses() == [UPSTREAM]).then_some(()));
    assert!(gone.is_some(), "{}", process.output());
}

#[test]
fn names_of_the_cluster_are_counted_and_if_wished_answered_here() {
    for (settings, answered) in [("", false), ("[names]\ncluster_domain = \"answer\"\n", true)] {
        let Some(lab) = Lab::new() else { return };
        let upstream = upstream(&lab);
        lab.node.write(
            "/var/lib/kubelet/config.yaml",
            "kind: KubeletConfiguration\nclusterDomain: k8s.corp.example\nclusterDNS: [10.96.0.10]\n",
        );
        let metrics = "[metrics]\nlisten = \"127.0.0.1:9253\"\n";
        let _process = start(&lab, &format!("{settings}{metrics}"));
        let names =
            ["db.shop.svc.k8s.corp.example.eu.example", "db.shop.svc.k8s.corp.example", "1.0.96.10.in-addr.arpa"];
        for name in names {
            let code = ask(&lab, name, types::A).rcode();
            assert_eq!(code, if answered { rcode::NXDOMAIN } else { rcode::NOERROR }, "{name}");
            assert_eq!(upstream.count(name), usize::from(!answered), "{name}");
        }
        assert_eq!(ask(&lab, "db.shop.svc.corp.example", types::A).addresses(), [UPSTREAM]);
        let text = onward_tests::http::get(lab.node.net(), "127.0.0.1:9253", "/metrics");
        let word = if answered { "answered" } else { "forwarded" };
        let line = format!("onward_cluster_name_queries_total{{result=\"{word}\"}} 3");
        assert!(text.contains(&line), "{line} in {text}");
    }
}
