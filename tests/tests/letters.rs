//! What Onward's own marks do to servers that real networks have: some compare the letters of their names, some cache
//! them in the spelling of whoever asked first, some do not bear AD or EDNS. Names resolve as they did before (issue
//! 11, group C).

use std::time::Duration;

use onward_tests::dns::{Client, rcode};
use onward_tests::hops;
use onward_tests::host::Host;
use onward_tests::node::{self, Node, OTHER, PRIVATE, PUBLIC, address};
use onward_tests::query::{Query, flags, types};
use onward_tests::realistic::{Manner, Realistic, asks_for_ad, both, names, over_tcp};
use onward_tests::upstream::{Scripted, Seen};
use onward_tests::wait;

/// No question waits for another transport or a timeout: the shortest is 400 ms.
const AT_ONCE: Duration = wait::millis(200);

/// Asks for names of a zone one after the other; what was not resolved at once.
fn wrong(node: &Node<'_>, label: &str, count: usize) -> Vec<String> {
    let ask = |number| {
        let name = format!("web{number}-{label}.service.example");
        let (answer, took) = node.ask(&name);
        let right = answer.addresses() == [address(1)] && took < AT_ONCE;
        (!right).then(|| format!("{name}: rcode {} {:?} after {took:?}", answer.rcode(), answer.addresses()))
    };
    (0..count).filter_map(ask).collect()
}

/// Plays it with the server near and far, with its TCP port open and closed.
fn everywhere(server: impl Fn() -> Realistic + Sync, play: impl Fn(&Host, &Scripted, &Node<'_>, &str) + Sync) {
    std::thread::scope(|scope| {
        for (place, with_tcp) in [(PRIVATE, true), (PRIVATE, false), (PUBLIC, true), (PUBLIC, false)] {
            let (server, play) = (&server, &play);
            scope.spawn(move || {
                let Some(host) = node::host() else { return };
                let running = match with_tcp {
                    true => server().start(host.net(), hops::port(place)),
                    false => server().start_without_tcp(host.net(), hops::port(place)),
                };
                let node = Node::start(&host, &[place], "");
                play(&host, &running, &node, &format!("{place}, TCP {with_tcp}"));
            });
        }
    });
}

#[test]
fn names_of_a_server_that_compares_letters_resolve() {
    let server = || Realistic::knowing("service.example", 1).always(Manner::ComparesLetters);
    everywhere(server, |_, _, node, label| {
        assert_eq!(wrong(node, "a", 40), [""; 0], "{label}: of 40\n{}", node.onward.output());
        for kind in [types::AAAA, types::SRV, types::TXT] {
            // Names that exist, without records of these types: who compares letters would say NXDOMAIN.
            let answer = node.client().udp(&Query::new("_http._tcp.web.service.example", kind).edns(1232));
            assert_eq!(answer.rcode(), rcode::NOERROR, "{label}, type {kind}");
        }
    });
}

/// Silence makes it a suspect, whose questions may be spelled: what that brings is not believed.
#[test]
fn names_of_a_server_that_compares_letters_resolve_beside_dead_ones() {
    let server = || {
        Realistic::knowing("service.example", 1)
            .when(names(&["dead.service.example"]), Manner::Silent)
            .when(names(&["broken.service.example"]), Manner::Says(rcode::SERVFAIL))
            .always(Manner::ComparesLetters)
    };
    everywhere(server, |_, _, node, label| {
        let mut faults = Vec::new();
        for round in 0..12 {
            node.send(&format!("www{round}.dead.service.example"));
            let _ = node.ask(&format!("www{round}.broken.service.example"));
            faults.extend(wrong(node, &format!("beside{round}"), 3));
            std::thread::sleep(wait::millis(150));
        }
        let told: Vec<&String> = faults.iter().filter(|fault| !fault.contains("[192.0.2.1]")).collect();
        assert!(told.is_empty(), "{label}: {} of 36 wrong: {told:?}\n{}", told.len(), node.onward.output());
        assert!(faults.len() <= 2, "{label}: late: {faults:?}");
    });
}

#[test]
fn names_that_others_spelled_first_resolve_at_once() {
    let server = || Realistic::knowing("service.example", 1).always(Manner::FirstAskersSpelling);
    everywhere(server, |host, server, node, label| {
        let place = if label.starts_with(PUBLIC) { PUBLIC } else { PRIVATE };
        let other = Client::new(host.net(), place.parse().unwrap());
        let spelled: [fn(&str) -> String; 3] = [
            |name| name.to_ascii_uppercase(),
            |name| name.replace("web", "Web"),
            |name| name.chars().map(|letter| if letter == 'e' { 'E' } else { letter }).collect(),
        ];
        for number in 0..30 {
            let name = format!("web{number}-a.service.example");
            let _ = other.exchange(&Query::new(&spelled[number % 3](&name), types::A).bytes(), wait::seconds(1));
        }
        assert_eq!(wrong(node, "a", 30), [""; 0], "{label}: of 30\n{}", node.onward.output());
        let (answer, _) = node.ask("wEB7-a.serVICE.example");
        assert_eq!(answer.asked(), "wEB7-a.serVICE.example", "{label}: each client sees its own spelling");
        assert!(server.count("web7-a.service.example") <= 3, "{label}");
    });
}

#[test]
fn a_server_that_answers_in_lower_case_costs_no_time() {
    let server =
        || Realistic::knowing("service.example", 1).always(Manner::Makes(|seen| hops::answer_in_lower_case(seen, 1)));
    everywhere(server, |_, _, node, label| {
        assert_eq!(wrong(node, "a", 20), [""; 0], "{label}: of 20\n{}", node.onward.output());
    });
}

#[test]
fn ordinary_questions_go_out_as_they_were_asked_and_probes_are_spelled() {
    let server = || Realistic::knowing("", 1);
    everywhere(server, |_, server, node, label| {
        for number in 0..10 {
            let (answer, _) = node.ask(&format!("www{number}.shop.example"));
            assert_eq!(answer.addresses(), [address(1)], "{label}");
        }
        let (probes, questions): (Vec<Seen>, Vec<Seen>) = server.all().into_iter().partition(Seen::is_probe);
        let spelled = questions.iter().filter(|seen| seen.is_spelled()).count();
        assert_eq!(spelled, 0, "{label}: of {} questions", questions.len());
        assert!(!probes.is_empty() && probes.iter().all(Seen::is_spelled), "{label}");
    });
}

#[test]
fn always_spells_each_question() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1).start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "[guard]\nspelling = \"always\"\n");
    for number in 0..10 {
        let name = format!("www{number}.shop.example");
        assert_eq!(node.ask(&name).0.addresses(), [address(1)]);
        assert!(server.seen(&name).iter().any(Seen::is_spelled), "{name}");
    }
}

/// What an upstream may not bear, and the queries that Onward sends so.
type Unborne = (&'static str, fn(&Seen) -> bool);

/// From the first question on: the probes of the start have not taught anything yet.
#[test]
fn an_upstream_that_drops_what_it_does_not_bear_is_learnt_within_its_first_questions() {
    const QUESTIONS: usize = 60;
    let unborne: [Unborne; 3] =
        [("EDNS", Seen::has_opt), ("AD", asks_for_ad), ("AD or EDNS", |seen| seen.has_opt() || asks_for_ad(seen))];
    std::thread::scope(|scope| {
        for (label, dropped) in unborne {
            for place in [PRIVATE, PUBLIC] {
                scope.spawn(move || {
                    let Some(host) = node::host() else { return };
                    let server = Realistic::knowing("service.example", 1).when(dropped, Manner::Silent);
                    let server = server.start(host.net(), hops::port(place));
                    let node = Node::start(&host, &[place], "");
                    let mut told = Vec::new();
                    for number in 0..QUESTIONS {
                        let name = format!("web{number}.service.example");
                        let query = Query::new(&name, types::A).flags(flags::RD | flags::AD).edns(1232);
                        let begun = std::time::Instant::now();
                        let answer = node.client().udp(&query);
                        told.push((answer.addresses() == [address(1)], begun.elapsed()));
                    }
                    let output = node.onward.output();
                    let failed = told.iter().filter(|(right, _)| !right).count();
                    assert_eq!(failed, 0, "{label} at {place}: names that failed of {QUESTIONS}: {told:?}\n{output}");
                    let late = told.iter().filter(|(_, took)| *took >= AT_ONCE).count();
                    assert!(late <= 3, "{label} at {place}: {late} of {QUESTIONS} were late: {told:?}\n{output}");
                    // Each worker learns by its own first three questions, and which worker gets one is chance.
                    let mut last = QUESTIONS - 5..QUESTIONS;
                    let once = last.all(|number| server.count(&format!("web{number}.service.example")) == 1);
                    assert!(once, "{label} at {place}: it is learnt, so each question is asked once");
                });
            }
        }
    });
}

/// With another server it is no different: the first is the one that knows.
#[test]
fn an_upstream_that_drops_what_it_does_not_bear_stays_the_first() {
    let unborne: [Unborne; 2] = [("EDNS", Seen::has_opt), ("AD", asks_for_ad)];
    for (label, dropped) in unborne {
        let Some(host) = node::host() else { return };
        let first =
            Realistic::knowing("service.example", 1).when(both(dropped, |seen| !over_tcp(seen)), Manner::Silent);
        let _first = first.start(host.net(), hops::port(PRIVATE));
        let _public = Realistic::knowing_all_but("service.example", 2).start(host.net(), hops::port(PUBLIC));
        let _other = Realistic::knowing_all_but("service.example", 3).start(host.net(), hops::port(OTHER));
        for second in [PUBLIC, OTHER] {
            let node = Node::start(&host, &[PRIVATE, second], "");
            let asked = (0..20).map(|number| {
                let query = Query::new(&format!("web{number}.service.example"), types::A);
                node.client().udp(&query.flags(flags::RD | flags::AD).edns(1232))
            });
            let wrong = asked.filter(|answer| answer.addresses() != [address(1)]).count();
            assert_eq!(wrong, 0, "{label}, then {second}: of 20\n{}", node.onward.output());
        }
    }
}
