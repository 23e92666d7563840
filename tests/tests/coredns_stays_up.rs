//! CoreDNS with its `loop` plugin ends at the third sighting of its own probe. Behind Onward it never does, whatever
//! Onward's upstreams are: each test makes a loop through CoreDNS and waits until its plugin has had all the time it
//! takes.

use std::net::Ipv4Addr;
use std::thread::sleep;

use onward_tests::dns::{Client, rcode};
use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::relay::Relay;
use onward_tests::upstream::Scripted;
use onward_tests::{hops, onward, peers, wait};

/// Addresses of Services whose only endpoint is the pod.
const SERVICES: [&str; 2] = ["10.96.0.10", "10.96.0.11"];
/// Where the pod is.
const POD: &str = "10.244.0.10";
/// The address that the good server gives.
const RIGHT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The plugin probes at its start, again each second while there is no answer, and judges for 30 s at most; a loop ends
/// CoreDNS in the first seconds.
const LONG_ENOUGH: std::time::Duration = wait::seconds(4);

/// One server block, as kubeadm writes it.
const PLAIN: &str = ".:53 {\n errors\n loop\n forward . /etc/resolv.conf\n}\n";
/// The same with a cache.
const CACHED: &str = ".:53 {\n errors\n cache 30\n loop\n forward . /etc/resolv.conf\n}\n";
/// Several, as NodeLocal DNSCache has them.
const BLOCKS: &str = "cluster.local:53 {\n errors\n cache 30\n loop\n forward . /etc/resolv.conf\n}\n\
    in-addr.arpa:53 {\n errors\n cache 30\n loop\n forward . /etc/resolv.conf\n}\n\
    ip6.arpa:53 {\n errors\n cache 30\n loop\n forward . /etc/resolv.conf\n}\n\
    .:53 {\n errors\n cache 30\n loop\n forward . /etc/resolv.conf\n}\n";

/// A node whose Services lead to the pod, as kube-proxy has it, and a good server in the network behind it.
fn cluster() -> Option<(Lab, Scripted)> {
    let lab = Lab::new()?;
    let rules = format!(
        "table ip services {{
            chain output {{ type nat hook output priority -100; ip daddr {{ {services} }} dnat to {POD}; }}
            chain prerouting {{ type nat hook prerouting priority -100; ip daddr {{ {services} }} dnat to {POD}; }}
        }}",
        services = SERVICES.join(", ")
    );
    lab.node.write("/etc/services.nft", &rules);
    let status = lab.node.command(&["nft", "-f", "/etc/services.nft"]).status().expect("nft is installed");
    assert!(status.success(), "nft takes the rules");
    let good = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), |seen| {
        onward_tests::upstream::Reply::now(hops::answer(seen, RIGHT.octets()[3]))
    });
    Some((lab, good))
}

/// Starts CoreDNS in the pod, behind Onward.
fn coredns(lab: &Lab, corefile: &str) -> Process {
    lab.pod.write("/etc/resolv.conf", &format!("nameserver {NODE}\n"));
    lab.pod.write("/etc/coredns/Corefile", corefile);
    lab.pod.start(&[&peers::coredns().display().to_string(), "-conf", "/etc/coredns/Corefile"])
}

/// CoreDNS lives as long as it takes, and answers pods: rightly where a good server is left.
fn lives(lab: &Lab, coredns: &mut Process, onward: &Process, good: bool) {
    let pod = Client::new(lab.pod.net(), Ipv4Addr::LOCALHOST.into());
    sleep(LONG_ENOUGH / 2);
    for number in 0..6 {
        let answer = pod.try_udp(&Query::new(&format!("www-shop{number}.corp.example"), types::A).edns(1232));
        let code = answer.as_ref().map(|answer| (answer.rcode(), answer.addresses()));
        let right = match good {
            true => code == Some((rcode::NOERROR, vec![RIGHT])),
            false => code.as_ref().is_some_and(|(code, _)| *code == rcode::SERVFAIL),
        };
        assert!(right, "{code:?}\nCoreDNS: {}\nOnward: {}", coredns.output(), onward.output());
        sleep(LONG_ENOUGH / 12);
    }
    assert_eq!(coredns.ended(), None, "CoreDNS must live:\n{}\nOnward: {}", coredns.output(), onward.output());
    assert!(!coredns.output().contains("Loop ("), "{}", coredns.output());
    assert!(onward.output().contains("back to us over UDP ("), "there is a loop, and it is told:\n{}", onward.output());
}

/// Onward is there before CoreDNS.
fn after_onward(upstreams: &[&str], corefile: &str, good: bool) {
    let Some((lab, _good)) = cluster() else { return };
    let onward = onward::with_upstreams(&lab, upstreams);
    let mut coredns = coredns(&lab, corefile);
    lives(&lab, &mut coredns, &onward, good);
}

#[test]
fn its_service_is_our_only_upstream() {
    after_onward(&SERVICES[..1], CACHED, false);
}

#[test]
fn its_service_is_our_only_upstream_and_it_has_no_cache() {
    after_onward(&SERVICES[..1], PLAIN, false);
}

#[test]
fn its_service_is_first_and_a_good_server_second() {
    after_onward(&[SERVICES[0], UPSTREAMS[0]], CACHED, true);
}

#[test]
fn its_service_is_first_a_good_server_second_and_it_has_no_cache() {
    after_onward(&[SERVICES[0], UPSTREAMS[0]], PLAIN, true);
}

#[test]
fn it_has_two_services() {
    after_onward(&SERVICES, CACHED, false);
}

#[test]
fn it_has_two_services_and_a_good_server_is_third() {
    after_onward(&[SERVICES[0], SERVICES[1], UPSTREAMS[0]], PLAIN, true);
}

#[test]
fn it_has_several_server_blocks() {
    after_onward(&SERVICES[..1], BLOCKS, false);
}

#[test]
fn it_has_several_server_blocks_and_a_good_server_is_second() {
    after_onward(&[SERVICES[0], UPSTREAMS[0]], BLOCKS, true);
}

#[test]
fn it_starts_before_onward() {
    let Some((lab, _good)) = cluster() else { return };
    let mut coredns = coredns(&lab, CACHED);
    sleep(wait::millis(1_500));
    let onward = onward::with_upstreams(&lab, &[SERVICES[0], UPSTREAMS[0]]);
    lives(&lab, &mut coredns, &onward, true);
}

#[test]
fn it_starts_before_onward_which_has_no_other_upstream() {
    let Some((lab, _good)) = cluster() else { return };
    let mut coredns = coredns(&lab, PLAIN);
    sleep(wait::millis(1_500));
    let onward = onward::with_upstreams(&lab, &SERVICES[..1]);
    lives(&lab, &mut coredns, &onward, false);
}

#[test]
fn it_is_restarted_in_the_middle_of_a_loop() {
    let Some((lab, _good)) = cluster() else { return };
    let onward = onward::with_upstreams(&lab, &[SERVICES[0], UPSTREAMS[0]]);
    for pause in [500, 2_000] {
        let _first = coredns(&lab, CACHED);
        sleep(wait::millis(pause));
    }
    let mut again = coredns(&lab, CACHED);
    lives(&lab, &mut again, &onward, true);
    let readmitted = onward.output().lines().filter(|line| line.contains("by itself again")).count();
    assert_eq!(readmitted, 0, "silence ends no quarantine:\n{}", onward.output());
}

#[test]
fn its_service_appears_while_onward_runs() {
    let Some((lab, _good)) = cluster() else { return };
    lab.node.write("/etc/resolv.conf", &format!("nameserver {}\n", UPSTREAMS[0]));
    let onward = onward::start(&lab.node, NODE, &["--listen", NODE]);
    let mut coredns = coredns(&lab, CACHED);
    sleep(wait::seconds(1));
    lab.node.write("/etc/resolv.conf", &format!("nameserver {}\nnameserver {}\n", SERVICES[0], UPSTREAMS[0]));
    lives(&lab, &mut coredns, &onward, true);
}

/// The loop passes another server, at 127.0.0.1 of the node.
fn through(start: impl FnOnce(&Lab) -> Box<dyn std::any::Any>, corefile: &str, good: bool) {
    let Some((lab, _good)) = cluster() else { return };
    let _hop = start(&lab);
    let mut upstreams = vec!["127.0.0.1"];
    upstreams.extend(good.then_some(UPSTREAMS[0]));
    let onward = onward::with_upstreams(&lab, &upstreams);
    let mut coredns = coredns(&lab, corefile);
    lives(&lab, &mut coredns, &onward, good);
}

fn dnsmasq(lab: &Lab) -> Box<dyn std::any::Any> {
    Box::new(hops::dnsmasq(&lab.node, "127.0.0.1", &[SERVICES[0]]))
}

fn unbound(lab: &Lab) -> Box<dyn std::any::Any> {
    Box::new(hops::unbound(&lab.node, "127.0.0.1", &[SERVICES[0]]))
}

fn bind(lab: &Lab) -> Box<dyn std::any::Any> {
    Box::new(hops::bind(&lab.node, "127.0.0.1", &[SERVICES[0]]))
}

fn relay(lab: &Lab) -> Box<dyn std::any::Any> {
    Box::new(Relay::start(lab.node.net(), hops::port("127.0.0.1"), hops::port(SERVICES[0]), 1))
}

#[test]
fn through_dnsmasq() {
    through(dnsmasq, CACHED, false);
}

#[test]
fn through_dnsmasq_and_a_good_server_is_second() {
    through(dnsmasq, PLAIN, true);
}

#[test]
fn through_unbound() {
    through(unbound, PLAIN, false);
}

#[test]
fn through_unbound_and_a_good_server_is_second() {
    through(unbound, CACHED, true);
}

#[test]
fn through_bind() {
    through(bind, PLAIN, false);
}

#[test]
fn through_a_relay_that_strips_every_mark() {
    through(relay, PLAIN, false);
}

#[test]
fn through_a_relay_that_strips_every_mark_and_a_good_server_is_second() {
    through(relay, CACHED, true);
}
