//! Forwarders that have us *and* a good server among their servers: half of a loop, and still a server that answers.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use onward_tests::dns::{Client, rcode};
use onward_tests::hops::{self, BEYOND, HOPS, NODE};
use onward_tests::host::Host;
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{can_run, onward, wait};

/// What the good server says.
const FROM_BEYOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

#[test]
fn half_a_loop_goes_on_answering() {
    if !can_run() {
        return;
    }
    let half = [NODE, BEYOND];
    let [hop, _] = HOPS;
    type Start<'s> = &'s dyn Fn(&Host) -> Process;
    let starts: [(&str, usize, Start<'_>); 5] = [
        ("dnsmasq", 20, &|host| hops::dnsmasq(host, hop, &half)),
        ("dnsmasq --all-servers", 20, &|host| hops::dnsmasq(host, hop, &[NODE, BEYOND, "--all-servers"])),
        ("unbound", 20, &|host| hops::unbound(host, hop, &half)),
        ("bind", 20, &|host| hops::bind(host, hop, &half)),
        // CoreDNS passes SERVFAIL on, so us first it answers nothing by itself.
        ("coredns, sequential", 20, &|host| hops::coredns(host, hop, &[BEYOND, NODE], "sequential")),
    ];
    let mut faults = Vec::new();
    for (label, least, start) in starts {
        let host = hops::host(&[]);
        let _beyond = hops::server(&host, BEYOND, 2);
        let forwarder = start(&host);
        let process = onward::start(&host, NODE, &["--listen", NODE, "--upstream", hop, "--log-level", "debug"]);
        let client = Client::new(host.net(), NODE.parse().unwrap());
        let ask = |number: &i32| {
            let query = Query::new(&format!("www-half{number}.shop.example"), types::A);
            // A busy machine may lose a datagram: who hears nothing asks once more, as libc does. SERVFAIL is not asked
            // again.
            let answer = client.try_udp(&query).or_else(|| client.try_udp(&query));
            answer.is_some_and(|answer| answer.addresses() == [FROM_BEYOND])
        };
        let answered = (0..20).filter(ask).count();
        println!("half a loop through {label}: {answered} of 20 names");
        if answered < least {
            faults.push(format!("{label}: {answered} of 20\n{}\n{}", process.output(), forwarder.output()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// CoreDNS with `policy random` tosses a coin for each question and passes our SERVFAIL on: half of all questions fail
/// in it whoever asks. As the only upstream it answers no fewer through the guard, since what came back is asked of it
/// again.
#[test]
fn half_a_loop_by_chance_answers_no_fewer_than_without_the_guard() {
    if !can_run() {
        return;
    }
    const NAMES: u32 = 40;
    let [hop, _] = HOPS;
    let host = hops::host(&[]);
    let _beyond = hops::server(&host, BEYOND, 2);
    let _coredns = hops::coredns(&host, hop, &[NODE, BEYOND], "random");
    let count = |address: &str, label: &str, pause: Duration| {
        let client = Client::new(host.net(), address.parse().unwrap());
        let ask = |number: &u32| {
            sleep(pause);
            client.addresses(&format!("www-{label}{number}.shop.example")) == [FROM_BEYOND]
        };
        (0..NAMES).filter(ask).count()
    };
    // In our place a server that answers SERVFAIL at once to what comes back, and knows of no guard.
    let refusing = Scripted::start(host.net(), hops::port(NODE), |seen| Reply::now(seen.code(rcode::SERVFAIL)));
    let without = count(hop, "without", Duration::ZERO);
    drop(refusing);
    // One start in 128 loses more to chance: two probes of the start come home, four more, and the one of a second
    // later.
    let round = |round: u32| {
        let process = onward::start(&host, NODE, &["--listen", NODE, "--upstream", hop, "--log-level", "debug"]);
        // As people ask, not all in the moment in which the guard finds out.
        let with = count(NODE, &format!("with{round}-"), wait::millis(100));
        println!("half a loop through coredns, random: {with} of {NAMES} names, without the guard {without}");
        if with >= without { Ok(()) } else { Err(process.output()) }
    };
    let unlucky = round(0).is_err();
    if unlucky && let Err(output) = round(1) {
        panic!("{output}");
    }
}
