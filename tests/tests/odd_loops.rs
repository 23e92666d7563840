//! Loops of odd shapes: for one zone with names under many parents, over TCP alone, for one type alone, beside clients
//! that provoke probes, through hops that do not answer probes, and again and again (issue 11, I, 35 to 40).

use std::time::{Duration, Instant};

use onward_tests::dns::{Answer, rcode};
use onward_tests::hops::{self, BEYOND, GOOD, HOPS, Hop, Kind, NODE};
use onward_tests::host::Host;
use onward_tests::node::{self, Node, PUBLIC, address};
use onward_tests::process::Process;
use onward_tests::query::{Query, flags, types};
use onward_tests::realistic::{Manner, Realistic, Switch, both, names, over_tcp};
use onward_tests::upstream::{Scripted, Seen};
use onward_tests::{load, wait};

/// A question that walks a loop is answered within this.
const FIRST_ANSWER: Duration = wait::millis(100);
/// And one after the verdict.
const LATER_ANSWER: Duration = wait::millis(50);
/// A verdict is given within this.
const VERDICT: Duration = wait::seconds(3);
/// An upstream is in use again within this time of its loop's end.
const RECOVERY: Duration = wait::seconds(10);

/// Whether a good server is second.
const LEFT: [bool; 2] = [true, false];

fn upstreams(good: bool) -> &'static [&'static str] {
    if good { &[HOPS[0], GOOD] } else { &[HOPS[0]] }
}

/// Whether it is what a client of a loop is to be told.
fn is_right(answer: &Answer, good: bool) -> bool {
    match good {
        true => answer.rcode() == rcode::NOERROR && answer.addresses() != [address(2)],
        false => is_truncated(answer) || answer.rcode() == rcode::SERVFAIL && answer.extended_errors() == [23],
    }
}

/// Over UDP, what that had: the client comes again over TCP, and is told there.
fn is_truncated(answer: &Answer) -> bool {
    answer.has(flags::TC)
}

/// Plays all at once, each on a host of its own.
fn in_parallel<T: Send, const N: usize>(each: [T; N], play: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for one in each {
            let play = &play;
            scope.spawn(move || play(one));
        }
    });
}

fn show(name: &str, answer: &Answer, took: Duration) -> String {
    format!("{name}: rcode {} {:?} {:?} after {took:?}", answer.rcode(), answer.addresses(), answer.extended_errors())
}

/// Asks each name; what was told wrong or late.
fn faults(node: &Node<'_>, good: bool, names: impl Iterator<Item = String>, limit: Duration) -> Vec<String> {
    let ask = |name: String| {
        let (answer, took) = node.ask(&name);
        (!is_right(&answer, good) || took >= limit).then(|| show(&name, &answer, took))
    };
    names.filter_map(ask).collect()
}

/// A hop that asks us while a switch is on what `picked` picks, with all that we sent, and else answers by itself.
fn hop(looping: &Switch, picked: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> Realistic {
    Realistic::knowing("", 2).when(both(looping.is_on(), picked), Manner::Asks(hops::port(NODE)))
}

/// Unbound that spells names itself, so that no mark is left, and asks us for the names of one zone.
fn one_zone_without_marks(host: &Host, target: &str) -> Process {
    let lines = format!(
        "    use-caps-for-id: yes\nforward-zone:\n    name: .\n    forward-addr: {BEYOND}\nforward-zone:\n    name: loop.example\n    forward-addr: {target}\n"
    );
    hops::unbound_with(host, HOPS[0], &lines)
}

#[test]
fn one_zone_that_loops_with_names_under_many_parents_and_no_mark() {
    in_parallel(LEFT, |good| {
        wait::better_of_two(|| {
            let Some(host) = node::host() else { return Ok(()) };
            let _servers = [hops::server(&host, BEYOND, 2), hops::server(&host, GOOD, 1)];
            let healthy = one_zone_without_marks(&host, BEYOND);
            let node = Node::start(&host, upstreams(good), "");
            for number in 0..5 {
                assert_eq!(node.ask(&format!("www.warm{number}.loop.example")).0.addresses(), [address(2)]);
            }
            drop(healthy);
            let _loops = one_zone_without_marks(&host, NODE);
            let name = |number: usize| format!("www.parent{number}.loop.example");
            let first = faults(&node, good, (0..20).map(name), FIRST_ANSWER);
            let verdict = wait::until(VERDICT, || node.verdicts().pop());
            let later = faults(&node, good, (20..40).map(name), LATER_ANSWER);
            println!("left {good}: {} of 20, then {} of 20 late or wrong: {first:?}", first.len(), later.len());
            // The rest of the world is no part of it.
            let other = node.ask("www.other.example").0.addresses();
            match verdict {
                Some(_) if later.len() <= 2 && first.len() <= 10 && other == [address(2)] => Ok(()),
                verdict => {
                    Err(format!("left {good}: {verdict:?}, other {other:?}, later {later:?}\n{}", node.onward.output()))
                }
            }
        });
    });
}

/// As CoreDNS does at each start, and who wants to hide a loop does all day.
#[test]
fn a_client_that_asks_as_coredns_probes_does_not_delay_the_verdict() {
    in_parallel([Kind::Dnsmasq, Kind::Unbound], |kind| {
        wait::better_of_two(|| {
            const HINFO: u16 = 13;
            let Some(host) = node::host() else { return Ok(()) };
            let _servers = [hops::server(&host, BEYOND, 2), hops::server(&host, GOOD, 1)];
            let mut hop = Hop::start(&host, kind, BEYOND);
            let node = Node::start(&host, upstreams(true), "");
            let socket = node.client().socket();
            for number in 0..50_u64 {
                let label = 1_000_000_000_000 + number * 7_919;
                let name = format!("{label}.{}.", label + 1);
                socket.send(&Query::new(&name, HINFO).bytes()).unwrap();
                assert_eq!(node.ask(&format!("www{number}.warm.example")).0.addresses(), [address(2)]);
                std::thread::sleep(wait::millis(200));
            }
            hop.turn(&host, NODE);
            let first = faults(&node, true, ["www.looped.example".to_owned()].into_iter(), FIRST_ANSWER);
            let begun = Instant::now();
            let found = wait::until(VERDICT, || {
                let _ = node.ask(&format!("www{:?}.looped.example", begun.elapsed().as_nanos()));
                node.verdicts().pop()
            });
            println!("{kind:?}: verdict after {:?}, first {first:?}", begun.elapsed());
            if found.is_some() && first.is_empty() {
                Ok(())
            } else {
                Err(format!("{kind:?}: {first:?} {found:?}\n{}", node.onward.output()))
            }
        });
    });
}

/// An authoritative server refuses names that are not its own, and some firewalls let no odd name pass.
#[test]
fn an_upstream_that_does_not_answer_probes_is_taken_back_after_a_loop() {
    let to_probes = [
        ("REFUSED", Manner::Says(rcode::REFUSED)),
        ("silence", Manner::Silent),
        ("SERVFAIL", Manner::Says(rcode::SERVFAIL)),
    ];
    std::thread::scope(|scope| {
        for (label, manner) in to_probes {
            // Nobody is left; and a public server that does not know its names.
            for list in [&[HOPS[0]][..], &[HOPS[0], PUBLIC]] {
                let manner = manner.clone();
                scope.spawn(move || {
                    let Some(host) = node::host() else { return };
                    let looping = Switch::off();
                    let hop = hop(&looping, |_| true).when(Seen::is_probe, manner);
                    let _hop = hop.start(host.net(), hops::port(HOPS[0]));
                    let _public = Realistic::knowing_all_but("corp.example", 3).start(host.net(), hops::port(PUBLIC));
                    let node = Node::start(&host, list, "");
                    assert_eq!(node.ask("before.corp.example").0.addresses(), [address(2)], "{label}");
                    looping.turn(true);
                    let mut number = 0;
                    let verdict = wait::until(VERDICT, || {
                        number += 1;
                        let _ = node.ask(&format!("www{number}.corp.example"));
                        node.verdicts().pop()
                    });
                    assert!(verdict.is_some(), "{label}, {list:?}: no verdict\n{}", node.onward.output());
                    looping.turn(false);
                    let back = node.wait_for_address(|number| format!("back{number}.corp.example"), 2, RECOVERY);
                    println!("{label}, {list:?}: back after {back:?}, {verdict:?}");
                    assert!(back.is_some(), "{label}, {list:?}: not back after {RECOVERY:?}\n{}", node.onward.output());
                    for number in 0..10 {
                        let (answer, took) = node.ask(&format!("then{number}.corp.example"));
                        assert_eq!(
                            answer.addresses(),
                            [address(2)],
                            "{label}, {list:?}: {}",
                            show("then", &answer, took)
                        );
                    }
                });
            }
        }
    });
}

#[test]
fn a_second_and_a_third_loop_end_as_the_first() {
    std::thread::scope(|scope| {
        for good in LEFT {
            for kind in [Kind::Dnsmasq, Kind::Unbound] {
                scope.spawn(move || {
                    let Some(host) = node::host() else { return };
                    let _servers = [hops::server(&host, BEYOND, 2), hops::server(&host, GOOD, 1)];
                    let mut hop = Hop::start(&host, kind, BEYOND);
                    let node = Node::start(&host, upstreams(good), "");
                    for round in 1..=3 {
                        let verdicts = node.verdicts().len();
                        hop.turn(&host, NODE);
                        let mut number = 0;
                        let found = wait::until(VERDICT, || {
                            number += 1;
                            let _ = node.ask(&format!("www{number}.round{round}.example"));
                            (node.verdicts().len() > verdicts).then_some(())
                        });
                        let label = format!("{kind:?}, left {good}, loop {round}");
                        let must = round == 1;
                        assert!(found.is_some() || !must, "{label}: no verdict\n{}", node.onward.output());
                        hop.turn(&host, BEYOND);
                        let back =
                            node.wait_for_address(|number| format!("back{number}.round{round}.example"), 2, RECOVERY);
                        println!("{label}: back after {back:?}");
                        assert!(
                            back.is_some(),
                            "{label}: not in use {RECOVERY:?} after its end\n{}",
                            node.onward.output()
                        );
                        let used = || {
                            (0..10)
                                .filter(|n| {
                                    node.ask(&format!("then{n}.round{round}.example")).0.addresses() == [address(2)]
                                })
                                .count()
                        };
                        assert!(used() >= 9, "{label}: it is the first again\n{}", node.onward.output());
                    }
                });
            }
        }
    });
}

/// Plays a loop of a hop that is partly in order; `ask` asks for a name in the way that loops.
fn partly(
    label: &str,
    good: bool,
    picked: impl Fn(&Seen) -> bool + Send + Sync + Clone + 'static,
    ask: impl Fn(&Node<'_>, &str) -> Answer,
) -> Result<(), String> {
    let Some(host) = node::host() else { return Ok(()) };
    let looping = Switch::off();
    let hop = hop(&looping, picked).when(|seen| !over_tcp(seen) && seen.name().starts_with("long"), Manner::Cuts);
    let _hop = hop.start(host.net(), hops::port(HOPS[0]));
    let _good: Scripted = hops::server(&host, GOOD, 1);
    let node = Node::start(&host, upstreams(good), "");
    let timed = |name: &str| {
        let begun = Instant::now();
        (ask(&node, name), begun.elapsed())
    };
    for number in 0..5 {
        let (answer, took) = timed(&format!("long{number}.warm.example"));
        assert_eq!(answer.rcode(), rcode::NOERROR, "{label}: {}", show("warm", &answer, took));
    }
    looping.turn(true);
    let (answer, took) = timed("long.first.example");
    let mut faults = Vec::new();
    if !is_right(&answer, good) || took >= FIRST_ANSWER {
        faults.push(show("the first", &answer, took));
    }
    if wait::until(VERDICT, || node.verdicts().pop()).is_none() {
        faults.push(format!("no verdict within {VERDICT:?}"));
    }
    let later = (0..10).map(|number| timed(&format!("long{number}.later.example")));
    let late = later.filter(|(answer, took)| !is_right(answer, good) || *took >= LATER_ANSWER);
    let late: Vec<String> = late.map(|(answer, took)| show("a later one", &answer, took)).collect();
    faults.extend(if late.len() > 1 { late } else { Vec::new() });
    looping.turn(false);
    let mut number = 0;
    let back = wait::until(RECOVERY, || {
        number += 1;
        let (answer, _) = timed(&format!("long{number}.back.example"));
        (answer.addresses() == [address(2)] || answer.asked_type() != types::A && answer.rcode() == rcode::NOERROR)
            .then_some(())
    });
    faults.extend(back.is_none().then(|| "not back after its end".to_owned()));
    if faults.is_empty() { Ok(()) } else { Err(format!("{label}, left {good}: {faults:?}\n{}", node.onward.output())) }
}

#[test]
fn a_loop_over_tcp_alone() {
    in_parallel(LEFT, |good| {
        wait::better_of_two(|| {
            partly("asked over TCP", good, over_tcp, |node, name| {
                let answer = node.client().tcp(&Query::new(name, types::A).edns(1232));
                assert!(!answer.has(flags::TC), "truncated over TCP: {name}");
                answer
            })
        });
        wait::better_of_two(|| partly("asked over UDP", good, over_tcp, |node, name| node.ask(name).0));
    });
}

#[test]
fn a_loop_for_one_type_alone() {
    in_parallel(LEFT, |good| {
        for kind in [types::AAAA, types::SRV] {
            wait::better_of_two(|| {
                let picked = move |seen: &Seen| seen.query.asked_type() == kind;
                partly(&format!("type {kind}"), good, picked, |node, name| {
                    let name = name.trim_start_matches("long");
                    node.client().udp(&Query::new(&format!("www{name}"), kind).edns(1232))
                })
            });
        }
    });
}

/// It asks us first, and the next only when we fail: there is no next, or it is dead, so that nobody answers a probe
/// that is home.
#[test]
fn a_loop_behind_dnsmasq_with_strict_order_and_no_server_left() {
    const SILENT: &str = HOPS[1];
    const CLOSED: &str = PUBLIC;
    in_parallel([&[NODE][..], &[NODE, SILENT], &[NODE, CLOSED]], |servers| {
        for (good, formed) in [(true, true), (false, true), (true, false), (false, false)] {
            wait::better_of_two(|| {
                let Some(host) = node::host() else { return Ok(()) };
                let _servers = [hops::server(&host, BEYOND, 2), hops::server(&host, GOOD, 1)];
                let _silent = Scripted::start(host.net(), hops::port(SILENT), |_| Vec::new());
                let start = |servers: &[&str]| hops::dnsmasq(&host, HOPS[0], &[&["--strict-order"], servers].concat());
                let mut hop = start(if formed { &[BEYOND] } else { servers });
                let node = Node::start(&host, upstreams(good), "");
                if formed {
                    for number in 0..5 {
                        assert_eq!(node.ask(&format!("www{number}.warm.example")).0.addresses(), [address(2)]);
                    }
                    drop(hop);
                    hop = start(servers);
                }
                let name = |number| format!("www{number}.first.example");
                let first = faults(&node, good, (0..1).map(name), FIRST_ANSWER);
                let verdict = wait::until(VERDICT, || node.verdicts().pop());
                let later = faults(&node, good, (1..11).map(name), LATER_ANSWER);
                drop(hop);
                let _healthy = start(&[BEYOND]);
                let back = node.wait_for_address(|number| format!("back{number}.example"), 2, RECOVERY);
                let right = first.is_empty() && verdict.is_some() && later.len() <= 1 && back.is_some();
                let told =
                    || format!("{servers:?}, left {good}, formed {formed}: {first:?} {verdict:?} {later:?} {back:?}");
                if right { Ok(()) } else { Err(format!("{}\n{}", told(), node.onward.output())) }
            });
        }
    });
}

/// A server that never answers probes is no loop, and no dead one: its own answers to questions say so.
#[test]
fn an_upstream_that_never_answers_probes_stays_in_use() {
    let Some(host) = node::host() else { return };
    let silent =
        Realistic::knowing("", 2).when(Seen::is_probe, Manner::Silent).when(names(&["dead.example"]), Manner::Silent);
    let _silent = silent.start(host.net(), hops::port(HOPS[0]));
    let _public = Realistic::knowing("", 3).start(host.net(), hops::port(PUBLIC));
    let node = Node::start(&host, &[HOPS[0], PUBLIC], "");
    let load = load::Load::start(host.net(), NODE.parse().unwrap());
    for number in 0..4 {
        node.send(&format!("www{number}.dead.example"));
        std::thread::sleep(wait::millis(500));
    }
    let asked = load.finish();
    let elsewhere = load::addresses(&asked).iter().filter(|(_, from)| *from != address(2)).count();
    assert!(elsewhere <= asked.len() / 50, "{elsewhere} of {} by the second\n{}", asked.len(), node.onward.output());
    assert_eq!(node.verdicts(), [""; 0]);
}
