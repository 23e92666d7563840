//! The harness itself: each server starts and answers, so that a failure elsewhere is Onward's.

use onward_tests::dns::{Client, rcode};
use onward_tests::lab::{Lab, NODE, NODE_IP, UPSTREAMS};
use onward_tests::query::{Query, flags, types};
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{servers, wait};

#[test]
fn stubs_on_the_node_reach_knot() {
    let Some(lab) = Lab::new() else { return };
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let _resolved = servers::resolved(&lab.node, UPSTREAMS[0]);
    let _dnsmasq = servers::dnsmasq(&lab.node, "127.0.0.1", UPSTREAMS[0], &[]);
    assert!(lab.node.read("/run/systemd/resolve/stub-resolv.conf").contains("nameserver 127.0.0.53"));
    assert!(lab.node.read("/run/systemd/resolve/resolv.conf").contains("nameserver 10.99.0.53"));
}

#[test]
fn a_pod_reaches_the_node_and_long_answers_need_tcp() {
    let Some(lab) = Lab::new() else { return };
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let _dnsmasq = servers::dnsmasq(&lab.node, NODE, UPSTREAMS[0], &[]);
    let client = lab.client();
    let query = Query::new("long.odd.example", types::TXT).edns(1232);
    assert!(client.udp(&query).has(flags::TC));
    assert_eq!(client.tcp(&query).answers().len(), 12);
}

#[test]
fn unbound_validates_what_knot_signs() {
    let Some(lab) = Lab::new() else { return };
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let _unbound = servers::unbound(&lab.upstream, UPSTREAMS[1], UPSTREAMS[0]);
    let client = Client::new(lab.node.net(), UPSTREAMS[1].parse().unwrap());
    let answer = client.udp(&Query::new("www.signed.example", types::A).dnssec_ok());
    assert!(answer.has(flags::AD), "{answer:?}");
    assert!(answer.answers().iter().any(|record| record.kind == types::RRSIG));
}

#[test]
fn a_script_decides_what_comes_back() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &onward_tests::upstream::Seen| match seen.name().as_str() {
        "late" => Reply::after(wait::millis(300), seen.address([192, 0, 2, 1], 60)),
        "no" => Reply::now(seen.negative(rcode::NXDOMAIN, 60)),
        "bad" => Reply::now(seen.failure(6)),
        _ => Reply::silence(),
    };
    let scripted = Scripted::start(lab.node.net(), (NODE_IP, 53).into(), script);
    let client = lab.client();
    assert_eq!(client.udp(&Query::new("LATE", types::A)).addresses().len(), 1);
    assert_eq!(client.tcp(&Query::new("no", types::A)).rcode(), rcode::NXDOMAIN);
    assert_eq!(client.udp(&Query::new("bad", types::A)).extended_errors(), [6]);
    assert!(client.exchange(&Query::new("silent", types::A).bytes(), wait::millis(200)).is_none());
    assert_eq!((scripted.count("late"), scripted.count("silent"), scripted.count("other")), (1, 1, 0));
}
