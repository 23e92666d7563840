//! The harness itself: each server starts and answers, so that a failure elsewhere is Onward's.

use std::net::Ipv4Addr;
use std::time::Instant;

use onward_tests::dns::{Client, rcode};
use onward_tests::hops::{self, Hop};
use onward_tests::lab::{Lab, NODE, NODE_IP, UPSTREAMS};
use onward_tests::query::{Query, flags, types};
use onward_tests::tap::Tap;
use onward_tests::upstream::{Reply, Scripted, Seen};
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
    let script = |seen: &Seen| match seen.name().as_str() {
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

/// A manner of each kind, on a server that knows one zone.
#[test]
fn a_server_that_is_like_real_ones_knows_one_zone_and_shows_its_manners() {
    use onward_tests::realistic::{Manner, Realistic, Switch, names, over_tcp};
    let Some(lab) = Lab::new() else { return };
    let outage = Switch::off();
    let server = Realistic::knowing("corp.example", 1)
        .when(outage.is_on(), Manner::Silent)
        .when(names(&["dead.corp.example"]), Manner::Silent)
        .when(names(&["lame.corp.example"]), Manner::Lame)
        .when(names(&["bare.corp.example"]), Manner::HeaderOnly(rcode::REFUSED))
        .when(names(&["cut.corp.example"]), Manner::CutsInARecord)
        .when(names(&["cached.corp.example"]), Manner::FirstAskersSpelling)
        .when(names(&["old.corp.example"]), Manner::CountsDown { from: 30 })
        .when(names(&["odd.corp.example"]), Manner::ExtendedCode(rcode::BADVERS))
        .when(over_tcp, Manner::ClosesAfter(2))
        .start(lab.node.net(), (NODE_IP, 53).into());
    let client = lab.client();
    let ask = |name: &str| client.udp(&Query::new(name, types::A).edns(1232));
    assert_eq!(ask("www.corp.example").addresses(), [Ipv4Addr::new(192, 0, 2, 1)]);
    assert_eq!((ask("www.other.example").rcode(), ask("notcorp.example").rcode()), (rcode::NXDOMAIN, rcode::NXDOMAIN));
    let silent = |name| client.exchange(&Query::new(name, types::A).bytes(), wait::millis(100)).is_none();
    assert!(silent("www.dead.corp.example"));
    let lame = ask("lame.corp.example");
    assert_eq!((lame.rcode(), lame.has(flags::RA), lame.answers().len()), (rcode::NOERROR, false, 0));
    assert_eq!(ask("bare.corp.example").0.len(), 12);
    assert!(ask("cut.corp.example").has(flags::TC));
    assert_eq!(ask("cAched.corp.example").asked(), ask("caCHED.corp.example").asked());
    assert_eq!(ask("old.corp.example").answers()[0].ttl, 30);
    assert_eq!(ask("odd.corp.example").rcode(), rcode::BADVERS);
    let mut stream = client.connect();
    (0..3).for_each(|id| stream.send(&Query::new("www.corp.example", types::A).id(id).bytes()));
    assert_eq!(std::iter::from_fn(|| stream.receive()).count(), 2, "then it closes");
    outage.turn(true);
    assert!(silent("www.corp.example"));
    assert_eq!(server.count("www.dead.corp.example"), 1);
}

/// What it passes on is what the other says to the same bytes, over either transport.
#[test]
fn a_server_that_asks_another() {
    use onward_tests::realistic::{Manner, Realistic};
    let Some(lab) = Lab::new() else { return };
    let other = Realistic::knowing("", 7).start(lab.upstream.net(), Lab::upstream_address(0));
    let asking = Realistic::knowing("", 1).always(Manner::Asks(Lab::upstream_address(0)));
    let _asking = asking.start(lab.node.net(), (NODE_IP, 53).into());
    for answer in [lab.client().udp(&Query::new("wWw", types::A)), lab.client().tcp(&Query::new("wWw", types::A))] {
        assert_eq!((answer.asked(), answer.addresses()), ("wWw".to_owned(), vec![Ipv4Addr::new(192, 0, 2, 7)]));
    }
    assert_eq!(other.count("www"), 2);
}

/// NXDOMAIN for a name that nobody asked for, though nobody is left to ask: made of cached NSEC records.
#[test]
fn validating_hops_deny_names_from_their_cache_and_keep_it_when_they_are_turned() {
    use onward_tests::realistic::Realistic;
    use onward_tests::validating::{Kind, Validating, signed_root};
    if !onward_tests::can_run() {
        return;
    }
    let host = hops::host(&[]);
    let _root = signed_root(&host, hops::BEYOND);
    let other = Realistic::knowing("", 1).start(host.net(), hops::port(hops::GOOD));
    for (kind, address) in [(Kind::Unbound, hops::HOPS[0]), (Kind::Bind, hops::HOPS[1])] {
        let hop = Validating::start(&host, kind, address, hops::BEYOND);
        let client = Client::new(host.net(), address.parse().unwrap());
        let ask = |name: &str| client.udp(&Query::new(name, types::A));
        assert_eq!(ask("www.one.example").addresses(), [Ipv4Addr::new(192, 0, 2, 2)], "{kind:?}: {}", hop.output());
        hop.turn(&host, hops::GOOD);
        let probe = ask("probe.0123456789abcdef0123456789abcdef");
        assert_eq!(probe.rcode(), rcode::NXDOMAIN, "{kind:?}: {}", hop.output());
        assert_eq!(other.count_of_probes(), 0, "{kind:?}");
        assert_eq!(ask("www.two.example").addresses(), [Ipv4Addr::new(192, 0, 2, 1)], "{kind:?}: {}", hop.output());
    }
}

#[test]
fn every_hop_asks_whom_it_is_told_to_and_the_tap_sees_each_datagram_once() {
    if !onward_tests::can_run() {
        return;
    }
    for kind in hops::Kind::ALL {
        let host = hops::host(&[]);
        let tap = Tap::start(host.net());
        let _beyond = hops::server(&host, hops::BEYOND, 1);
        let _good = hops::server(&host, hops::GOOD, 2);
        let mut hop = Hop::start(&host, kind, hops::BEYOND);
        let client = Client::new(host.net(), kind.address().parse().unwrap());
        let ask = |name| client.udp(&Query::new(name, types::A).edns(1232)).addresses();
        let begun = Instant::now();
        assert_eq!(ask("one.loop.example"), [Ipv4Addr::new(192, 0, 2, 1)], "{kind:?}:\n{}", hop.output());
        std::thread::sleep(wait::millis(50));
        let seen = tap.since(begun).iter().filter(|datagram| datagram.name == "one.loop.example").count();
        assert_eq!(seen, if kind == hops::Kind::TwoInARow { 6 } else { 4 }, "{kind:?}");
        hop.turn(&host, hops::GOOD);
        assert_eq!(ask("two.loop.example"), [Ipv4Addr::new(192, 0, 2, 2)], "{kind:?}:\n{}", hop.output());
    }
}
