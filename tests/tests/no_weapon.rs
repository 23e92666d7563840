//! What strangers can do to the loop guard: nothing that matters. Each test is named after its attack.

use std::net::{Ipv4Addr, SocketAddr};

use onward_tests::dns::{Client, rcode, receive};
use onward_tests::hops::{self, BEYOND, GOOD, HOPS, NODE};
use onward_tests::host::Host;
use onward_tests::process::Process;
use onward_tests::query::{Query, flags, types};
use onward_tests::upstream::{Reply, Scripted, Seen, record};
use onward_tests::{can_run, onward, wait};

/// The option that carries the tag.
const TAG: u16 = 65_353;

fn start(host: &Host, upstreams: &[&str]) -> Process {
    let mut arguments = vec!["--listen", NODE, "--log-level", "debug"];
    upstreams.iter().for_each(|upstream| arguments.extend(["--upstream", upstream]));
    onward::start(host, NODE, &arguments)
}

/// What Onward told of upstreams that it takes for loops.
fn verdicts(onward: &Process) -> Vec<String> {
    let output = onward.output();
    output
        .lines()
        .filter(|line| line.contains("back to us over") && !line.contains(" may send "))
        .map(str::to_owned)
        .collect()
}

/// The root's server: evil.example is served by us, it says; the rest it knows itself.
fn root(seen: &Seen) -> Vec<Reply> {
    let delegation = |zone: &str, server: &str, address: &str| {
        let server = onward_tests::query::name(server);
        let address: Ipv4Addr = address.parse().unwrap();
        let zone = onward_tests::query::name(zone);
        [record(&zone, types::NS, 300, &server), record(&server, types::A, 300, &address.octets())].concat()
    };
    let mut message = match seen.name().as_str() {
        "" => [seen.header(0, [1, 0, 1]), delegation("", "ns.root.example", BEYOND)].concat(),
        "ns.root.example" => seen.address(BEYOND.parse::<Ipv4Addr>().unwrap().octets(), 300),
        name if name.ends_with("evil.example") => {
            [seen.header(0, [0, 1, 1]), delegation("evil.example", "ns.evil.example", NODE)].concat()
        }
        _ => seen.address([192, 0, 2, 1], 60),
    };
    // AA where it knows, and never RA.
    if message[7] > 0 {
        message[2] |= 0x04;
    }
    message[3] &= !0x80;
    Reply::now(message)
}

/// Unbound that iterates, from that root.
fn iterating(host: &Host) -> Process {
    let lines = format!("    qname-minimisation: no\nstub-zone:\n    name: .\n    stub-addr: {BEYOND}\n");
    hops::unbound_with(host, HOPS[0], &lines)
}

/// Whoever owns a zone can name this node as its name server: resolvers that iterate then bring us our own questions.
#[test]
fn a_zone_whose_name_server_is_the_node() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let root = Scripted::start(host.net(), hops::port(BEYOND), root);
    let _unbound = iterating(&host);
    let onward = start(&host, &[HOPS[0]]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    let ask = |name: &str| client.exchange(&Query::new(name, types::A).edns(1232).bytes(), wait::seconds(4));
    for number in 0..8 {
        let attack = ask(&format!("www{number}.evil.example")).expect("an answer");
        assert_eq!(attack.rcode(), rcode::SERVFAIL);
        let other = ask(&format!("www{number}.corp.example")).expect("an answer");
        assert_eq!(
            other.addresses(),
            [Ipv4Addr::new(192, 0, 2, 1)],
            "a healthy upstream stays in use: {other:?}\n{}",
            onward.output()
        );
    }
    assert!(root.count("www0.evil.example") > 0, "unbound iterates");
    // At most the attacker's own names are affected.
    let verdicts = verdicts(&onward);
    assert!(verdicts.iter().all(|line| line.contains("evil.example")), "{verdicts:?}");
    println!("{} verdicts, all about the attacker's zone", verdicts.len());
}

#[test]
fn a_client_that_provokes_formerr_does_not_switch_the_tag_off() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let script = |seen: &Seen| match seen.name().starts_with("formerr") {
        true => Reply::now(seen.code(rcode::FORMERR)),
        false => Reply::now(hops::answer(seen, 1)),
    };
    let upstream = Scripted::start(host.net(), hops::port(GOOD), script);
    let onward = start(&host, &[GOOD]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    for number in 0..40 {
        let query = Query::new(&format!("formerr{number}.corp.example"), types::A).option(65_001, &[number; 24]);
        assert!(client.try_udp(&query).is_some());
        let _ =
            client.exchange(&Query::new("formerr.corp.example", types::A).edns_version(1).bytes(), wait::millis(300));
    }
    let name = "after.shop.corp.example";
    assert_eq!(client.addresses(name).len(), 1);
    let seen = upstream.seen(name);
    let tagged = seen.iter().any(|seen| seen.query.0.windows(2).any(|two| two == TAG.to_be_bytes()));
    assert!(tagged, "the tag goes on being sent:\n{}", onward.output());
    assert!(!onward.output().contains("does not bear"), "{}", onward.output());
}

/// One who sees what we send can send it back: to us, with any source address, as often as he likes.
#[test]
fn a_server_that_replays_the_spelling_and_the_tag_that_it_saw() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let replaying = host.net().udp(SocketAddr::new(GOOD.parse().unwrap(), 0));
    let script = move |seen: &Seen| {
        let _ = replaying.send_to(&seen.query.0, hops::port(NODE));
        Reply::after(wait::millis(5), hops::answer(seen, 1))
    };
    let upstream = Scripted::start(host.net(), hops::port(GOOD), script);
    let onward = start(&host, &[GOOD]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    for number in 0..200 {
        let name = format!("www{number}.attacked.corp.example");
        let answer = client.udp(&Query::new(&name, types::A).edns(1232));
        assert_eq!(answer.addresses(), [Ipv4Addr::new(192, 0, 2, 1)], "{name}\n{}", onward.output());
    }
    assert_eq!(verdicts(&onward), [""; 0], "its own answers acquit it");
    let probes = upstream.count_of_probes();
    println!("200 replays provoked {probes} probes");
    assert!(probes <= 20, "{probes} probes");
}

/// Some servers send every option back that they were sent.
#[test]
fn answers_to_clients_never_carry_marks() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let echoing = |seen: &Seen| {
        let mut answer = hops::answer(seen, 1);
        let end = 12 + seen.query.0[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let without_opt = answer.len() - if seen.query.0[11] > 0 { 11 } else { 0 };
        answer.truncate(without_opt);
        answer.extend(&seen.query.0[end..]);
        Reply::now(answer)
    };
    let upstream = Scripted::start(host.net(), hops::port(GOOD), echoing);
    let _onward = start(&host, &[GOOD]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    for name in ["wWw.marks.corp.example", "www.marks.corp.example", "other.marks.corp.example"] {
        let answer = client.udp(&Query::new(name, types::A).option(TAG, &[1; 18]));
        assert_eq!(answer.addresses().len(), 1);
        assert_eq!(answer.asked(), name, "its own spelling");
        assert!(answer.options().iter().all(|(code, _)| *code != TAG), "{:?}", answer.options());
    }
    let seen = upstream.seen("other.marks.corp.example");
    assert!(
        seen.iter().any(|seen| seen.query.0.windows(2).any(|two| two == TAG.to_be_bytes())),
        "it was there to echo"
    );
}

/// A hint is no proof: who asks with DO for what is in flight, by chance or on purpose in our spelling, waits 50 ms for
/// it.
#[test]
fn a_false_hint_costs_fifty_milliseconds_and_no_refusal() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let asking = host.net().udp(SocketAddr::new(GOOD.parse().unwrap(), 0));
    asking.set_read_timeout(Some(wait::seconds(3))).unwrap();
    let (replaying, seen_before) = (asking.try_clone().unwrap(), std::sync::Mutex::new(Vec::new()));
    let script = move |seen: &Seen| {
        let mut seen_before = seen_before.lock().unwrap();
        if seen.name().starts_with("www") && !seen_before.contains(&seen.name()) {
            seen_before.push(seen.name());
            let spelled = Query::new(&seen.query.asked(), types::A).dnssec_ok();
            let _ = replaying.send_to(&spelled.bytes(), hops::port(NODE));
        }
        Reply::after(wait::millis(5), hops::answer(seen, 1))
    };
    let upstream = Scripted::start(host.net(), hops::port(GOOD), script);
    let onward = start(&host, &[GOOD]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    for number in 0..20 {
        let (name, begun) = (format!("www{number}.hint.example"), std::time::Instant::now());
        assert_eq!(client.udp(&Query::new(&name, types::A)).addresses().len(), 1, "{}", onward.output());
        let answer = receive(&asking).expect("an answer");
        assert_eq!(answer.rcode(), rcode::NOERROR, "{name} after {:?}\n{}", begun.elapsed(), onward.output());
        assert!(begun.elapsed() < wait::millis(250), "{:?}", begun.elapsed());
        assert!(upstream.count(&name) >= 2, "the second question was asked, too");
    }
    assert_eq!(verdicts(&onward), [""; 0]);
}

/// Were suspicion or a source address enough to ask another, names of the company would go to a server of the world.
#[test]
fn suspicion_and_spoofed_sources_do_not_move_internal_names_to_a_public_server() {
    if !can_run() {
        return;
    }
    const PUBLIC: &str = "203.0.113.53";
    let host = hops::host(&[PUBLIC]);
    let replaying = host.net().udp(SocketAddr::new(HOPS[0].parse().unwrap(), 0));
    let internal = move |seen: &Seen| {
        if seen.name().contains("replayed") {
            let _ = replaying.send_to(&seen.query.0, hops::port(NODE));
        }
        Reply::after(wait::millis(60), hops::answer(seen, 1))
    };
    let _internal = Scripted::start(host.net(), hops::port(HOPS[0]), internal);
    let public = Scripted::start(host.net(), hops::port(PUBLIC), |seen| Reply::now(seen.negative(3, 60)));
    let onward = start(&host, &[HOPS[0], PUBLIC]);
    // A client whose packets say that they are from the upstream: the same on the wire as a forged source, or
    // masquerade.
    let spoofed = host.net().udp(SocketAddr::new(HOPS[0].parse().unwrap(), 0));
    spoofed.set_read_timeout(Some(wait::seconds(3))).unwrap();
    let client = Client::new(host.net(), NODE.parse().unwrap());
    for number in 0..40 {
        let name = format!("db{number}.corp.internal");
        spoofed.send_to(&Query::new(&name, types::A).bytes(), hops::port(NODE)).unwrap();
        let answer = receive(&spoofed).expect("an answer");
        assert_eq!(answer.addresses(), [Ipv4Addr::new(192, 0, 2, 1)], "{name}");
        assert_eq!(public.count(&name), 0, "{name} went out");
        // Replayed marks have one lookup go on at once, as a lost packet would; what the internal server says still
        // holds.
        let replayed = client.addresses(&format!("replayed{number}.corp.internal"));
        assert_eq!(replayed, [Ipv4Addr::new(192, 0, 2, 1)], "{}", onward.output());
    }
    assert_eq!(client.addresses("after.corp.internal"), [Ipv4Addr::new(192, 0, 2, 1)]);
    assert_eq!(public.count("after.corp.internal"), 0, "and the order stays as it was");
    assert_eq!(verdicts(&onward), [""; 0]);
}

/// Every question to each of three upstreams is replayed, each for a zone of its own, for ten seconds.
#[test]
fn probes_provoked_without_bound() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let tap = onward_tests::tap::Tap::start(host.net());
    let addresses = [HOPS[0], HOPS[1], GOOD];
    let servers = addresses.map(|address| {
        let replaying = host.net().udp(SocketAddr::new(address.parse().unwrap(), 0));
        Scripted::start(host.net(), hops::port(address), move |seen| {
            let _ = replaying.send_to(&seen.query.0, hops::port(NODE));
            Reply::after(wait::millis(5), hops::answer(seen, 1))
        })
    });
    let begun = std::time::Instant::now();
    let onward = start(&host, &addresses);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    let mut asked = 0;
    while begun.elapsed() < wait::seconds(10) {
        asked += 1;
        let name = format!("www.zone{asked}.attacked.example");
        assert_eq!(client.udp(&Query::new(&name, types::A)).addresses().len(), 1, "{}", onward.output());
    }
    let probes: usize = servers.iter().map(Scripted::count_of_probes).sum();
    let replays = asked * addresses.len();
    println!("{replays} replays in ten seconds provoked {probes} probes of three upstreams");
    // Each: two at start; three of the root in ten seconds, since each is acquitted; three under a parent.
    assert!(probes <= 3 * (2 + 3 + 3), "{probes} probes");
    let mut sent: Vec<_> = tap
        .since(begun)
        .into_iter()
        .filter(|one| !one.answer && one.name.starts_with("probe.") && one.to.ip().to_string() != NODE)
        .collect();
    sent.sort_by_key(|one| one.at);
    assert!(sent.windows(11).all(|eleven| eleven[10].at - eleven[0].at >= wait::millis(950)), "ten a second at most");
    assert_eq!(verdicts(&onward), [""; 0]);
}

/// Nonces that were guessed, and lists of entries that were made up.
#[test]
fn guessed_nonces_and_forged_entries() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let upstream = hops::server(&host, GOOD, 1);
    let onward = start(&host, &[GOOD]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    for number in 0..200_u8 {
        let nonce = format!("probe.{:032x}", u128::from(number) << 64 | 0x1234_5678_9abc_def0);
        let guessed = client.udp(&Query::new(&nonce, types::A).edns(1232));
        assert_eq!(guessed.rcode(), rcode::NOERROR, "a probe that is not ours is a question like any other");
        let forged = Query::new(&format!("www{number}.shop.corp.example"), types::A).option(TAG, &[number; 160]);
        assert_eq!(client.udp(&forged).addresses().len(), 1);
        let plain = client.udp(&Query::new(&nonce, types::A).flags(flags::RD).edns(1232));
        assert_eq!(plain.rcode(), rcode::NOERROR);
    }
    let relayed = upstream.seen("www7.shop.corp.example");
    assert!(
        relayed.iter().all(|seen| !seen.query.0.windows(64).any(|part| part == [7; 64])),
        "unknown marks go no further"
    );
    assert_eq!(verdicts(&onward), [""; 0]);
}
