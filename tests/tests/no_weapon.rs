//! What strangers and ordinary clients can do to the loop guard: nothing that matters. Each test is named after its attack,
//! or after what looks like a loop and is none.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use onward_tests::dns::{Client, rcode, receive};
use onward_tests::hops::{self, BEYOND, GOOD, HOPS, Hop, Kind, NODE};
use onward_tests::host::Host;
use onward_tests::process::Process;
use onward_tests::query::{Query, flags, types};
use onward_tests::relay::Relay;
use onward_tests::upstream::{Reply, Scripted, Seen, record};
use onward_tests::{can_run, onward, servers, wait};

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

/// Sends all queries at a steady pace over one socket, and counts the response codes that come back.
fn flood(host: &Host, queries: &[Vec<u8>], pace: Duration) -> HashMap<u16, usize> {
    let socket = Client::new(host.net(), NODE.parse().unwrap()).socket();
    socket.set_read_timeout(Some(wait::millis(2_500))).unwrap();
    let receiving = socket.try_clone().unwrap();
    let codes = std::thread::spawn(move || {
        let mut codes = HashMap::new();
        while let Some(answer) = receive(&receiving) {
            *codes.entry(answer.rcode()).or_default() += 1;
        }
        codes
    });
    for (number, query) in queries.iter().enumerate() {
        let _ = socket.send(query);
        if number % 8 == 7 {
            std::thread::sleep(pace * 8);
        }
    }
    codes.join().unwrap()
}

/// A name in a spelling that depends on a number.
fn spelled(name: &str, mut seed: u64) -> String {
    let letter = |letter: char| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if seed >> 63 == 1 { letter.to_ascii_uppercase() } else { letter }
    };
    name.chars().map(letter).collect()
}

fn id(number: usize) -> u16 {
    u16::try_from(number % 65_536).unwrap()
}

/// 0x20, all lower case, all upper case, the same datagram twice, the same question from many, names without letters.
#[test]
fn twenty_thousand_ordinary_queries_bring_no_verdict_and_no_refusal() {
    if !can_run() {
        return;
    }
    for kind in [Kind::Dnsmasq, Kind::Unbound] {
        let host = hops::host(&[]);
        let _servers = [hops::server(&host, BEYOND, 1), hops::server(&host, GOOD, 2)];
        let hop = Hop::start(&host, kind, BEYOND);
        let onward = start(&host, &[kind.address(), GOOD]);
        let query = |number: usize| {
            let name = format!("www{}.shop.corp.example", number / 3);
            let query = match number % 10 {
                0..3 => Query::new(&spelled(&name, number as u64), types::A),
                3 => Query::new(&name.to_ascii_uppercase(), types::A),
                4 => Query::new(&format!("{}.in-addr.arpa", number / 4), 12),
                5 => Query::new("", types::NS),
                6 => Query::new(&format!("{}", number / 4), types::A),
                7 => Query::new(&spelled(&name, number as u64), types::A).dnssec_ok(),
                8 => Query::new("popular.shop.corp.example", types::A).edns(1232),
                _ => Query::new(&name, types::A).edns(1232),
            };
            query.id(id(number)).bytes()
        };
        // Each third is sent again at once, as the same datagram.
        let twice = |number: usize| vec![query(number); if number.is_multiple_of(3) { 2 } else { 1 }];
        let queries: Vec<_> = (0..7_500).flat_map(twice).collect();
        let codes = flood(&host, &queries, wait::millis(1) / 3);
        let suspicions = onward.output().matches("may send").count();
        println!("{kind:?}: {} queries, answers by code {codes:?}, {suspicions} suspicions told", queries.len());
        assert_eq!(verdicts(&onward), [""; 0]);
        let answered: usize = codes.values().sum();
        assert!(answered * 1_000 >= queries.len() * 995, "{answered} answers to {} queries", queries.len());
        assert_eq!(codes.get(&rcode::REFUSED), None);
        assert_eq!(codes.get(&rcode::SERVFAIL), None, "{}", hop.output());
    }
}

#[test]
fn a_thousand_clients_that_ask_the_same_at_once_are_no_loop() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let slow = |seen: &Seen| Reply::after(wait::millis(300), hops::answer(seen, 1));
    let _servers = [Scripted::start(host.net(), hops::port(HOPS[0]), slow), hops::server(&host, GOOD, 2)];
    let onward = start(&host, &[HOPS[0], GOOD]);
    let sockets: Vec<UdpSocket> = (0..1_000).map(|_| Client::new(host.net(), NODE.parse().unwrap()).socket()).collect();
    for round in 0..3 {
        let name = format!("popular{round}.shop.corp.example");
        for (number, socket) in sockets.iter().enumerate() {
            let name = if number % 2 == 0 { spelled(&name, number as u64) } else { name.clone() };
            socket.send(&Query::new(&name, types::A).id(id(number)).bytes()).unwrap();
        }
        let answered = sockets.iter().filter_map(receive).filter(|answer| answer.rcode() == rcode::NOERROR).count();
        assert_eq!(answered, 1_000);
    }
    assert_eq!(verdicts(&onward), [""; 0]);
}

#[test]
fn packets_that_the_network_doubles_are_no_loop() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let twice = |seen: &Seen| [Reply::now(hops::answer(seen, 1)), Reply::now(hops::answer(seen, 1))].concat();
    let _servers = [Scripted::start(host.net(), hops::port(BEYOND), twice), hops::server(&host, GOOD, 2)];
    let _relay = Relay::start(host.net(), hops::port(HOPS[0]), hops::port(BEYOND), 3);
    let onward = start(&host, &[HOPS[0], GOOD]);
    let query =
        |number: usize| Query::new(&format!("www{}.shop.corp.example", number / 2), types::A).id(id(number / 2));
    let queries: Vec<_> = (0..2_000).map(|number| query(number).bytes()).collect();
    let codes = flood(&host, &queries, wait::millis(1));
    assert_eq!(codes, HashMap::from([(rcode::NOERROR, 2_000)]), "{}", onward.output());
    assert_eq!(verdicts(&onward), [""; 0]);
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
    let server = servers::unbound_server(HOPS[0], &host.path("/").display().to_string());
    let text = format!(
        "{server}    module-config: \"iterator\"
    qname-minimisation: no
stub-zone:
    name: .
    stub-addr: {BEYOND}
"
    );
    host.write("/unbound.conf", &text);
    let mut unbound = host.start(&["unbound", "-d", "-c", &host.path("/unbound.conf").display().to_string()]);
    servers::answers(host, HOPS[0], "localhost", &mut unbound);
    unbound
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
    assert!(seen.iter().any(|seen| seen.query.asked() != name), "and so does the spelling");
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
