//! How Onward ends and how it reads its configuration again: SIGTERM drains, a second one does not wait, SIGHUP loses
//! nothing.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Instant;

use nix::sys::signal::Signal;
use onward_tests::dns::receive;
use onward_tests::lab::{Lab, NODE, NODE_IP, UPSTREAMS};
use onward_tests::load::{Load, addresses};
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, wait};

const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn upstream(lab: &Lab, number: usize, script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static) -> Scripted {
    Scripted::start(lab.upstream.net(), Lab::upstream_address(number), script)
}

fn configuration(number: usize) -> String {
    format!("listen = [\"{NODE}\"]\n[upstreams]\nservers = [\"{}\"]\n", UPSTREAMS[number])
}

#[test]
fn sigterm_answers_what_is_in_flight() {
    let Some(lab) = Lab::new() else { return };
    let slow = |seen: &Seen| Reply::after(wait::millis(600), seen.address(FIRST.octets(), 60));
    let upstream = upstream(&lab, 0, slow);
    let mut process = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let socket = lab.client().socket();
    socket.send(&Query::new("flight.test", types::A).bytes()).unwrap();
    wait::until(wait::seconds(1), || (upstream.count("flight.test") > 0).then_some(())).expect("it is in flight");
    process.signal(Signal::SIGTERM);
    let answer = receive(&socket).expect("an answer after SIGTERM");
    assert_eq!(answer.addresses(), [FIRST]);
    let status = process.wait(wait::seconds(5));
    assert!(status.success(), "{status}:\n{}", process.output());
    assert!(lab.node.path(onward::RESOLV_CONF).exists(), "pods that are born meanwhile need the file");
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let Some(lab) = Lab::new() else { return };
    let upstream = upstream(&lab, 0, |_| Reply::silence());
    let mut process = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let socket = lab.client().socket();
    socket.send(&Query::new("flight.test", types::A).bytes()).unwrap();
    wait::until(wait::seconds(1), || (upstream.count("flight.test") > 0).then_some(())).expect("it is in flight");
    process.signal(Signal::SIGTERM);
    sleep(wait::millis(200));
    assert_eq!(process.ended(), None, "a query is in flight, so it waits:\n{}", process.output());
    let begun = Instant::now();
    process.signal(Signal::SIGTERM);
    process.wait(wait::seconds(5));
    assert!(begun.elapsed() < wait::millis(400), "{:?}", begun.elapsed());
}

#[test]
fn sighup_reads_the_configuration_again_and_loses_no_query() {
    let Some(lab) = Lab::new() else { return };
    let _first = upstream(&lab, 0, |seen| Reply::after(wait::millis(30), seen.address(FIRST.octets(), 60)));
    let _second = upstream(&lab, 1, |seen| Reply::after(wait::millis(30), seen.address(SECOND.octets(), 60)));
    lab.node.write(onward::CONFIGURATION, &configuration(0));
    let process = onward::start(&lab.node, NODE, &[]);

    let load = Load::start(lab.pod.net(), NODE_IP);
    sleep(wait::millis(200));
    lab.node.write(onward::CONFIGURATION, &configuration(1));
    let changed = Instant::now();
    process.signal(Signal::SIGHUP);
    sleep(wait::millis(1_400));
    let asked = addresses(&load.finish());
    let later = asked.iter().filter(|(sent, _)| *sent > changed + wait::seconds(1));
    assert!(later.clone().count() > 20 && later.clone().all(|(_, address)| *address == SECOND));
}

#[test]
fn sighup_with_a_broken_configuration_changes_nothing() {
    let Some(lab) = Lab::new() else { return };
    let _first = upstream(&lab, 0, |seen| Reply::now(seen.address(FIRST.octets(), 60)));
    lab.node.write(onward::CONFIGURATION, &configuration(0));
    let mut process = onward::start(&lab.node, NODE, &[]);
    lab.node.write(onward::CONFIGURATION, "lisen = [\"node\"]\n");
    process.signal(Signal::SIGHUP);
    process.wait_for_line("lisen", wait::seconds(3));
    assert_eq!(lab.client().addresses("still.test"), [FIRST]);
    assert_eq!(process.ended(), None);
}
