//! Upstreams that do not bear the loop guard's marks, or mark names themselves: found out by paired probes, used
//! without, and never taken for dead or for a loop.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::Instant;

use onward_tests::dns::{Client, rcode};
use onward_tests::hops::{self, BEYOND, GOOD, HOPS, NODE};
use onward_tests::host::Host;
use onward_tests::process::Process;
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{can_run, onward, wait};

/// What the odd upstream says.
const ODD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn start(host: &Host, upstreams: &[&str]) -> Process {
    let mut arguments = vec!["--listen", NODE, "--log-level", "debug"];
    upstreams.iter().for_each(|upstream| arguments.extend(["--upstream", upstream]));
    onward::start(host, NODE, &arguments)
}

fn assert_no_verdict(onward: &Process) {
    assert!(!onward.output().contains("back to us over UDP ("), "{}", onward.output());
}

/// An upstream that does not bear something, before a good one: it is found out and used, for all names and at once.
fn learnt(what: &str, script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static) {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let odd = Scripted::start(host.net(), hops::port(HOPS[0]), script);
    let _good = hops::server(&host, GOOD, 2);
    let mut onward = start(&host, &[HOPS[0], GOOD]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    for number in 0..5 {
        let answer = client.addresses(&format!("www-first{number}.shop.example"));
        assert_eq!(answer.len(), 1, "somebody answers meanwhile: {}", onward.output());
    }
    onward.wait_for_line(&format!("does not bear {what}"), wait::seconds(15));
    // What was late by our doing may have it held for down for a moment; then it is used again.
    let used = || (client.addresses(&format!("www{:?}.shop.example", Instant::now().elapsed())) == [ODD]).then_some(());
    wait::until(wait::seconds(3), used).expect("it is used");
    let tries = Cell::new(0);
    wait::better_of_two(|| {
        tries.set(tries.get() + 1);
        forty_by_it(&odd, &client, &format!("www-then{}", tries.get())).map_err(|what| what + &onward.output())
    });
    assert_no_verdict(&onward);
}

/// Asks for forty names, which nobody asked for before: the odd upstream answers, within 50 ms each.
fn forty_by_it(odd: &Scripted, client: &Client<'_>, prefix: &str) -> Result<(), String> {
    let (begun, mut by_it, mut again) = (Instant::now(), 0, 0);
    for number in 0..40 {
        let name = format!("{prefix}-{number}.shop.example");
        let answer = client.addresses(&name);
        assert_eq!(answer.len(), 1, "{name}");
        if answer == [ODD] {
            by_it += 1;
            again += usize::from(odd.count(&name) > 1);
        }
    }
    let took = begun.elapsed();
    // A worker that has just learnt which form it bears doubts that for two queries; all others go out once.
    assert!(again <= 8, "{again} names were asked more than once");
    // On a busy machine one or two may be late, and the good server answers those.
    if by_it >= 36 && took < wait::seconds(2) { Ok(()) } else { Err(format!("{by_it} of 40 by it, in {took:?}\n")) }
}

#[test]
fn one_that_answers_formerr_to_the_tag() {
    learnt("the loop tag", |seen| match seen.is_tagged() {
        true => Reply::now(seen.code(rcode::FORMERR)),
        false => Reply::now(hops::answer(seen, 1)),
    });
}

#[test]
fn one_that_drops_queries_that_carry_the_tag() {
    learnt("the loop tag", |seen| match seen.is_tagged() {
        true => Reply::silence(),
        false => Reply::now(hops::answer(seen, 1)),
    });
}

#[test]
fn one_that_drops_queries_with_an_opt() {
    learnt("EDNS", |seen| match seen.has_opt() {
        true => Reply::silence(),
        false => Reply::now(hops::answer(seen, 1)),
    });
}

#[test]
fn one_that_changes_the_spelling_of_names() {
    learnt("spelled names", |seen| Reply::now(hops::answer_in_lower_case(seen, 1)));
}

/// With the tag it passes our SERVFAIL on, without it asks the next server: dnsmasq as it is. Over TCP it asks the
/// first only.
#[test]
fn dnsmasq_with_strict_order_that_has_us_first() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let _beyond = hops::server(&host, BEYOND, 1);
    let dnsmasq = hops::dnsmasq(&host, HOPS[0], &[NODE, BEYOND, "--strict-order"]);
    let mut onward = start(&host, &[HOPS[0]]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    onward.wait_for_line("does not bear", wait::seconds(10));
    let answered = (0..20).filter(|n| client.addresses(&format!("www{n}.shop.example")) == [ODD]).count();
    assert_eq!(answered, 20, "{}\n{}", onward.output(), dnsmasq.output());
    assert_no_verdict(&onward);
}

/// Unbound that spells names itself (`use-caps-for-id`) and asks `target`.
fn unbound_with_caps(host: &Host, target: &str) -> Process {
    let lines = format!("    use-caps-for-id: yes\nforward-zone:\n    name: .\n    forward-addr: {target}\n");
    hops::unbound_with(host, HOPS[0], &lines)
}

/// It keeps neither mark, so that only silence speaks; healthy, it is an upstream like any other.
#[test]
fn unbound_with_caps_for_id() {
    wait::better_of_two(healthy_then_looping);
}

fn healthy_then_looping() -> Result<(), String> {
    if !can_run() {
        return Ok(());
    }
    let host = hops::host(&[]);
    let _servers = [hops::server(&host, BEYOND, 1), hops::server(&host, GOOD, 2)];
    let unbound = unbound_with_caps(&host, BEYOND);
    let mut onward = start(&host, &[HOPS[0], GOOD]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    let answered = (0..40).filter(|n| client.addresses(&format!("www{n}.shop.example")) == [ODD]).count();
    assert!(!onward.output().contains("does not bear"), "{}", onward.output());
    assert_no_verdict(&onward);
    if answered < 38 {
        // A busy machine may have one late.
        return Err(format!("{answered} of 40 through it\n{}", onward.output()));
    }
    drop(unbound);
    let _loops = unbound_with_caps(&host, NODE);
    let begun = Instant::now();
    let answer = client.addresses("www-looped.shop.example");
    let took = begun.elapsed();
    assert_eq!(answer.len(), 1, "the good server's");
    onward.wait_for_line("back to us over UDP (", wait::seconds(4));
    if took < wait::millis(400) { Ok(()) } else { Err(format!("{took:?}\n{}", onward.output())) }
}
