//! Domains with servers of their own: what has a route is asked of its servers and of no others, whatever becomes of
//! them.

use std::time::Duration;

use onward_tests::dns::rcode;
use onward_tests::hops::{self, HOPS, NODE};
use onward_tests::host::Host;
use onward_tests::node::{self, Node, OTHER, PRIVATE, PUBLIC, address};
use onward_tests::relay::Relay;
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{onward, wait};

/// The last byte of the addresses that the server for all names gives.
const OF_ALL: u8 = 1;
/// Likewise that of the domain.
const OF_CORP: u8 = 2;

/// A route for a domain and its reverse zone.
fn route(domain: &str, servers: &[&str]) -> String {
    format!("[[routes]]\ndomains = [{domain:?}]\nservers = {servers:?}\n")
}

fn servers(host: &Host) -> (Scripted, Scripted) {
    (hops::server(host, PUBLIC, OF_ALL), hops::server(host, PRIVATE, OF_CORP))
}

/// The names that a server was asked for, probes of the guard left out.
fn names(server: &Scripted) -> Vec<String> {
    server.all().iter().filter(|seen| !seen.is_probe()).map(|seen| seen.name()).collect()
}

#[test]
fn a_name_is_asked_of_the_servers_of_its_longest_domain_and_of_no_others() {
    let Some(host) = node::host() else { return };
    let (all, corp) = servers(&host);
    let lab = hops::server(&host, OTHER, 3);
    let settings = [
        "[log]\nlevel = \"debug\"\n",
        &route("corp.example", &[PRIVATE]),
        &route("99.10.in-addr.arpa", &[PRIVATE]),
        &route("lab.corp.example", &[OTHER]),
    ]
    .concat();
    let node = Node::start(&host, &[PUBLIC], &settings);
    for (name, last) in [
        ("www.example", OF_ALL),
        ("notcorp.example", OF_ALL),
        ("corp.example", OF_CORP),
        ("Git.Corp.Example", OF_CORP),
        ("1.0.99.10.in-addr.arpa", OF_CORP),
        ("1.0.98.10.in-addr.arpa", OF_ALL),
        ("a.b.lab.corp.example", 3),
    ] {
        assert_eq!(node.ask(name).0.addresses(), [address(last)], "{name}");
    }
    let under = |name: &String| name.ends_with("corp.example") && !name.starts_with("notcorp");
    assert!(!names(&all).iter().any(under), "{:?}", names(&all));
    assert!(names(&corp).iter().all(|name| !name.ends_with("lab.corp.example") && name != "www.example"));
    assert!(names(&lab).iter().all(|name| name.ends_with("lab.corp.example")));
    let (code, explained) = onward::run_to_end(&host, &["explain", "git.corp.example"]);
    assert!(
        code == Some(0)
            && explained.contains("asked of the servers for names under corp.example.")
            && explained.contains(PRIVATE),
        "{explained}"
    );
    let (_, status) = onward::run_to_end(&host, &["status"]);
    assert!(status.contains("for lab.corp.example") && status.contains(OTHER), "{status}");
}

#[test]
fn a_domain_whose_servers_are_dead_refuse_or_loop_leaks_nothing_to_the_servers_for_other_names() {
    for (what, closed) in [("silent", false), ("closed", true)] {
        let Some(host) = node::host() else { return };
        let all = hops::server(&host, PUBLIC, OF_ALL);
        let _dead = (!closed).then(|| Scripted::start(host.net(), hops::port(PRIVATE), |_| Reply::silence()));
        let settings = route("corp.example", &[PRIVATE]);
        let node = Node::start(&host, &[PUBLIC], &settings);
        for number in 0..5 {
            let (answer, took) = node.ask(&format!("n{number}.corp.example"));
            assert_eq!((answer.rcode(), answer.extended_errors()), (rcode::SERVFAIL, vec![22]), "{what}");
            assert!(took < Duration::from_millis(1_950), "{what}: {took:?}");
        }
        let (answer, took) = node.ask("www.example");
        assert_eq!(answer.addresses(), [address(OF_ALL)], "{what}");
        assert!(took < Duration::from_millis(500), "{what}: {took:?}");
        assert!(!names(&all).iter().any(|name| name.contains("corp")), "{what}: {:?}", names(&all));
        let (_, status) = onward::run_to_end(&host, &["status"]);
        assert!(!status.contains("no DNS"), "{what}: {status}");
    }
}

#[test]
fn a_loop_through_the_server_of_a_domain_touches_no_other_name() {
    let Some(host) = node::host() else { return };
    let all = hops::server(&host, PUBLIC, OF_ALL);
    let _relay = Relay::start(host.net(), hops::port(HOPS[0]), hops::port(NODE), 1);
    let settings = route("corp.example", &[HOPS[0]]);
    let node = Node::start(&host, &[PUBLIC], &settings);
    let looped = wait::until(wait::seconds(5), || {
        let (answer, _) = node.ask("git.corp.example");
        (answer.rcode() == rcode::SERVFAIL && answer.extended_errors() == [23]).then_some(())
    });
    assert!(looped.is_some(), "{}", node.onward.output());
    assert_eq!(node.verdicts().iter().filter(|line| line.contains(HOPS[0])).count(), node.verdicts().len());
    for number in 0..20 {
        let (answer, took) = node.ask(&format!("n{number}.example"));
        assert_eq!(answer.addresses(), [address(OF_ALL)]);
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    assert!(!names(&all).iter().any(|name| name.contains("corp")), "{:?}", names(&all));
}

#[test]
fn the_cache_forgets_what_is_under_a_domain_whose_route_comes_or_goes_and_nothing_else() {
    let Some(host) = node::host() else { return };
    let (all, corp) = servers(&host);
    let node = Node::start(&host, &[PUBLIC], "");
    let address_of = |name: &str| node.ask(name).0.addresses();
    let becomes =
        |last: u8| wait::until(wait::seconds(3), || (address_of("git.corp.example") == [address(last)]).then_some(()));
    assert_eq!(
        (address_of("git.corp.example"), address_of("www.example")),
        (vec![address(OF_ALL)], vec![address(OF_ALL)])
    );
    node.reload_with(&[PUBLIC], &route("corp.example", &[PRIVATE]));
    assert!(becomes(OF_CORP).is_some(), "{}", node.onward.output());
    node.reload_with(&[PUBLIC], "");
    assert!(becomes(OF_ALL).is_some(), "{}", node.onward.output());
    assert_eq!(address_of("www.example"), [address(OF_ALL)]);
    assert_eq!((all.count("www.example"), all.count("git.corp.example"), corp.count("git.corp.example")), (1, 2, 1));
}

#[test]
fn a_domain_has_its_servers_while_those_for_all_names_are_away() {
    let Some(host) = node::host() else { return };
    let _corp = hops::server(&host, PRIVATE, OF_CORP);
    let settings = route("corp.example", &[PRIVATE]);
    let node = Node::start(&host, &[OTHER], &settings); // nothing listens there
    for number in 0..10 {
        let (answer, took) = node.ask(&format!("n{number}.corp.example"));
        assert_eq!(answer.addresses(), [address(OF_CORP)]);
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    assert_eq!(node.ask("www.example").0.rcode(), rcode::SERVFAIL);
}

#[test]
fn names_of_a_route_whose_servers_may_not_be_asked_fail_at_once_and_that_is_told() {
    let Some(host) = node::host() else { return };
    let all = hops::server(&host, PUBLIC, OF_ALL);
    let settings = route("corp.example", &["169.254.20.10"]); // a node cache, which asks us
    let node = Node::start(&host, &[PUBLIC], &settings);
    let (answer, took) = node.ask("git.corp.example");
    assert_eq!((answer.rcode(), answer.extended_errors()), (rcode::SERVFAIL, vec![14]), "{}", node.onward.output());
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(names(&all).is_empty(), "{:?}", names(&all));
    let told = node.onward.output();
    assert!(told.contains("not asking 169.254.20.10:53 of configuration: a node cache"), "{told}");
    assert!(told.contains("no server of the route for corp.example. may be asked"), "{told}");
}
