//! `[guard] tag` and `spelling`: which marks queries to upstreams carry with `auto`, `always` and `never`, what clients
//! get by that where an upstream does not bear them, and that a loop is found without.

use std::net::Ipv4Addr;
use std::time::Instant;

use onward_tests::dns::{Client, rcode};
use onward_tests::hops::{self, BEYOND, GOOD, HOPS, Hop, Kind, NODE};
use onward_tests::host::Host;
use onward_tests::process::Process;
use onward_tests::upstream::{Reply, Scripted, Seen, Transport};
use onward_tests::{can_run, onward, wait};

/// A server that is not near.
const PUBLIC: &str = "198.51.100.53";
/// What servers of `hops::server(_, _, 1)` say.
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// And the second one.
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn is_spelled(seen: &Seen) -> bool {
    seen.query.asked().bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Starts Onward with these settings of `[guard]` and these upstreams.
fn start(host: &Host, (tag, spelling): (&str, &str), upstreams: &[&str]) -> Process {
    host.write("/etc/onward/onward.toml", &format!("[guard]\ntag = \"{tag}\"\nspelling = \"{spelling}\"\n"));
    let mut arguments = vec!["--listen", NODE, "--log-level", "debug"];
    upstreams.iter().for_each(|upstream| arguments.extend(["--upstream", upstream]));
    onward::start(host, NODE, &arguments)
}

/// What a client asks is marked as the settings say: by default the tag is for near servers only, and names go out as
/// asked.
#[test]
fn what_a_public_server_that_bears_all_is_sent() {
    if !can_run() {
        return;
    }
    let settings = [
        ("auto", "auto", false, false),
        ("always", "auto", true, false),
        ("always", "never", true, false),
        ("never", "always", false, true),
        ("never", "never", false, false),
    ];
    for (tag, spelling, tagged, spelled) in settings {
        let host = hops::host(&[PUBLIC]);
        let server = hops::server(&host, PUBLIC, 1);
        let onward = start(&host, (tag, spelling), &[PUBLIC]);
        let client = Client::new(host.net(), NODE.parse().unwrap());
        for number in 0..10 {
            assert_eq!(client.addresses(&format!("www{number}.shop.example")), [FIRST], "{}", onward.output());
        }
        let (probes, questions): (Vec<Seen>, Vec<Seen>) =
            server.all().into_iter().partition(|seen| seen.name().starts_with("probe."));
        assert_eq!((probes.is_empty(), questions.len()), (false, 10));
        for seen in questions {
            let marks = (seen.is_tagged(), is_spelled(&seen));
            assert_eq!(marks, (tagged, spelled), "{tag} {spelling}: {}\n{}", seen.query.asked(), onward.output());
        }
        // They carry all that is not forbidden.
        for probe in probes {
            assert_eq!((probe.is_tagged(), is_spelled(&probe)), (tag != "never", spelling != "never"));
        }
    }
}

#[test]
fn a_loop_is_found_and_its_question_freed_without_the_tag() {
    wait::better_of_two(|| loops("never", "auto"));
}

#[test]
fn a_loop_is_found_and_its_question_freed_without_spelling() {
    wait::better_of_two(|| loops("auto", "never"));
}

#[test]
fn a_loop_is_found_and_its_question_freed_without_any_mark() {
    wait::better_of_two(|| loops("never", "never"));
}

/// A loop forms through dnsmasq, which passes both marks on; a good server is second.
fn loops(tag: &str, spelling: &str) -> Result<(), String> {
    if !can_run() {
        return Ok(());
    }
    let host = hops::host(&[]);
    let (beyond, good) = (hops::server(&host, BEYOND, 1), hops::server(&host, GOOD, 2));
    let mut hop = Hop::start(&host, Kind::Dnsmasq, BEYOND);
    let mut onward = start(&host, (tag, spelling), &[HOPS[0], GOOD]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    for number in 0..10 {
        assert_eq!(client.addresses(&format!("www{number}.shop.example")).len(), 1, "{}", onward.output());
    }
    hop.turn(&host, NODE);
    let begun = Instant::now();
    assert_eq!(client.addresses("www-looped.some-service.shop.example"), [SECOND], "{}", onward.output());
    let took = begun.elapsed();
    let verdict = onward.wait_for_line("back to us over UDP (", wait::seconds(4));
    for (mark, setting) in [("tag", tag), ("spelling", spelling)] {
        assert!(setting != "never" || !verdict.contains(&format!("witness {mark}")), "{verdict}");
    }
    assert_eq!(client.addresses("www-then.some-service.shop.example"), [SECOND]);
    // Also in probes, which both have seen.
    let seen = [beyond.all(), good.all()].concat();
    assert!(seen.iter().any(|seen| seen.name().starts_with("probe.")));
    assert_eq!(seen.iter().any(Seen::is_tagged), tag == "auto", "{}", onward.output());
    assert_eq!(seen.iter().any(is_spelled), spelling == "auto", "{}", onward.output());
    if took < wait::millis(600) { Ok(()) } else { Err(format!("{took:?}\n{}", onward.output())) }
}

/// The only upstream does not bear a mark, which was found out. Returns what it saw of ten questions of a client, all
/// of which were answered.
fn asked(settings: (&str, &str), what: &str, script: fn(&Seen) -> Vec<Reply>) -> Vec<Vec<Seen>> {
    let host = hops::host(&[]);
    let odd = Scripted::start(host.net(), hops::port(HOPS[0]), script);
    let mut onward = start(&host, settings, &[HOPS[0]]);
    let client = Client::new(host.net(), NODE.parse().unwrap());
    onward.wait_for_line(&format!("does not bear {what}"), wait::seconds(15));
    let ask = |number| {
        let name = format!("www{number}.shop.example");
        assert_eq!(client.addresses(&name), [FIRST], "{settings:?} {name}: {}", onward.output());
        odd.seen(&name)
    };
    let seen = (0..10).map(ask).collect();
    assert!(!onward.output().contains("back to us over UDP ("), "{}", onward.output());
    seen
}

/// FORMERR without an OPT, as servers say that do not know EDNS (RFC 6891, section 7).
fn formerr_to_the_tag(seen: &Seen) -> Vec<Reply> {
    match seen.is_tagged() {
        true => Reply::now(seen.code(rcode::FORMERR)),
        false => Reply::now(hops::answer(seen, 1)),
    }
}

fn answers_in_lower_case(seen: &Seen) -> Vec<Reply> {
    Reply::now(hops::answer_in_lower_case(seen, 1))
}

#[test]
fn a_tag_that_is_not_borne_is_sent_always_and_the_question_once_more_without_edns() {
    if !can_run() {
        return;
    }
    let marks = |asked: &[Seen]| asked.iter().map(|seen| (seen.has_opt(), seen.is_tagged())).collect::<Vec<_>>();
    for asked in asked(("auto", "auto"), "the loop tag", formerr_to_the_tag) {
        assert_eq!(marks(&asked), [(true, false)], "auto has found out");
    }
    for asked in asked(("always", "auto"), "the loop tag", formerr_to_the_tag) {
        assert_eq!(marks(&asked), [(true, true), (false, false)]);
    }
}

#[test]
fn a_spelling_that_is_not_kept_is_sent_always_and_the_question_once_more_over_tcp() {
    if !can_run() {
        return;
    }
    let marks = |asked: &[Seen]| asked.iter().map(|seen| (seen.transport, is_spelled(seen))).collect::<Vec<_>>();
    for asked in asked(("auto", "auto"), "spelled names", answers_in_lower_case) {
        assert_eq!(marks(&asked), [(Transport::Udp, false)], "auto has found out");
    }
    for asked in asked(("auto", "always"), "spelled names", answers_in_lower_case) {
        assert_eq!(marks(&asked), [(Transport::Udp, true), (Transport::Tcp, true)]);
    }
}
