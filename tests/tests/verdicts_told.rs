//! What people are told of a loop: once, with evidence and a remedy, and again when they are told of the upstreams.

use std::time::Instant;

use nix::sys::signal::Signal;
use onward_tests::dns::Client;
use onward_tests::hops::{self, BEYOND, GOOD, Hop, Kind, NODE};
use onward_tests::tap::{Datagram, Tap};
use onward_tests::{can_run, onward, wait};

#[test]
fn a_verdict_is_told_once_with_evidence_and_again_at_a_reload_and_with_other_upstreams() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let _servers = [hops::server(&host, BEYOND, 2), hops::server(&host, GOOD, 1)];
    let mut hop = Hop::start(&host, Kind::Dnsmasq, NODE);
    let address = Kind::Dnsmasq.address();
    let configuration = |more: &str| format!("listen = [\"{NODE}\"]\n[upstreams]\nservers = [\"{address}\"{more}]\n");
    host.write(onward::CONFIGURATION, &configuration(&format!(", \"{GOOD}\"")));
    let mut process = onward::start(&host, NODE, &[]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    let lines = |process: &onward_tests::process::Process, what: &str| -> Vec<String> {
        process.output().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    };
    for number in 0..50 {
        assert_eq!(client.addresses(&format!("www{number}.shop.example")).len(), 1);
    }
    let verdict = process.wait_for_line("back to us over UDP", wait::seconds(3));
    process.wait_for_line("back to us over TCP", wait::seconds(3));
    wait::settled(wait::seconds(1), wait::seconds(2), || lines(&process, "not asking it").len());
    // On a terminal, fields whose value the sentence has are not said twice.
    let parts = ["event looping", "from configuration", "home from 10.99.0.1", "witness tag", "tags_seen"];
    let remedy = ["take this node out there", "/etc/onward/onward.toml"];
    for part in [address].iter().chain(&parts).chain(&remedy) {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
    assert_eq!(lines(&process, "not asking it").len(), 2, "once over each transport:\n{}", process.output());

    process.signal(Signal::SIGHUP);
    process.wait_for_line("configuration and sources read anew", wait::seconds(3));
    let holds = lines(&process, "event holds");
    assert_eq!(holds.len(), 2, "{}", process.output());
    assert!(holds[0].contains(address) && holds[0].contains("remedy Whatever"), "{holds:?}");
    let counted = holds.iter().any(|line| line.contains("tags_seen"));
    assert!(counted, "how often each witness spoke: {holds:?}");

    host.write(onward::CONFIGURATION, &configuration(""));
    process.signal(Signal::SIGHUP);
    let again = wait::until(wait::seconds(3), || (lines(&process, "event holds").len() == 4).then_some(()));
    assert!(again.is_some(), "{}", process.output());

    hop.turn(&host, BEYOND);
    process.wait_for_line("by itself again", wait::seconds(10));
}

/// Waits until it is probed, and for what comes of that.
fn probed_again(tap: &Tap) {
    let begun = Instant::now();
    let probes = || {
        let heard = tap.since(begun);
        let probe =
            |one: &&Datagram| !one.answer && one.name.starts_with("probe.") && one.to == hops::port(hops::HOPS[0]);
        heard.iter().find(probe).map(|_| ())
    };
    wait::until(wait::seconds(12), probes).expect("it is probed");
    wait::settled(wait::millis(500), wait::seconds(2), || tap.since(begun).len());
}

/// What closes the loop may only be restarting: no answer is no answer of its own.
#[test]
fn silence_ends_no_quarantine() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let _servers = [hops::server(&host, BEYOND, 2), hops::server(&host, GOOD, 1)];
    let tap = Tap::start(host.net());
    let hop = Hop::start(&host, Kind::CoreDns, NODE);
    let mut process = onward::start(&host, NODE, &["--listen", NODE, "--upstream", hops::HOPS[0], "--upstream", GOOD]);
    process.wait_for_line("back to us over UDP", wait::seconds(3));
    drop(hop);
    probed_again(&tap);
    let mut again = Hop::start(&host, Kind::CoreDns, NODE);
    probed_again(&tap);
    let output = process.output();
    assert!(!output.contains("by itself again"), "{output}");
    assert_eq!(output.matches("back to us over UDP").count(), 1, "one verdict, which holds all the while: {output}");
    again.turn(&host, BEYOND);
    process.wait_for_line("over UDP by itself again", wait::seconds(10));
}
