//! Upstreams that do not know the same, as real ones: a private server that knows the names of a company and is silent
//! for some, and a public one that says NXDOMAIN for them. Whose "no" counts, and which server is asked (issue 11,
//! group B).

use std::thread::sleep;

use onward_tests::dns::rcode;
use onward_tests::host::Host;
use onward_tests::node::{self, Node, OTHER, PRIVATE, PUBLIC, address};
use onward_tests::query::{Query, types};
use onward_tests::realistic::{Manner, Realistic, Switch, both, names};
use onward_tests::upstream::{Scripted, Seen};
use onward_tests::{hops, wait};

/// What the private server says to probes, whose names are nobody's: any of it is a sign of life.
fn answers_to_probes() -> [(&'static str, Manner); 3] {
    [("NXDOMAIN", Manner::Denies(60)), ("REFUSED", Manner::Says(rcode::REFUSED)), ("a lame answer", Manner::Lame)]
}

/// A server for `corp.example`, which is silent for `dead.example` and a second late for `slow.corp.example`.
fn private(host: &Host, to_probes: Manner) -> Scripted {
    Realistic::knowing("corp.example", 1)
        .when(Seen::is_probe, to_probes)
        .when(names(&["dead.example", "dead.corp.example"]), Manner::Silent)
        .when(names(&["slow.corp.example"]), Manner::Late(wait::seconds(1)))
        .start(host.net(), hops::port(PRIVATE))
}

/// A server for all the world, to which `corp.example` does not exist.
fn public(host: &Host) -> Scripted {
    Realistic::knowing_all_but("corp.example", 2).start(host.net(), hops::port(PUBLIC))
}

/// Internal names that are not resolved by the private server, of `count`, asked one each 25 ms.
fn wrong(node: &Node<'_>, label: &str, count: usize) -> Vec<String> {
    let ask = |number| {
        let name = format!("{label}{number}.corp.example");
        sleep(wait::millis(25));
        let (answer, took) = node.ask(&name);
        (answer.addresses() != [address(1)]).then(|| format!("{name}: rcode {} after {took:?}", answer.rcode()))
    };
    (0..count).filter_map(ask).collect()
}

/// Plays it with each answer to probes, all at once, on hosts of their own.
fn with_each_answer_to_probes(play: impl Fn(&str, Manner) + Sync) {
    std::thread::scope(|scope| {
        for (label, manner) in answers_to_probes() {
            let play = &play;
            scope.spawn(move || play(label, manner));
        }
    });
}

#[test]
fn three_dead_names_leave_internal_names_with_the_private_server() {
    with_each_answer_to_probes(|label, manner| {
        let Some(host) = node::host() else { return };
        let (_private, public) = (private(&host, manner), public(&host));
        let node = Node::start(&host, &[PRIVATE, PUBLIC], "");
        assert_eq!(wrong(&node, "warm", 5), [""; 0], "{label}");
        for number in 0..3 {
            node.send(&format!("www{number}.dead.example"));
            sleep(wait::millis(500));
        }
        assert_eq!(wrong(&node, "www", 20), [""; 0], "{label}:\n{}", node.onward.output());
        let leaked = (0..20).filter(|number| public.count(&format!("www{number}.corp.example")) > 0).count();
        assert_eq!(leaked, 0, "{label}: internal names that left for the public server");
    });
}

#[test]
fn none_of_seventy_two_internal_names_is_wrong_beside_five_dead_names_a_second() {
    with_each_answer_to_probes(|label, manner| {
        let Some(host) = node::host() else { return };
        let (_private, public) = (private(&host, manner), public(&host));
        let node = Node::start(&host, &[PRIVATE, PUBLIC], "");
        let mut faults = Vec::new();
        for round in 0..36 {
            let zone = if round % 2 == 0 { "dead.example" } else { "dead.corp.example" };
            node.send(&format!("www{round}.{zone}"));
            sleep(wait::millis(150));
            faults.extend(wrong(&node, &format!("www{round}-"), 2));
        }
        assert_eq!(faults, [""; 0], "{label}: of 72");
        let leaked =
            public.all().iter().filter(|seen| seen.name().starts_with("www") && !seen.name().contains("dead")).count();
        assert_eq!(leaked, 0, "{label}: internal names that left for the public server");
    });
}

#[test]
fn four_slow_names_at_once_leave_internal_names_with_the_private_server() {
    with_each_answer_to_probes(|label, manner| {
        let Some(host) = node::host() else { return };
        let (_servers, node) = ((private(&host, manner), public(&host)), Node::start(&host, &[PRIVATE, PUBLIC], ""));
        assert_eq!(wrong(&node, "warm", 5), [""; 0], "{label}");
        std::thread::scope(|scope| {
            for number in 0..4 {
                let node = &node;
                scope.spawn(move || {
                    let (answer, took) = node.ask(&format!("www{number}.slow.corp.example"));
                    assert_eq!(answer.addresses(), [address(1)], "{label}: the slow name itself, after {took:?}");
                });
                sleep(wait::millis(45));
            }
            assert_eq!(wrong(&node, "www", 20), [""; 0], "{label}: of 20");
        });
    });
}

#[test]
fn a_server_that_is_silent_to_probes_too_is_passed_over() {
    let Some(host) = node::host() else { return };
    let outage = Switch::off();
    let first = Realistic::knowing("", 1).when(outage.is_on(), Manner::Silent).start(host.net(), hops::port(PRIVATE));
    let _public = public(&host);
    let node = Node::start(&host, &[PRIVATE, PUBLIC], "");
    assert_eq!(node.ask("before.example").0.addresses(), [address(1)]);
    outage.turn(true);
    let mut number = 0;
    let found = wait::until(wait::seconds(8), || {
        number += 1;
        let (answer, took) = node.ask(&format!("during{number}.example"));
        assert_eq!(answer.addresses(), [address(2)], "after {took:?}\n{}", node.onward.output());
        (took < wait::millis(50)).then_some(())
    });
    assert!(found.is_some(), "each name still waits for it:\n{}", node.onward.output());
    outage.turn(false);
    let back = node.wait_for_address(|number| format!("after{number}.example"), 1, wait::seconds(10));
    assert!(back.is_some(), "it is not asked again, {} seen:\n{}", first.all().len(), node.onward.output());
}

#[test]
fn a_no_of_the_public_server_ends_soon_after_the_private_one_is_back() {
    let Some(host) = node::host() else { return };
    let outage = Switch::off();
    let private = Realistic::knowing("corp.example", 1).when(outage.is_on(), Manner::Silent);
    let (_private, _public) = (private.start(host.net(), hops::port(PRIVATE)), public(&host));
    let node = Node::start(&host, &[PRIVATE, PUBLIC], "");
    assert_eq!(node.ask("before.corp.example").0.addresses(), [address(1)]);
    outage.turn(true);
    let mut number = 0;
    let denied = wait::until(wait::seconds(10), || {
        number += 1;
        let name = format!("www{number}.corp.example");
        (node.ask(&name).0.rcode() == rcode::NXDOMAIN).then_some(name)
    });
    // With nobody left who knows, a SERVFAIL is as right.
    let name = denied.unwrap_or_else(|| format!("www{number}.corp.example"));
    if let [soa] = &node.ask(&name).0.authority()[..] {
        assert!(soa.ttl <= 5, "clients would keep it for {} s", soa.ttl);
    }
    outage.turn(false);
    // 5 s, and the time in which a server is seen to be back.
    let back = node.wait_for_address(|_| name.clone(), 1, wait::seconds(8));
    assert!(back.is_some(), "{name} is still not resolved:\n{}", node.onward.output());
}

#[test]
fn a_no_of_the_public_server_does_not_replace_an_old_address() {
    let Some(host) = node::host() else { return };
    let outage = Switch::off();
    let private = Realistic::knowing("corp.example", 1).when(outage.is_on(), Manner::Silent).always(Manner::Ttl(1));
    let (_private, _public) = (private.start(host.net(), hops::port(PRIVATE)), public(&host));
    let node = Node::start(&host, &[PRIVATE, PUBLIC], "");
    assert_eq!(node.ask("www.corp.example").0.addresses(), [address(1)]);
    outage.turn(true);
    let begun = std::time::Instant::now();
    let mut asked = 0;
    while begun.elapsed() < wait::seconds(6) {
        asked += 1;
        let (answer, took) = node.ask("www.corp.example");
        assert_eq!(answer.addresses(), [address(1)], "time {asked}, after {took:?}:\n{}", node.onward.output());
        sleep(wait::millis(300));
    }
}

/// Which server a name may go to is the list's will; that a server is tried is no reason to send it a client's name.
#[test]
fn clients_names_do_not_go_to_a_public_server_to_see_whether_it_is_back() {
    let Some(host) = node::host() else { return };
    let private = Realistic::knowing("corp.example", 1)
        .when(names(&["broken.corp.example"]), Manner::Says(rcode::SERVFAIL))
        .start(host.net(), hops::port(PRIVATE));
    let public = Realistic::knowing("", 2).always(Manner::Silent).start(host.net(), hops::port(PUBLIC));
    let node = Node::start(&host, &[PRIVATE, PUBLIC], "");
    // Questions that were to go there find it down.
    let broken: Vec<String> = (0..4).map(|number| format!("www{number}.broken.corp.example")).collect();
    broken.iter().for_each(|name| drop(node.ask(name)));
    assert!(public.count(&broken[0]) > 0, "they went there");
    for number in 0..60 {
        let name = format!("db{number}.corp.example");
        assert_eq!(node.ask(&name).0.addresses(), [address(1)]);
        sleep(wait::millis(50));
    }
    assert_eq!(private.count_of("db"), 60);
    assert_eq!(public.count_of("db"), 0, "names of clients that left for it");
}

#[test]
fn a_first_server_that_is_lame_does_not_end_the_search() {
    let Some(host) = node::host() else { return };
    let lame = Realistic::knowing("", 1)
        .when(names(&["lame.example"]), Manner::Lame)
        .when(names(&["down.example"]), Manner::Refers("down.example"))
        .when(names(&["up.example"]), Manner::Refers(""));
    let _lame = lame.start(host.net(), hops::port(PRIVATE));
    let _good = [PUBLIC, OTHER].map(|server| Realistic::knowing("", 2).start(host.net(), hops::port(server)));
    for second in [PUBLIC, OTHER] {
        let node = Node::start(&host, &[PRIVATE, second], "");
        for zone in ["lame.example", "down.example", "up.example"] {
            for number in 0..3 {
                let (answer, took) = node.ask(&format!("www{number}.{zone}"));
                assert_eq!(answer.addresses(), [address(2)], "{zone}, then {second}:\n{}", node.onward.output());
                assert!(took < wait::millis(500), "{zone}: {took:?}");
            }
            let tcp = node.client().tcp(&Query::new(&format!("tcp.{zone}"), types::A));
            assert_eq!(tcp.addresses(), [address(2)], "{zone} over TCP");
        }
        assert_eq!(node.ask("www.other.example").0.addresses(), [address(1)], "else the first is asked");
    }
}

/// What is lame is a server, not a name without addresses.
#[test]
fn a_name_without_addresses_is_believed_to_have_none() {
    let Some(host) = node::host() else { return };
    let first = Realistic::knowing("", 1)
        .when(names(&["empty.example"]), Manner::HasNone(60))
        // RA=1 and no SOA: what many small forwarders say.
        .when(names(&["bare.example"]), Manner::Says(rcode::NOERROR));
    let _first = first.start(host.net(), hops::port(PRIVATE));
    let second = Realistic::knowing("", 2).start(host.net(), hops::port(PUBLIC));
    let node = Node::start(&host, &[PRIVATE, PUBLIC], "");
    for name in ["www.empty.example", "www.bare.example"] {
        let (answer, _) = node.ask(name);
        assert_eq!((answer.rcode(), answer.answers().len()), (rcode::NOERROR, 0), "{name}");
        assert_eq!(second.count(name), 0, "{name}");
    }
}

#[test]
fn another_order_of_the_same_servers_holds_after_a_reload() {
    let Some(host) = node::host() else { return };
    let _servers = [(PRIVATE, 1), (OTHER, 2), (PUBLIC, 3)]
        .map(|(server, last)| Realistic::knowing("", last).start(host.net(), hops::port(server)));
    let node = Node::start(&host, &[PRIVATE, OTHER, PUBLIC], "");
    let orders = [([OTHER, PRIVATE, PUBLIC], 2), ([PUBLIC, OTHER, PRIVATE], 3), ([PRIVATE, PUBLIC, OTHER], 1)];
    assert_eq!(node.ask("first.example").0.addresses(), [address(1)]);
    for (order, first) in orders {
        node.reload(&order);
        let turned = node.wait_for_address(|number| format!("www{number}.to{first}.example"), first, wait::seconds(3));
        assert!(turned.is_some(), "{order:?}:\n{}", node.onward.output());
        for number in 0..5 {
            let (answer, _) = node.ask(&format!("then{number}.to{first}.example"));
            assert_eq!(answer.addresses(), [address(first)], "{order:?}");
        }
    }
}

/// Not a manner of all its queries: it fails for what `condition` picks, a chain behind a chain.
fn failing(manner: Manner) -> Realistic {
    Realistic::knowing("", 1).when(both(names(&["shop.example"]), |seen| !seen.is_probe()), manner)
}

#[test]
fn an_onward_behind_an_onward_has_failover() {
    let manners = [
        ("silent", Manner::Silent),
        ("SERVFAIL", Manner::Says(rcode::SERVFAIL)),
        ("REFUSED", Manner::Says(rcode::REFUSED)),
        ("lame", Manner::Lame),
    ];
    std::thread::scope(|scope| {
        for (label, manner) in manners {
            scope.spawn(move || a_chain(label, manner));
        }
    });
}

/// Two Onwards before one whose first upstream fails: their clients get what its own get.
fn a_chain(label: &str, manner: Manner) {
    const CHAIN: [&str; 2] = ["10.99.0.101", "10.99.0.102"];
    if !onward_tests::can_run() {
        return;
    }
    let host = hops::host(&CHAIN);
    let _first = failing(manner).start(host.net(), hops::port(PRIVATE));
    let _second = Realistic::knowing("", 2).start(host.net(), hops::port(OTHER));
    let node = Node::start(&host, &[PRIVATE, OTHER], "");
    let start = |listen: &str, upstream: &str| {
        let (file, state) = (format!("/run/onward-{listen}/resolv.conf"), format!("/var/lib/onward-{listen}"));
        host.write("/empty.toml", "");
        let empty = host.path("/empty.toml").display().to_string();
        let arguments = ["--config", &empty, "--listen", listen, "--resolv-conf", &file, "--state-dir", &state];
        let mut process = onward_tests::onward::spawn(
            &host,
            &[&arguments[..], &["--upstream", upstream, "--log-level", "debug"]].concat(),
        );
        onward_tests::onward::wait_until_serving(&host, hops::port(listen), &mut process);
        process
    };
    let before = [start(CHAIN[0], hops::NODE), start(CHAIN[1], CHAIN[0])];
    for (place, server) in [hops::NODE, CHAIN[0], CHAIN[1]].into_iter().enumerate() {
        let client = onward_tests::dns::Client::new(host.net(), server.parse().unwrap());
        for number in 0..6 {
            let name = format!("www{number}-{place}.shop.example");
            let begun = std::time::Instant::now();
            let answer = client.udp(&Query::new(&name, types::A).edns(1232));
            let (took, said) = (begun.elapsed(), format!("{}\n{}", node.onward.output(), before[0].output()));
            assert_eq!(answer.addresses(), [address(2)], "{label}, {place} before it: {name} after {took:?}\n{said}");
        }
    }
}

/// The chain's end has a private server that is slow for once, and a public one that says no.
#[test]
fn an_onward_behind_an_onward_does_not_believe_the_public_servers_no() {
    const BEFORE: &str = "10.99.0.101";
    if !onward_tests::can_run() {
        return;
    }
    let host = hops::host(&[BEFORE, PUBLIC]);
    let _servers = (private(&host, Manner::Denies(60)), public(&host));
    let node = Node::start(&host, &[PRIVATE, PUBLIC], "");
    host.write("/empty.toml", "");
    let empty = host.path("/empty.toml").display().to_string();
    let arguments = ["--config", &empty, "--listen", BEFORE, "--resolv-conf", "/run/before/resolv.conf"];
    let more = ["--state-dir", "/var/lib/before", "--upstream", hops::NODE];
    let mut before = onward_tests::onward::spawn(&host, &[&arguments[..], &more].concat());
    onward_tests::onward::wait_until_serving(&host, hops::port(BEFORE), &mut before);
    let client = onward_tests::dns::Client::new(host.net(), BEFORE.parse().unwrap());
    for number in 0..4 {
        let name = format!("www{number}.slow.corp.example");
        let answer = client.udp(&Query::new(&name, types::A).edns(1232));
        assert_eq!(answer.addresses(), [address(1)], "{name}: {}\n{}", answer.rcode(), node.onward.output());
    }
}
