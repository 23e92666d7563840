//! Upstreams that fail, lie or are late, each played by a script: who is asked next, how soon, and what is believed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use onward_tests::dns::{Answer, rcode};
use onward_tests::lab::{CLOSED, Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, wait};

/// The time in which every client gets an answer, and a little for the test itself.
const BUDGET: Duration = wait::millis(1_900);

/// The address in every answer of the first upstream.
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The address in every answer of the second.
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Onward with two upstreams: the first follows the script, the second answers everything at once.
struct Duo {
    lab: Lab,
    first: Scripted,
    second: Scripted,
    _onward: Process,
}

impl Duo {
    fn new(first: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static) -> Option<Self> {
        Self::of(first, |seen| Reply::now(seen.address(SECOND.octets(), 60)))
    }

    fn of(
        first: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static,
        second: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Option<Self> {
        let lab = Lab::new()?;
        let first = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), first);
        let second = Scripted::start(lab.upstream.net(), Lab::upstream_address(1), second);
        let onward = onward::with_upstreams(&lab, &UPSTREAMS[..2]);
        Some(Self { lab, first, second, _onward: onward })
    }

    fn ask(&self, name: &str) -> Answer {
        let begun = Instant::now();
        let answer = self.lab.client().udp(&Query::new(name, types::A).edns(1232));
        assert!(begun.elapsed() < BUDGET, "{name} took {:?}", begun.elapsed());
        answer
    }
}

/// Answers with the address of the first upstream.
fn honest(seen: &Seen) -> Vec<Reply> {
    Reply::now(seen.address(FIRST.octets(), 60))
}

#[test]
fn the_first_upstream_is_asked_while_it_answers() {
    let Some(duo) = Duo::new(honest) else { return };
    for number in 0..20 {
        assert_eq!(duo.ask(&format!("name{number}.test")).addresses(), [FIRST]);
    }
    let strays = (0..20).filter(|number| duo.second.count(&format!("name{number}.test")) > 0).count();
    assert!(strays <= 2, "the second upstream saw {strays} of 20 questions");
}

#[test]
fn the_next_is_asked_when_one_fails() {
    let script = |seen: &Seen| match seen.name().split('.').next() {
        Some("silent") => Reply::silence(),
        Some("broken") => Reply::now(seen.code(rcode::SERVFAIL)),
        Some("refused") => Reply::now(seen.code(rcode::REFUSED)),
        Some("notimp") => Reply::now(seen.code(rcode::NOTIMP)),
        _ => honest(seen),
    };
    let Some(duo) = Duo::new(script) else { return };
    for failure in ["silent", "broken", "refused", "notimp"] {
        assert_eq!(duo.ask(&format!("{failure}.test")).addresses(), [SECOND], "{failure}");
        assert!(duo.first.count(&format!("{failure}.test")) >= 1, "{failure}: the first was asked first");
    }
}

#[test]
fn a_closed_port_costs_no_time() {
    let Some(lab) = Lab::new() else { return };
    let _second = Scripted::start(lab.upstream.net(), Lab::upstream_address(1), honest);
    let _onward = onward::with_upstreams(&lab, &[CLOSED, UPSTREAMS[1]]);
    let begun = Instant::now();
    assert_eq!(lab.client().addresses("closed.test").len(), 1);
    assert!(begun.elapsed() < wait::millis(500), "{:?}", begun.elapsed());
}

#[test]
fn without_any_answer_the_client_is_told_in_time() {
    let Some(duo) = Duo::of(|_| Reply::silence(), |_| Reply::silence()) else { return };
    let answer = duo.ask("dead.test");
    assert_eq!(answer.rcode(), rcode::SERVFAIL);
    assert_eq!(answer.extended_errors(), [22], "no reachable authority (RFC 8914 section 4.23)");
}

#[test]
fn a_failure_that_tells_why_is_an_answer() {
    // Bogus DNSSEC, and a name that the operator blocks.
    let script = |seen: &Seen| match seen.name().as_str() {
        "bogus.test" => Reply::now(seen.failure(6)),
        "blocked.test" => Reply::now(seen.failure(15)),
        "overloaded.test" => Reply::now(seen.failure(23)),
        _ => honest(seen),
    };
    let Some(duo) = Duo::new(script) else { return };
    for (name, code) in [("bogus.test", 6), ("blocked.test", 15)] {
        let answer = duo.ask(name);
        assert_eq!((answer.rcode(), answer.extended_errors()), (rcode::SERVFAIL, vec![code]), "{name}");
        assert_eq!(duo.second.count(name), 0, "{name}");
    }
    assert_eq!(duo.ask("overloaded.test").addresses(), [SECOND], "any other SERVFAIL is a failure");
}

#[test]
fn a_negative_answer_of_a_later_server_waits_for_an_earlier_one() {
    // The first is a private server, which is slow for once; the second does not know its names.
    let first = |seen: &Seen| match seen.name().as_str() {
        "private.test" => Reply::after(wait::millis(100), seen.address(FIRST.octets(), 60)),
        _ => honest(seen),
    };
    let second = |seen: &Seen| Reply::now(seen.negative(rcode::NXDOMAIN, 60));
    let Some(lab) = Lab::new() else { return };
    let _first = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), first);
    let _second = Scripted::start(lab.upstream.net(), Lab::upstream_address(1), second);
    let servers = format!("servers = [\"{}\", \"{}\"]", UPSTREAMS[0], UPSTREAMS[1]);
    lab.node.write(onward::CONFIGURATION, &format!("[upstreams]\n{servers}\nequivalent = false\n"));
    let _onward = onward::start(&lab.node, NODE, &[]);
    // It has learnt that the first is usually quick.
    (0..5).for_each(|number| drop(lab.client().addresses(&format!("warm{number}.test"))));
    let answer = lab.client().udp(&Query::new("private.test", types::A));
    assert_eq!(answer.addresses(), [FIRST], "response code {}", answer.rcode());
}

#[test]
fn wrong_answers_are_ignored_and_the_right_one_is_awaited() {
    let script = |seen: &Seen| {
        let right = seen.address(FIRST.octets(), 60);
        let forged = seen.address([203, 0, 113, 66], 60);
        let wrong = match seen.name().split('.').next() {
            Some("id") => Reply::now([&[!forged[0], forged[1]], &forged[2..]].concat()),
            Some("question") => {
                let mut other = forged;
                other[13] = if other[13].eq_ignore_ascii_case(&b'x') { b'y' } else { b'x' };
                Reply::now(other)
            }
            Some("query") => Reply::now(seen.query.0.clone()),
            Some("source") => {
                vec![Reply { after: Duration::ZERO, message: forged, elsewhere: true, drops_rest: false }]
            }
            Some("garbage") => Reply::now(vec![seen.query.0[0], seen.query.0[1], 0x81]),
            _ => Reply::silence(),
        };
        [wrong, Reply::after(wait::millis(50), right)].concat()
    };
    let Some(duo) = Duo::new(script) else { return };
    for lie in ["id", "question", "query", "source", "garbage"] {
        assert_eq!(duo.ask(&format!("{lie}.test")).addresses(), [FIRST], "{lie}");
        assert_eq!(duo.ask(&format!("{lie}.test")).addresses(), [FIRST], "{lie}, cached");
    }
}

#[test]
fn a_slow_name_resolves_at_the_second_try() {
    let slow = |seen: &Seen| Reply::after(wait::millis(2_200), seen.address(FIRST.octets(), 60));
    let Some(duo) = Duo::of(slow, slow) else { return };
    let begun = Instant::now();
    assert_eq!(duo.ask("slow.test").rcode(), rcode::SERVFAIL);
    std::thread::sleep(wait::millis(2_600).saturating_sub(begun.elapsed()));
    let begun = Instant::now();
    assert_eq!(duo.ask("slow.test").addresses(), [FIRST]);
    assert!(begun.elapsed() < wait::millis(300), "the first exchange outlived its client, so nobody is asked again");
}

#[test]
fn two_hundred_identical_questions_are_asked_once() {
    let script = |seen: &Seen| Reply::after(wait::millis(100), seen.address(FIRST.octets(), 60));
    let Some(lab) = Lab::new() else { return };
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let _onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let client = lab.client();
    // What an upstream bears that was never asked is found out by plainer copies.
    assert_eq!(client.udp(&Query::new("first.test", types::A)).addresses(), [FIRST]);
    let sockets: Vec<_> = (0..200_u16).map(|id| (id, client.socket())).collect();
    for (id, socket) in &sockets {
        socket.send(&Query::new("popular.test", types::A).id(*id).bytes()).unwrap();
    }
    for (id, socket) in &sockets {
        let answer = onward_tests::dns::receive(socket).unwrap_or_else(|| panic!("an answer to query {id}"));
        assert_eq!((answer.id(), answer.addresses()), (*id, vec![FIRST]));
    }
    assert_eq!(asks(&upstream, "popular.test"), 1);
}

/// How often it was asked for a name; the same datagram sent again is the same ask.
fn asks(upstream: &Scripted, name: &str) -> usize {
    let seen = upstream.seen(name);
    seen.iter().map(|seen| (seen.peer, seen.query.id())).collect::<std::collections::HashSet<_>>().len()
}

#[test]
fn each_query_upstream_has_an_id_and_a_port_of_its_own() {
    let Some(duo) = Duo::new(honest) else { return };
    (0..40).for_each(|number| drop(duo.ask(&format!("id{number}.test"))));
    let ids: std::collections::HashSet<u16> =
        (0..40).flat_map(|number| duo.first.seen(&format!("id{number}.test"))).map(|seen| seen.query.id()).collect();
    let ports: std::collections::HashSet<_> =
        (0..40).flat_map(|number| duo.first.seen(&format!("id{number}.test"))).map(|seen| seen.peer.port()).collect();
    assert!(ids.len() >= 38, "{} different IDs of 40", ids.len());
    assert!(ports.len() >= 8, "{} different ports of 40", ports.len());
}
