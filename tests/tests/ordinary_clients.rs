//! Ordinary clients that look like loops and are none: a sea of queries of all kinds, a crowd that asks the same at
//! once, packets that the network doubles, clients behind masquerade that share an upstream's address. No verdict, no
//! refusal.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

use onward_tests::dns::{Client, rcode, receive};
use onward_tests::hops::{self, BEYOND, GOOD, HOPS, Hop, Kind, NODE};
use onward_tests::host::Host;
use onward_tests::lab::{Lab, UPSTREAMS};
use onward_tests::netns::cable;
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::relay::Relay;
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{can_run, onward, wait};

/// Queries that are asked through each hop; `ONWARD_QUERIES=1000000` for more.
const QUERIES: usize = 300_000;
/// Clients at once, and what each has under way: dnsmasq takes 150 at once.
const CLIENTS: usize = 4;
const UNDER_WAY: usize = 24;

fn start(host: &Host, upstreams: &[&str]) -> Process {
    let mut arguments = vec!["--listen", NODE, "--log-level", "debug"];
    upstreams.iter().for_each(|upstream| arguments.extend(["--upstream", upstream]));
    onward::start(host, NODE, &arguments)
}

/// What Onward told of upstreams that it takes for loops.
fn assert_no_verdict(onward: &Process) {
    let output = onward.output();
    let verdicts: Vec<_> =
        output.lines().filter(|line| line.contains("back to us over") && !line.contains(" may send ")).collect();
    assert_eq!(verdicts, [""; 0]);
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
fn ordinary(number: usize) -> Vec<u8> {
    // Each third is sent again at once, as the same datagram.
    let number = number - number / 4;
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
}

/// Sends the queries of `numbers` over one socket, at most `UNDER_WAY` at a time; counts the response codes.
fn ask_all(socket: &UdpSocket, numbers: std::ops::Range<usize>) -> HashMap<u16, usize> {
    socket.set_read_timeout(Some(wait::millis(2_500))).unwrap();
    let (mut next, mut codes) = (numbers.clone(), HashMap::new());
    for number in next.by_ref().take(UNDER_WAY) {
        let _ = socket.send(&ordinary(number));
    }
    for _ in numbers {
        let Some(answer) = receive(socket) else { break };
        *codes.entry(answer.rcode()).or_default() += 1;
        if let Some(number) = next.next() {
            let _ = socket.send(&ordinary(number));
        }
    }
    codes
}

fn through(kind: Kind) {
    if !can_run() {
        return;
    }
    let queries = std::env::var("ONWARD_QUERIES").ok().and_then(|count| count.parse().ok()).unwrap_or(QUERIES);
    let host = hops::host(&[]);
    let _servers = [hops::server(&host, BEYOND, 1), hops::server(&host, GOOD, 2)];
    let hop = Hop::start(&host, kind, BEYOND);
    let onward = start(&host, &[kind.address(), GOOD]);
    let begun = Instant::now();
    let each = queries / CLIENTS;
    let codes = std::thread::scope(|scope| {
        let asking = [0, 1, 2, 3].map(|client| {
            let socket = Client::new(host.net(), NODE.parse().unwrap()).socket();
            // Neighbours are near each other in time, so that the same is asked by several at once.
            scope.spawn(move || ask_all(&socket, client * each..(client + 1) * each))
        });
        let mut codes: HashMap<u16, usize> = HashMap::new();
        for (code, count) in asking.into_iter().flat_map(|asking| asking.join().unwrap()) {
            *codes.entry(code).or_default() += count;
        }
        codes
    });
    let suspicions = onward.output().matches("may send").count();
    let asked = each * CLIENTS;
    println!(
        "{kind:?}: {asked} queries in {:?}, answers by code {codes:?}, {suspicions} suspicions told",
        begun.elapsed()
    );
    assert_no_verdict(&onward);
    assert_eq!(codes.values().sum::<usize>(), asked, "each is answered");
    assert_eq!(codes.get(&rcode::REFUSED), None);
    assert_eq!(codes.get(&rcode::SERVFAIL), None, "{}", hop.output());
}

#[test]
fn three_hundred_thousand_ordinary_queries_through_dnsmasq() {
    through(Kind::Dnsmasq);
}

#[test]
fn three_hundred_thousand_ordinary_queries_through_unbound() {
    through(Kind::Unbound);
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
    assert_no_verdict(&onward);
}

/// What we send arrives three times, and each answer twice; and clients' questions come twice.
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
    let socket = Client::new(host.net(), NODE.parse().unwrap()).socket();
    socket.set_read_timeout(Some(wait::millis(2_500))).unwrap();
    for number in 0..1_000 {
        let query = Query::new(&format!("www{number}.shop.corp.example"), types::A).id(id(number)).bytes();
        socket.send(&query).unwrap();
        socket.send(&query).unwrap();
        for _ in 0..2 {
            let answer = receive(&socket).expect("an answer to each");
            assert_eq!(answer.rcode(), rcode::NOERROR, "{}", onward.output());
        }
    }
    assert_no_verdict(&onward);
}

/// A network behind the upstream server, which masquerades it: what its clients ask us comes from the upstream's
/// address.
#[test]
fn clients_behind_masquerade_that_share_an_upstreams_address() {
    let Some(lab) = Lab::new() else { return };
    let far = Host::new("far");
    cable(lab.upstream.net(), "far0", far.net(), "eth0");
    lab.upstream.net().address("far0", "10.77.0.1/24");
    far.net().address("eth0", "10.77.0.2/24");
    far.net().ip("route add default via 10.77.0.1");
    let rules = "table ip far { chain out { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }";
    lab.upstream.write("/etc/masquerade.nft", rules);
    for words in [&["sysctl", "-qw", "net.ipv4.ip_forward=1"][..], &["nft", "-f", "/etc/masquerade.nft"]] {
        let path = lab.upstream.path("/etc/masquerade.nft").display().to_string();
        let words: Vec<&str> =
            words.iter().map(|word| if word.starts_with('/') { path.as_str() } else { word }).collect();
        assert!(lab.upstream.command(&words).status().expect("it is installed").success(), "{words:?}");
    }
    let script = |last: u8| move |seen: &Seen| Reply::after(wait::millis(3), hops::answer(seen, last));
    let first = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script(1));
    let _second = Scripted::start(lab.upstream.net(), Lab::upstream_address(1), script(2));
    let onward = onward::with_upstreams(&lab, &UPSTREAMS[..2]);
    let client = Client::new(far.net(), NODE.parse().unwrap());
    for number in 0..500 {
        let name = spelled(&format!("www{number}.shop.corp.example"), number);
        let answer = client.udp(&Query::new(&name, types::A));
        // Among equals the other server is asked first, since an upstream that asks would only ask back.
        assert_eq!(answer.addresses(), [Ipv4Addr::new(192, 0, 2, 2)], "{name}: {}", onward.output());
        assert_eq!(lab.client().addresses(&format!("pod{number}.shop.corp.example")), [Ipv4Addr::new(192, 0, 2, 1)]);
    }
    assert!(first.count("pod7.shop.corp.example") == 1, "the order of the others stays as it was");
    assert_no_verdict(&onward);
}
