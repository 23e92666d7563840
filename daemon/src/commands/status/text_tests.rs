//! What people read, on a node that is well, on one that is not, and without a daemon.

use super::*;
use crate::control::client::AskError;
use crate::control::status::{Blocked, Listener, Refused, Verdict};

const PLAIN: Paint = Paint { colours: false };

fn healthy() -> Status {
    Status {
        version: "1.2.3".to_owned(),
        state: Overall::Ok,
        uptime_seconds: 90_061,
        listeners: vec![Listener {
            address: "10.0.0.5:53".to_owned(),
            role: "chosen".to_owned(),
            check: "answers".to_owned(),
        }],
        upstreams: vec![Upstream {
            server: "10.0.0.2:53".to_owned(),
            state: "up".to_owned(),
            answered_seconds: Some(1),
            median_microseconds: Some(1_840),
            p99_microseconds: Some(14_200),
            asked: 312,
            failures: 3,
            ..Upstream::default()
        }],
        list: crate::control::status::List { source: Some("/etc/resolv.conf".to_owned()), ..Default::default() },
        configuration: crate::control::status::Configuration { in_force: true, age_seconds: 5 },
        ..Status::default()
    }
}

fn shown(daemon: Result<Status, AskError>) -> Shown {
    reached(daemon, true)
}

/// The same, with an address in the file that answers over TCP or not.
fn reached(daemon: Result<Status, AskError>, tcp: bool) -> Shown {
    let address = "10.0.0.5".parse().unwrap();
    let file = FileOnDisk {
        path: "/run/onward/resolv.conf".to_owned(),
        age_seconds: Some(61),
        addresses: vec![Reach { address, udp: true, tcp }],
    };
    Shown::of(daemon, file)
}

#[test]
fn a_healthy_node_is_one_screen_without_an_alarm() {
    let shown = shown(Ok(healthy()));
    let text = render(&shown, PLAIN);
    for part in [
        "Onward        ok   version 1.2.3, up for 1day 1h",
        "Listens on    10.0.0.5:53 (UDP and TCP) answers",
        "/run/onward/resolv.conf, written 1m 1s ago",
        "10.0.0.5 answers over UDP and TCP",
        "10.0.0.2:53  up       median 1.8 ms, 99 % within 14 ms; 312 asked, 3 (0.9 %) failed\n",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    assert!(!text.contains('!') && !text.contains('\x1b') && text.lines().count() < 24, "{text}");
    assert_eq!(shown.code(), None);
}

#[test]
fn what_is_wrong_stands_at_the_top_and_in_the_exit_code() {
    let mut status = healthy();
    status.state = Overall::Degraded;
    status.troubles = vec!["10.0.0.3:53 sends our queries back to us: it is not asked".to_owned()];
    status.blocked = vec![Blocked { address: "10.0.0.6:53".to_owned(), why: "unbound holds it".to_owned() }];
    status.verdicts = vec![Verdict {
        server: "10.0.0.3:53".to_owned(),
        transport: "udp".to_owned(),
        names: "corp.example".to_owned(),
        record_type: Some(28),
        kind: "loop".to_owned(),
        since_seconds: 240,
        through: "10.0.0.9".to_owned(),
        ..Verdict::default()
    }];
    let refused = |number| Refused { server: format!("127.0.0.{number}:53"), ..Refused::default() };
    status.refused = (0..12).map(refused).collect();
    let text = render(&shown(Ok(status.clone())), PLAIN);
    assert_eq!(text.lines().nth(1), Some("              ! 10.0.0.3:53 sends our queries back to us: it is not asked"));
    for part in [
        "not on 10.0.0.6:53: unbound holds it",
        "10.0.0.3:53 over UDP is not asked for names under corp.example of type 28: a probe came home through 10.0.0.9, 4m ago",
        "and 2 more (--json)",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    let code = |state| shown(Ok(Status { state, ..status.clone() })).code();
    assert_eq!([Overall::Ok, Overall::Degraded, Overall::NoDns].map(code), [None, Some(1), Some(2)]);
}

#[test]
fn an_address_in_the_file_that_does_not_answer_is_trouble() {
    let shown = reached(Ok(healthy()), false);
    let text = render(&shown, PLAIN);
    for part in [
        "Onward        degraded",
        "! 10.0.0.5, which /run/onward/resolv.conf names, does not answer this command over TCP",
        "10.0.0.5 answers over UDP, not over TCP",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    assert_eq!((shown.code(), shown.json()["state"].as_str()), (Some(1), Some("degraded")));
    let no_dns = Status { state: Overall::NoDns, ..healthy() };
    assert_eq!(reached(Ok(no_dns), false).code(), Some(2), "what is worse stays");
}

#[test]
fn without_a_daemon_it_says_so_and_what_is_left() {
    let gone = shown(Err(AskError::NotRunning("/run/onward/control.sock".into())));
    let text = render(&gone, PLAIN);
    assert!(text.contains("does not run") && text.contains("10.0.0.5 answers"), "{text}");
    assert_eq!((gone.code(), gone.json()["running"].as_bool()), (Some(69), Some(false)));
    assert_eq!(shown(Err(AskError::Silent)).code(), Some(69));
    assert_eq!(shown(Err(AskError::NotAllowed("/run/onward/control.sock".into()))).code(), Some(77));
}

#[test]
fn colours_are_there_where_they_are_wanted() {
    let shown = shown(Ok(healthy()));
    let text = render(&shown, Paint { colours: true });
    assert!(text.contains("\x1b[32mok\x1b[0m"), "{text}");
}

#[test]
fn servers_of_a_domain_stand_apart_from_those_for_all_names() {
    let mut status = healthy();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let other = |server: &str, domains| Upstream {
        server: server.to_owned(),
        names: names(domains),
        state: "up".to_owned(),
        ..Upstream::default()
    };
    status.upstreams.push(other("10.9.0.2:53", &["corp.example", "10.in-addr.arpa"]));
    status.upstreams.push(other("10.9.0.3:53", &["corp.example", "10.in-addr.arpa"]));
    status.upstreams.push(other("10.7.0.2:53", &["a", "b", "c", "d", "e"]));
    let text = render(&shown(Ok(status)), PLAIN);
    let lines: Vec<&str> = text.lines().map(str::trim).skip_while(|line| !line.starts_with("10.0.0.2:53")).collect();
    let begin = |line: usize| lines[line].split("  ").next().unwrap();
    assert_eq!(
        [1, 2, 3, 4, 5].map(begin),
        ["for corp.example, 10.in-addr.arpa", "10.9.0.2:53", "10.9.0.3:53", "for a, b, c and 2 more", "10.7.0.2:53"],
        "{text}"
    );
}
