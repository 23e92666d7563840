//! Pods keep for life the address that they were given: what that means for the choice.

use super::choose::{Awaited, Chosen, NoAddress, Wanted, choose};
use super::tests::{node, shown, tables, told};

/// What is wanted on a node whose pods were given these addresses, the latest first.
fn given(handed_out: &[&str]) -> Wanted {
    Wanted { handed_out: handed_out.iter().map(|ip| ip.parse().unwrap()).collect(), ..node() }
}

/// The same, while a family that was handed out does not give way.
fn sticking(handed_out: &[&str]) -> Wanted {
    Wanted { families_stick: true, ..given(handed_out) }
}

fn on(wanted: &Wanted, kernel: &str) -> Result<Chosen, NoAddress> {
    choose(wanted, &tables(kernel))
}

#[test]
fn an_address_that_was_handed_out_breaks_every_tie() {
    for (what, given_to_pods, kernel, expected) in [
        (
            "a second interface, no default route",
            &["10.0.0.5"][..],
            "eth0; +10.0.0.5/24; eth1; +10.1.0.5/24",
            "10.0.0.5",
        ),
        ("the same, listed the other way round", &["10.0.0.5"], "eth1; +10.1.0.5/24; eth0; +10.0.0.5/24", "10.0.0.5"),
        ("two were: the latest", &["10.1.0.5", "10.0.0.5"], "eth0; +10.0.0.5/24; eth1; +10.1.0.5/24", "10.1.0.5"),
        ("one of three", &["10.2.0.5"], "a; +10.0.0.5/24; b; +10.1.0.5/24; c; +10.2.0.5/24", "10.2.0.5"),
        (
            "none of them",
            &["10.9.0.5"],
            "eth0; +10.0.0.5/24; eth1; +10.1.0.5/24",
            "unclear: 10.0.0.5 (eth0), 10.1.0.5 (eth1)",
        ),
        ("two default routes of one metric", &["10.1.0.5"], "a; +10.0.0.5/24; >100; b; +10.1.0.5/24; >100", "10.1.0.5"),
        ("the lower metric is no tie", &["10.1.0.5"], "a; +10.0.0.5/24; >99; b; +10.1.0.5/24; >100", "10.0.0.5"),
        (
            "a private address comes beside the public one",
            &["198.51.100.7"],
            "a; +198.51.100.7/24; +10.0.0.5/24; >",
            "198.51.100.7",
        ),
        (
            "a second address in the router's network",
            &["10.9.0.5"],
            "a; +10.9.0.5/24; +10.0.0.5/24; > via 10.0.0.1",
            "10.9.0.5",
        ),
        ("IPv6, whose order is by value", &["2001:db8::9"], "a; +2001:db8::5/64; +2001:db8::9/64; 6>", "2001:db8::9"),
        ("the default route's link is only coming up", &["10.0.0.5"], "a; +10.0.0.5/24; b; >", "10.0.0.5"),
        (
            "deprecated: no tie any more",
            &["2001:db8::9"],
            "a; +2001:db8::5/64; +2001:db8::9/64 deprecated; 6>",
            "2001:db8::5",
        ),
        ("and back", &["2001:db8::9", "2001:db8::5"], "a; +2001:db8::5/64; +2001:db8::9/64; 6>", "2001:db8::9"),
        ("an interface that has another name now", &["10.0.0.5"], "ens3; +10.0.0.5/24; eth1; +10.1.0.5/24", "10.0.0.5"),
        (
            "on a link for containers it is not ours",
            &["10.42.0.1"],
            "eth0; +10.0.0.5/24; cni0 bridge; +10.42.0.1/24",
            "10.0.0.5",
        ),
    ] {
        assert_eq!(shown(on(&given(given_to_pods), kernel)), expected, "{what}: {kernel}");
    }
}

#[test]
fn a_family_that_was_handed_out_sticks() {
    for (what, wanted, kernel, expected) in [
        ("IPv4 is gone for a moment", sticking(&["10.0.0.5"]), "eth0; +2001:db8::5/64; 6>", "lost 10.0.0.5"),
        ("and its route stays", sticking(&["10.0.0.5"]), "eth0; >; +2001:db8::5/64; 6>", "lost 10.0.0.5"),
        ("another IPv4 comes", sticking(&["10.0.0.5"]), "eth0; +10.0.0.6/24; >; +2001:db8::5/64; 6>", "10.0.0.6"),
        ("it was for long enough", given(&["10.0.0.5"]), "eth0; +2001:db8::5/64; 6>", "2001:db8::5"),
        (
            "IPv6 was handed out, IPv4 comes late",
            sticking(&["2001:db8::5"]),
            "a; +10.0.0.5/24; >; +2001:db8::5/64; 6>",
            "2001:db8::5",
        ),
        (
            "both were: IPv6 had stood in",
            sticking(&["2001:db8::5", "10.0.0.5"]),
            "a; +10.0.0.5/24; >; +2001:db8::5/64; 6>",
            "10.0.0.5",
        ),
        (
            "pods have IPv6 by kubelet's word",
            Wanted { families_stick: true, handed_out: vec!["10.0.0.5".parse().unwrap()], ..told(&[], &["fd00::a"]) },
            "a; +10.0.0.5/24; >; +2001:db8::5/64; 6>",
            "2001:db8::5",
        ),
    ] {
        assert_eq!(shown(on(&wanted, kernel)), expected, "{what}: {kernel}");
    }
}

#[test]
fn what_pods_need_is_awaited() {
    for (what, wanted, kernel, expected) in [
        ("IPv6 may stand in for IPv4", node(), "eth0; +2001:db8::5/64; 6>", Some(Awaited::Family)),
        ("the same without a default route", node(), "eth0; +2001:db8::5/64", Some(Awaited::Family)),
        (
            "pods have both, the node one",
            told(&[], &["10.96.0.10", "fd00::a"]),
            "a; +2001:db8::5/64; 6>",
            Some(Awaited::Family),
        ),
        (
            "pods have both, and the node",
            told(&[], &["10.96.0.10", "fd00::a"]),
            "a; +10.0.0.5/24; >; +2001:db8::5/64; 6>",
            None,
        ),
        ("pods have IPv6 alone", told(&[], &["fd00::a"]), "a; +2001:db8::5/64; 6>", None),
        ("IPv6 was handed out before", sticking(&["2001:db8::5"]), "a; +2001:db8::5/64; 6>", None),
        ("no default route", node(), "eth0; +10.0.0.5/24", Some(Awaited::DefaultRoute)),
        ("it was handed out before", given(&["10.0.0.5"]), "eth0; +10.0.0.5/24", None),
        ("a plain node", node(), "eth0; +10.0.0.5/24; >; +2001:db8::5/64; 6>", None),
    ] {
        assert_eq!(on(&wanted, kernel).unwrap().awaited, expected, "{what}: {kernel}");
    }
}

#[test]
fn who_reads_why_there_is_no_address_is_told_of_the_right_family() {
    let text = |wanted: &Wanted, kernel| on(wanted, kernel).unwrap_err().to_string();
    let none = text(&node(), "lo; +127.0.0.1/8; eth0; +fe80::5/64");
    assert!(none.contains("no address yet") && !none.contains("IPv"), "{none}");
    let lost = text(&sticking(&["10.0.0.5"]), "lo; +127.0.0.1/8; eth0; +fe80::5/64");
    assert!(lost.contains("lost 10.0.0.5, the IPv4 address") && !lost.contains("IPv6"), "{lost}");
    let v4 = text(&told(&[], &["10.96.0.10"]), "eth0; +2001:db8::5/64; 6>");
    assert!(v4.contains("no IPv4 address yet"), "{v4}");
}
