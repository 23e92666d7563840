//! What is kept, for how long, and what never is: counted at a scripted upstream.

use std::thread::sleep;

use onward_tests::dns::rcode;
use onward_tests::lab::{Lab, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, flags, types};
use onward_tests::upstream::{Reply, Scripted, Seen, Transport};
use onward_tests::{onward, wait};

fn setup(script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static) -> Option<(Lab, Scripted, Process)> {
    let lab = Lab::new()?;
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    Some((lab, upstream, onward))
}

fn ask(lab: &Lab, name: &str) -> onward_tests::dns::Answer {
    lab.client().udp(&Query::new(name, types::A))
}

#[test]
fn an_answer_is_kept_and_grows_old() {
    let Some((lab, upstream, _onward)) = setup(|seen| Reply::now(seen.address([192, 0, 2, 1], 100))) else { return };
    assert_eq!(ask(&lab, "kept.test").answers()[0].ttl, 100);
    sleep(wait::millis(1_100));
    let later = ask(&lab, "KEPT.test").answers()[0].ttl;
    assert!((97..=99).contains(&later), "TTL {later} after a second");
    assert_eq!(upstream.count("kept.test"), 1);
}

#[test]
fn a_ttl_of_zero_is_not_reused() {
    let Some((lab, upstream, _onward)) = setup(|seen| Reply::now(seen.address([192, 0, 2, 1], 0))) else { return };
    for _ in 0..3 {
        assert_eq!(ask(&lab, "zero.test").answers()[0].ttl, 0);
    }
    assert_eq!(upstream.count("zero.test"), 3);
}

#[test]
fn negative_answers_keep_their_soa_which_counts_down() {
    let script = |seen: &Seen| match seen.name().starts_with("gone") {
        true => Reply::now(seen.negative(rcode::NXDOMAIN, 50)),
        false => Reply::now(seen.negative(rcode::NOERROR, 50)),
    };
    let Some((lab, upstream, _onward)) = setup(script) else { return };
    let names = [("gone.test", rcode::NXDOMAIN), ("empty.test", rcode::NOERROR)];
    for (name, code) in names {
        let answer = ask(&lab, name);
        assert_eq!((answer.rcode(), answer.authority()[0].kind, answer.authority()[0].ttl), (code, types::SOA, 50));
    }
    sleep(wait::millis(1_100));
    for (name, code) in names {
        let answer = ask(&lab, name);
        let ttl = answer.authority()[0].ttl;
        assert_eq!(answer.rcode(), code);
        assert!((47..=49).contains(&ttl), "{name}: TTL {ttl} after a second (RFC 2308 section 5)");
        assert_eq!(upstream.count(name), 1);
    }
}

#[test]
fn nothing_truncated_is_kept() {
    // TC with a record in it, and nothing at all over TCP: the client may see it, the cache may not.
    let script = |seen: &Seen| match seen.transport {
        Transport::Udp => {
            let mut message = seen.address([192, 0, 2, 1], 60);
            message[2] |= flags::TC.to_be_bytes()[0];
            Reply::now(message)
        }
        Transport::Tcp => Reply::now(Vec::new()),
    };
    let Some((lab, upstream, _onward)) = setup(script) else { return };
    for round in 1..=2 {
        if round > 1 {
            // Longer than a failure is remembered.
            sleep(wait::millis(1_200));
        }
        let answer = ask(&lab, "cut.test");
        assert!(answer.has(flags::TC) || answer.rcode() == rcode::SERVFAIL, "{answer:?}");
        assert!(upstream.count("cut.test") >= round, "round {round} was answered from the cache");
    }
}

#[test]
fn dnssec_and_plain_answers_do_not_mix() {
    // An upstream that marks by the address whether DO was set.
    let script = |seen: &Seen| {
        let mut as_answer = seen.query.clone();
        as_answer.0[2] |= 0x80;
        let dnssec_ok = as_answer.opt().is_some_and(|opt| opt.ttl & 0x8000 != 0);
        Reply::now(seen.address([192, 0, 2, if dnssec_ok { 2 } else { 1 }], 60))
    };
    let Some((lab, _upstream, _onward)) = setup(script) else { return };
    for _ in ["a miss", "a hit"] {
        let plain = lab.client().udp(&Query::new("mixed.test", types::A));
        let signed = lab.client().udp(&Query::new("mixed.test", types::A).dnssec_ok());
        assert_eq!(plain.addresses()[0].octets()[3], 1);
        assert_eq!(signed.addresses()[0].octets()[3], 2);
    }
}

/// An upstream that answers each name once, for a second, and then does what `later` says.
fn answers_once(later: fn(&Seen) -> Vec<Reply>) -> impl Fn(&Seen) -> Vec<Reply> + Send + Sync {
    let known = std::sync::Mutex::new(std::collections::HashSet::new());
    move |seen| match known.lock().unwrap().insert(seen.name()) {
        true => Reply::now(seen.address([192, 0, 2, 1], 1)),
        false => later(seen),
    }
}

#[test]
fn an_answer_that_has_ended_serves_when_upstreams_are_silent_or_fail() {
    let later = |seen: &Seen| match seen.name().starts_with("silent") {
        true => Reply::silence(),
        false => Reply::now(seen.code(rcode::SERVFAIL)),
    };
    let Some((lab, upstream, _onward)) = setup(answers_once(later)) else { return };
    let names = ["silent.test", "failing.test"];
    names.iter().for_each(|name| assert_eq!(ask(&lab, name).answers()[0].ttl, 1));
    sleep(wait::millis(2_100));
    for name in names {
        let begun = std::time::Instant::now();
        let stale = lab.client().udp(&Query::new(name, types::A).edns(1232));
        assert!(begun.elapsed() < wait::millis(1_950), "{name}: within the client's patience");
        assert_eq!((stale.answers()[0].ttl, stale.extended_errors()), (30, vec![3]), "{name} (RFC 8767 section 4)");
    }
    // For 30 s after that (RFC 8767, section 5) the second time costs no client any wait. Every few seconds one such
    // query has the upstream asked in the background.
    sleep(wait::millis(4_500));
    let before = names.map(|name| upstream.count(name));
    for name in names {
        let begun = std::time::Instant::now();
        assert_eq!(ask(&lab, name).answers()[0].ttl, 30, "{name}");
        assert!(begun.elapsed() < wait::millis(500), "{name}");
    }
    let tries: Vec<usize> = names.iter().zip(before).map(|(name, before)| upstream.count(name) - before).collect();
    assert!(tries.iter().all(|tries| *tries <= 1), "{tries:?}");
}

#[test]
fn a_popular_answer_is_renewed_before_it_ends() {
    let Some((lab, upstream, _onward)) = setup(|seen| Reply::now(seen.address([192, 0, 2, 1], 12))) else { return };
    for _ in 0..120 {
        let begun = std::time::Instant::now();
        assert_eq!(ask(&lab, "popular.test").addresses().len(), 1);
        assert!(begun.elapsed() < wait::millis(500));
        sleep(wait::millis(100));
    }
    assert_eq!(upstream.count("popular.test"), 2, "once at first, once to renew");
}
