//! Answers near their end and behind it: how often a popular one is asked for again, what a refresh may replace, and
//! how long a stale one is given (issue 11, group E).

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use onward_tests::dns::rcode;
use onward_tests::hops;
use onward_tests::node::{self, Node, OTHER, PRIVATE, address};
use onward_tests::query::{Query, types};
use onward_tests::realistic::{Manner, Realistic, Switch, both, names};
use onward_tests::upstream::Scripted;
use onward_tests::wait;

/// Asks for a name as fast as one client can, until `end`; what was given, in the order in which it changed, and how
/// many questions there were.
fn asked_hotly(node: &Node<'_>, name: &str, end: Instant) -> (Vec<Vec<Ipv4Addr>>, usize) {
    let socket = node.client().socket();
    let query = Query::new(name, types::A).bytes();
    let (mut given, mut asked): (Vec<Vec<Ipv4Addr>>, usize) = (Vec::new(), 0);
    while Instant::now() < end {
        socket.send(&query).unwrap();
        let Some(answer) = onward_tests::dns::receive(&socket) else { panic!("{name}: no answer") };
        asked += 1;
        if given.last() != Some(&answer.addresses()) {
            given.push(answer.addresses());
        }
    }
    (given, asked)
}

/// At most one refresh for each lifetime, and one question where a lifetime ends without.
#[test]
fn a_hot_name_is_refreshed_once_in_its_lifetime_at_most() {
    const PLAYED: u32 = 5;
    std::thread::scope(|scope| {
        for ttl in [1, 2, 3] {
            scope.spawn(move || {
                let Some(host) = node::host() else { return };
                let server = Realistic::knowing("", 1).always(Manner::Ttl(ttl));
                // Late, so that hits go on coming while a refresh is under way.
                let server = server.always(Manner::Late(wait::millis(20))).start(host.net(), hops::port(PRIVATE));
                let node = Node::start(&host, &[PRIVATE], "");
                let end = Instant::now() + Duration::from_secs(PLAYED.into());
                let (given, asked) = asked_hotly(&node, "hot.example", end);
                assert_eq!(given, [[address(1)]], "of {asked} answers");
                let (upstream, most) = (server.count("hot.example"), usize::try_from(2 * (PLAYED / ttl + 1)).unwrap());
                println!("TTL {ttl}: {upstream} questions upstream for {asked} of a client in {PLAYED} s");
                assert!(upstream <= most, "TTL {ttl}: {upstream} questions upstream in {PLAYED} s, of {asked}");
            });
        }
    });
}

/// The rest that a cache gives is as short as what is left here: a refresh brings nothing, and is not tried again.
#[test]
fn hot_names_behind_a_cache_make_no_burst_at_their_end() {
    const FROM: u32 = 4;
    const PERIODS: usize = 2;
    let Some(host) = node::host() else { return };
    let server =
        Realistic::knowing("", 1).always(Manner::CountsDown { from: FROM }).start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    let end = Instant::now() + Duration::from_secs(u64::from(FROM)) * 2 + wait::millis(300);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let node = &node;
            scope.spawn(move || asked_hotly(node, &format!("hot{number}.example"), end));
        }
    });
    for number in 0..4 {
        let upstream = server.count(&format!("hot{number}.example"));
        // A lifetime that the cache has begun before us ends with a rest of a second or less, which is one of its own.
        let most = (PERIODS + 1) * 3;
        assert!(upstream <= most, "hot{number}: {upstream} questions upstream in two lifetimes");
    }
}

#[test]
fn a_refresh_that_brings_nothing_to_keep_is_not_repeated() {
    let brings = [
        ("SERVFAIL", Manner::Says(rcode::SERVFAIL)),
        ("REFUSED", Manner::Says(rcode::REFUSED)),
        ("silence", Manner::Silent),
        ("a header alone", Manner::HeaderOnly(rcode::SERVFAIL)),
        ("the rest of the old", Manner::CountsDown { from: LIFE }),
    ];
    std::thread::scope(|scope| {
        for (label, manner) in brings {
            scope.spawn(move || {
                let Some(host) = node::host() else { return };
                let later = Switch::off();
                let server =
                    Realistic::knowing("", 1).when(later.is_on(), manner).always(Manner::Has([192, 0, 2, 1], LIFE));
                let server = server.start(host.net(), hops::port(PRIVATE));
                let node = Node::start(&host, &[PRIVATE], "");
                let born = Instant::now();
                assert_eq!(node.ask("hot.example").0.addresses(), [address(1)]);
                later.turn(true);
                // A cache between has had it since then as well.
                let other = onward_tests::dns::Client::new(host.net(), PRIVATE.parse().unwrap());
                let _ = other.exchange(&Query::new("hot.example", types::A).bytes(), wait::millis(50));
                let before = server.count("hot.example");
                let (_, asked) =
                    asked_gently(&node, "hot.example", born, Duration::from_secs(LIFE.into()) - wait::millis(300));
                let refreshes = server.count("hot.example") - before;
                // A query that is not answered is sent again, which is no other refresh; and whether the server is down
                // is found out by health probes for a name that it has answered before.
                let most = if label == "silence" { 6 } else { 2 };
                println!("{label}: {refreshes} questions upstream for {asked} of a client");
                assert!(refreshes <= most, "{label}: {refreshes} questions upstream before the answer's end");
            });
        }
    });
}

/// The lifetime of answers here: long enough to be worth a refresh.
const LIFE: u32 = 12;

/// Asks each 5 ms from the seventh tenth of a lifetime on, until `end` after its birth.
fn asked_gently(node: &Node<'_>, name: &str, born: Instant, end: Duration) -> (Vec<(Duration, u16)>, usize) {
    sleep((Duration::from_secs(LIFE.into()) * 7 / 10).saturating_sub(born.elapsed()));
    let (mut without, mut asked) = (Vec::new(), 0);
    while born.elapsed() < end {
        let (answer, _) = node.ask(name);
        asked += 1;
        if answer.addresses() != [address(1)] {
            without.push((born.elapsed(), answer.rcode()));
        }
        sleep(wait::millis(5));
    }
    (without, asked)
}

#[test]
fn a_refresh_that_fails_leaves_the_answer_and_the_stale_one() {
    let failures = [
        ("SERVFAIL", Manner::Says(rcode::SERVFAIL)),
        ("REFUSED", Manner::Says(rcode::REFUSED)),
        ("NOTIMP", Manner::Says(rcode::NOTIMP)),
        ("a header alone", Manner::HeaderOnly(rcode::SERVFAIL)),
        ("lame", Manner::Lame),
        ("silence", Manner::Silent),
    ];
    std::thread::scope(|scope| {
        for (label, manner) in failures {
            scope.spawn(move || {
                let Some(host) = node::host() else { return };
                let outage = Switch::off();
                let server =
                    Realistic::knowing("", 1).when(outage.is_on(), manner).always(Manner::Has([192, 0, 2, 1], LIFE));
                let _server = server.start(host.net(), hops::port(PRIVATE));
                let node = Node::start(&host, &[PRIVATE], "");
                let born = Instant::now();
                assert_eq!(node.ask("www.example").0.addresses(), [address(1)]);
                outage.turn(true);
                let end = Duration::from_secs(LIFE.into()) + wait::seconds(3);
                let (without, asked) = asked_gently(&node, "www.example", born, end);
                let first = without.first();
                assert!(
                    without.is_empty(),
                    "{label}: {} of {asked} without it, first at {first:?} of {LIFE} s",
                    without.len()
                );
            });
        }
    });
}

/// A name had an address for a second; then its owner says otherwise, in a form that may not be kept; then nobody
/// answers.
#[test]
fn a_removed_address_does_not_come_back_in_the_next_outage() {
    const NEW: Manner = Manner::Has([192, 0, 2, 99], 0);
    let Some(host) = node::host() else { return };
    let (newer, outage) = (Switch::off(), Switch::off());
    let truths: [(&[&'static str], Manner); 6] = [
        (&["zero.example"], NEW),
        (&["gone.example"], Manner::DeniesWithoutSoa(rcode::NXDOMAIN)),
        (&["none.example"], Manner::DeniesWithoutSoa(rcode::NOERROR)),
        (&["gone0.example"], Manner::Denies(0)),
        (&["none0.example"], Manner::HasNone(0)),
        (&["kept.example"], Manner::Denies(60)),
    ];
    let zones = truths.clone().map(|(zone, _)| zone[0]);
    let server = Realistic::knowing("", 1).when(outage.is_on(), Manner::Silent);
    let server =
        truths.into_iter().fold(server, |server, (zone, truth)| server.when(both(names(zone), newer.is_on()), truth));
    let _server = server.always(Manner::Has([192, 0, 2, 1], 1)).start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    let all: Vec<String> = zones.iter().map(|zone| format!("www.{zone}")).collect();
    for (answer, _) in node.ask_together(&all) {
        assert_eq!(answer.addresses(), [address(1)]);
    }
    newer.turn(true);
    // A second later nobody is told the older truth.
    sleep(wait::millis(1_200));
    for (name, (answer, _)) in all.iter().zip(node.ask_together(&all)) {
        assert!(!answer.addresses().contains(&address(1)), "{name}: {:?}", answer.addresses());
    }
    outage.turn(true);
    let mut back = Vec::new();
    for (name, (answer, took)) in all.iter().zip(node.ask_together(&all)) {
        if answer.addresses().contains(&address(1)) {
            back.push(format!("{name} after {took:?}"));
        }
    }
    assert_eq!(back, [""; 0], "RFC 8767, section 4:\n{}", node.onward.output());
}

/// What a refresh finds is the newer truth, kept or not.
#[test]
fn a_newer_truth_that_may_not_be_kept_is_told_once_a_refresh_has_found_it() {
    let truths = [
        ("TTL 0", Manner::Has([192, 0, 2, 99], 0)),
        ("NXDOMAIN without SOA", Manner::DeniesWithoutSoa(rcode::NXDOMAIN)),
        ("NODATA with minimum 0", Manner::HasNone(0)),
    ];
    std::thread::scope(|scope| {
        for (label, manner) in truths {
            scope.spawn(move || {
                let Some(host) = node::host() else { return };
                let newer = Switch::off();
                let server = Realistic::knowing("", 1).when(newer.is_on(), manner);
                let server = server.always(Manner::Has([192, 0, 2, 1], LIFE)).start(host.net(), hops::port(PRIVATE));
                let node = Node::start(&host, &[PRIVATE], "");
                let born = Instant::now();
                assert_eq!(node.ask("www.example").0.addresses(), [address(1)]);
                newer.turn(true);
                let end = Duration::from_secs(LIFE.into()) - wait::millis(300);
                let (newer, asked) = asked_gently(&node, "www.example", born, end);
                let refreshed = server.count("www.example") > 1;
                assert_eq!(!newer.is_empty(), refreshed, "{label}: {} of {asked} had the newer truth", newer.len());
                let Some((first, _)) = newer.first() else { return };
                let after = newer.len() * 100 / asked.max(1);
                println!("{label}: {after} % of answers are the newer truth, from {first:?} on");
                let (last, _) = newer.last().unwrap();
                assert!(*last > end - wait::millis(100), "{label}: the older one came back after {last:?}");
            });
        }
    });
}

#[test]
fn a_stale_answer_ends_soon_after_the_upstream_is_back() {
    let outages = [("silence", Manner::Silent), ("SERVFAIL", Manner::Says(rcode::SERVFAIL))];
    std::thread::scope(|scope| {
        for (label, manner) in outages {
            scope.spawn(move || {
                let Some(host) = node::host() else { return };
                let (outage, moved) = (Switch::off(), Switch::off());
                let server = Realistic::knowing("", 1)
                    .when(outage.is_on(), manner)
                    .when(moved.is_on(), Manner::Has([192, 0, 2, 2], 60))
                    .always(Manner::Ttl(1));
                let _server = server.start(host.net(), hops::port(PRIVATE));
                let node = Node::start(&host, &[PRIVATE], "");
                assert_eq!(node.ask("www.example").0.addresses(), [address(1)]);
                outage.turn(true);
                sleep(wait::millis(1_200));
                let (stale, took) = node.ask("www.example");
                assert_eq!(stale.addresses(), [address(1)], "{label}: stale, after {took:?}");
                sleep(wait::millis(500));
                moved.turn(true);
                outage.turn(false);
                let back = node.wait_for_address(|_| "www.example".to_owned(), 2, wait::seconds(8));
                assert!(back.is_some(), "{label}: 8 s after the outage its address is still the old one");
            });
        }
    });
}

#[test]
fn stale_answers_of_the_old_list_serve_where_the_new_one_is_dead() {
    const CLOSED: &str = hops::GOOD;
    let Some(host) = node::host() else { return };
    assert_eq!(CLOSED, PRIVATE, "no program listens there");
    let _old = Realistic::knowing("", 1).always(Manner::Ttl(1)).start(host.net(), hops::port(OTHER));
    let _silent = Scripted::start(host.net(), hops::port(hops::HOPS[0]), |_| Vec::new());
    for (label, dead) in [("closed", CLOSED), ("silent", hops::HOPS[0])] {
        let node = Node::start(&host, &[OTHER], "");
        assert_eq!(node.ask("www.example").0.addresses(), [address(1)]);
        node.reload(&[dead]);
        let mut node = node;
        node.onward.wait_for_line(&format!("asking {dead}:53"), wait::seconds(3));
        sleep(wait::millis(1_100));
        let (answer, took) = node.ask("www.example");
        assert_eq!(
            answer.addresses(),
            [address(1)],
            "{label}: rcode {} after {took:?}\n{}",
            answer.rcode(),
            node.onward.output()
        );
        assert!(took < wait::millis(1_950), "{label}: {took:?}");
    }
}
