//! Streams to upstreams that end, fail or are silent: a client over TCP gets the answer, the real error, or SERVFAIL
//! that says why, and never a truncated message; a client over UDP gets what UDP had (issue 11, group D, 9 and 10).

use std::collections::HashSet;
use std::time::{Duration, Instant};

use onward_tests::dns::{Answer, rcode};
use onward_tests::hops;
use onward_tests::node::{self, Node, PRIVATE, address};
use onward_tests::query::{Query, flags, types};
use onward_tests::realistic::{Manner, Realistic, Switch, names, over_tcp};
use onward_tests::upstream::Transport;
use onward_tests::wait;

/// In this time every client is answered; and a little for the test itself.
const BUDGET: Duration = wait::millis(1_950);

/// A server whose answers do not fit into a datagram.
fn long() -> Realistic {
    Realistic::knowing("", 1).always(Manner::Cuts)
}

/// Asks for names over one connection, all at once, and gives what came back for each.
fn pipelined(node: &Node<'_>, prefix: &str, count: u16) -> Vec<(Answer, Duration)> {
    let mut stream = node.client().connect();
    let begun = Instant::now();
    for id in 0..count {
        stream.send(&Query::new(&format!("{prefix}{id}.shop.example"), types::A).edns(1232).id(id).bytes());
    }
    (0..count).map_while(|_| stream.receive()).map(|answer| (answer, begun.elapsed())).collect()
}

/// Asks over connections of their own, all at once.
fn each_its_own(node: &Node<'_>, prefix: &str, count: u16) -> Vec<(Answer, Duration)> {
    let begun = Instant::now();
    let ask = |id: u16| {
        let query = Query::new(&format!("{prefix}{id}.shop.example"), types::A).edns(1232).id(id);
        (node.client().tcp(&query), begun.elapsed())
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..count).map(|id| scope.spawn(move || ask(id))).collect();
        asking.into_iter().map(|one| one.join().expect("an answer")).collect()
    })
}

/// All have the address, none is truncated, each question is answered once and in time.
fn assert_whole(label: &str, answers: &[(Answer, Duration)], count: u16) {
    let ids: HashSet<u16> = answers.iter().map(|(answer, _)| answer.id()).collect();
    assert_eq!(ids.len(), usize::from(count), "{label}: questions that were answered");
    let wrong = answers.iter().filter(|(answer, _)| answer.addresses() != [address(1)] || answer.has(flags::TC));
    let told: Vec<String> = wrong.map(|(answer, took)| show(answer, *took)).collect();
    assert!(told.is_empty(), "{label}: {} of {count} without the address: {told:?}", told.len());
}

/// None is truncated, or NOERROR with nothing in it; a SERVFAIL of Onward's own says why.
fn assert_told(label: &str, answers: &[(Answer, Duration)], count: u16) {
    assert_eq!(answers.len(), usize::from(count), "{label}: questions that were answered");
    for (answer, took) in answers {
        assert!(!answer.has(flags::TC), "{label}: {}", show(answer, *took));
        assert_ne!(answer.rcode(), rcode::NOERROR, "{label}: {}", show(answer, *took));
        // What the upstream says itself may have none.
        let own = answer.rcode() == rcode::SERVFAIL && label != "SERVFAIL";
        assert!(!own || !answer.extended_errors().is_empty(), "{label}, no reason: {}", show(answer, *took));
        assert!(*took < BUDGET, "{label}: {}", show(answer, *took));
    }
}

fn show(answer: &Answer, took: Duration) -> String {
    let tc = if answer.has(flags::TC) { " TC" } else { "" };
    format!("rcode {}{tc} {:?} {:?} after {took:?}", answer.rcode(), answer.addresses(), answer.extended_errors())
}

#[test]
fn an_upstream_that_closes_after_some_answers_loses_none() {
    for most in [1, 2, 7] {
        let Some(host) = node::host() else { return };
        let server = long().when(over_tcp, Manner::ClosesAfter(most)).start(host.net(), hops::port(PRIVATE));
        let node = Node::start(&host, &[PRIVATE], "");
        assert_whole(&format!("{most}, pipelined"), &pipelined(&node, "one", 30), 30);
        assert_whole(&format!("{most}, thirty clients"), &each_its_own(&node, "own", 30), 30);
        for id in 0..5 {
            let (answer, took) = node.ask(&format!("udp{id}.shop.example"));
            assert_whole(&format!("{most}, over UDP"), &[(answer, took)], 1);
        }
        let streams: HashSet<_> = server.all().iter().filter(|seen| over_tcp(seen)).map(|seen| seen.peer).collect();
        assert!(streams.len() <= 200, "{most}: {} connections for 65 questions", streams.len());
    }
}

/// It takes its time, so that others wait on the connection that it closes.
#[test]
fn an_upstream_that_closes_while_slow_answers_are_due_loses_none() {
    let Some(host) = node::host() else { return };
    let server = long()
        .when(|seen| over_tcp(seen) && seen.name().contains("slow"), Manner::Late(wait::millis(150)))
        .when(|seen| over_tcp(seen) && !seen.name().contains("slow"), Manner::ClosesAfter(3));
    let _server = server.start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    let (slow, quick) = std::thread::scope(|scope| {
        let slow = scope.spawn(|| each_its_own(&node, "slow", 10));
        let quick = scope.spawn(|| each_its_own(&node, "quick", 20));
        (slow.join().unwrap(), quick.join().unwrap())
    });
    assert_whole("slow", &slow, 10);
    assert_whole("quick", &quick, 20);
}

#[test]
fn an_upstream_that_reads_one_query_of_a_segment_and_drops_the_rest_loses_none() {
    let Some(host) = node::host() else { return };
    let server = long().always(Manner::OneOfASegment).start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    for time in ["first", "second"] {
        assert_whole(&format!("{time} time, pipelined"), &pipelined(&node, time, 12), 12);
        assert_whole(&format!("{time} time, twelve clients"), &each_its_own(&node, &format!("{time}own"), 12), 12);
    }
    let asked = server.all().iter().filter(|seen| over_tcp(seen)).count();
    assert!(asked <= 2 * 48, "{asked} queries over TCP for 48 questions");
}

#[test]
fn two_hundred_and_fifty_long_answers_at_once_over_tcp_are_all_whole() {
    let Some(host) = node::host() else { return };
    let server = long().when(over_tcp, Manner::Late(wait::millis(300)));
    let _server = server.start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "[limits]\ntcp_pipelined = 1024\n");
    assert_whole("250 on one connection", &pipelined(&node, "many", 250), 250);
    assert_whole("240 on as many", &each_its_own(&node, "each", 240), 240);
}

#[test]
fn a_client_over_tcp_is_told_the_error_of_a_stream_that_fails() {
    let failures = [
        ("SERVFAIL", Manner::Says(rcode::SERVFAIL)),
        ("REFUSED", Manner::Says(rcode::REFUSED)),
        ("NOTIMP", Manner::Says(rcode::NOTIMP)),
        ("closes", Manner::Closes),
        ("silent", Manner::Silent),
        ("truncated again", Manner::Makes(|seen| seen.header(flags::TC, [0, 0, 0]))),
    ];
    std::thread::scope(|scope| {
        for (label, failure) in failures {
            scope.spawn(move || {
                let Some(host) = node::host() else { return };
                let server = Realistic::knowing("", 1).when(over_tcp, failure).always(Manner::Cuts);
                let _server = server.start(host.net(), hops::port(PRIVATE));
                let node = Node::start(&host, &[PRIVATE], "");
                assert_told(label, &each_its_own(&node, "www", 5), 5);
                assert_told(label, &pipelined(&node, "line", 5), 5);
            });
        }
        scope.spawn(|| {
            let Some(host) = node::host() else { return };
            let _server = long().start_without_tcp(host.net(), hops::port(PRIVATE));
            let node = Node::start(&host, &[PRIVATE], "");
            assert_told("port closed", &each_its_own(&node, "www", 5), 5);
            // And one over UDP comes to know that the answer is long.
            let (answer, took) = node.ask("udp.shop.example");
            assert!(answer.has(flags::TC) && took < wait::millis(500), "{}", show(&answer, took));
            assert_told("port closed, after one over UDP", &each_its_own(&node, "udp.", 1), 1);
        });
    });
}

/// A server whose datagrams hold what fits, and say that there is more.
fn what_fits(seen: &onward_tests::upstream::Seen) -> Vec<u8> {
    let mut message = seen.address([192, 0, 2, 1], 60);
    if seen.transport == Transport::Udp {
        message[2] |= flags::TC.to_be_bytes()[0];
    }
    message
}

#[test]
fn where_only_tcp_is_silent_a_client_over_udp_gets_what_udp_had() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1)
        .when(over_tcp, Manner::Silent)
        .when(names(&["part.example"]), Manner::Makes(what_fits))
        .always(Manner::Cuts);
    let server = server.start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    for name in ["www.part.example", "www.none.example"] {
        for edns in [true, false] {
            let query = Query::new(&format!("{edns}.{name}"), types::A);
            let begun = Instant::now();
            let answer = node.client().udp(&if edns { query.edns(1232) } else { query });
            let took = begun.elapsed();
            assert_eq!(
                (answer.rcode(), answer.has(flags::TC)),
                (rcode::NOERROR, true),
                "{name}: {}",
                show(&answer, took)
            );
            assert!(took < BUDGET, "{name}: {took:?}");
        }
    }
    assert!(server.all().iter().any(over_tcp), "it was asked over TCP");
}

#[test]
fn a_stream_that_fell_silent_is_not_waited_for_by_each_question_anew() {
    let Some(host) = node::host() else { return };
    let outage = Switch::off();
    let silent = outage.is_on();
    let server = long().when(move |seen| over_tcp(seen) && silent(seen), Manner::Silent);
    let _server = server.start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    assert_whole("before", &each_its_own(&node, "before", 3), 3);
    outage.turn(true);
    assert_told("while it is silent", &each_its_own(&node, "silent", 10), 10);
    outage.turn(false);
    // What hangs on the old connection is not the next one's trouble.
    let back = wait::until(wait::seconds(5), || {
        let answers = each_its_own(&node, &format!("after{:?}-", Instant::now().elapsed().as_nanos()), 1);
        (answers[0].0.addresses() == [address(1)]).then_some(())
    });
    assert!(back.is_some(), "{}", node.onward.output());
}
