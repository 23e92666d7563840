//! What stands in the file that we write is never an upstream, whatever is known of our listeners.

use super::*;
use crate::discovery::last_good::LastGood;
use crate::discovery::preference::Offer;
use crate::kubelet_resolv_conf::{Content, Naming, Policy, render};

const OUR_FILE: &str = "# Written by Onward\nnameserver 10.0.0.5\nnameserver fd00::5\nsearch old.example\n";

/// Before a listener is known.
fn starting(files: &[(&str, &str)]) -> Node {
    let mut node = Node::with(files);
    node.own = Vec::new();
    node
}

#[test]
fn a_link_to_our_file_gives_no_upstream_before_listeners_are_known() {
    for etc in ["-> ../run/onward/resolv.conf", "-> /run/onward/resolv.conf", OUR_FILE] {
        let mut node = starting(&[(ETC, etc), (OURS, OUR_FILE)]);
        let found = node.look(0);
        assert_eq!((servers(&found), found.offer()), (vec![], None), "{etc}");
        assert!(found.candidates.iter().all(|one| one.usage.reason().is_some_and(|why| why.contains("Onward itself"))));
    }
}

#[test]
fn a_file_that_was_left_when_onward_was_removed_names_no_onward() {
    let at = ["10.0.0.2:53".parse().unwrap()];
    let (search, options) = (Policy::Keep, Policy::Keep);
    let content =
        Content { naming: Naming::Node, listeners: &at, search: &search, options: &options, found: Default::default() };
    let left = render(&content).unwrap().text;
    assert!(left.contains("nameserver 10.0.0.2"));
    let mut node = starting(&[(ETC, STUB_FILE), (RESOLVED, "nameserver 10.0.0.2\n"), (OURS, &left)]);
    assert_eq!(node.asked(0), ["10.0.0.2:53"]);
    // The same servers in a file of ours are we.
    node.write(OURS, "# Written by Onward\nnameserver 10.0.0.2\n");
    assert_eq!(node.asked(0), [""; 0]);
}

#[test]
fn where_the_node_asks_us_every_program_may_speak() {
    for (etc, ours) in [
        ("-> ../run/onward/resolv.conf", Some(OUR_FILE)),
        ("-> /run/onward/resolv.conf", None), // after a reboot
        (OUR_FILE, Some(OUR_FILE)),
    ] {
        for (path, text, source) in [
            (RESOLVED, "nameserver 10.0.0.2\n", "resolved"),
            (NM_REAL, "nameserver 10.0.0.2\n", "networkmanager"),
            ("/run/systemd/netif/links/2", "DNS=10.0.0.2\n", "networkd"),
            ("/run/resolvconf/interface/eth0", "nameserver 10.0.0.2\n", "resolvconf"),
        ] {
            let mut node = starting(&[(ETC, etc), (path, text)]);
            if let Some(ours) = ours {
                node.write(OURS, ours);
            }
            let found = node.look(0);
            assert_eq!((servers(&found), found.source.as_deref()), (vec!["10.0.0.2:53".into()], Some(source)), "{etc}");
            assert_eq!(found.standing, Standing::Full);
        }
    }
}

#[test]
fn our_file_is_no_source_of_its_own_search_list() {
    let mut node =
        starting(&[(ETC, "-> ../run/onward/resolv.conf"), (OURS, OUR_FILE), (RESOLVED, "nameserver 10.0.0.2\n")]);
    assert_eq!(node.look(0).search, [""; 0]);
    node.write(RESOLVED, "nameserver 10.0.0.2\nsearch new.example\n");
    assert_eq!(node.look(0).search, ["new.example"]);
}

#[test]
fn a_program_that_took_our_address_over_is_seen_through() {
    // resolved makes a plain /etc/resolv.conf its own configuration ("foreign").
    let files = [(ETC, OUR_FILE), (OURS, OUR_FILE), (RESOLVED, "nameserver 10.0.0.5\n"), (UDP, UDP_BOTH)];
    assert_eq!(starting(&files).asked(0), [""; 0]);
    let link = ("/run/systemd/netif/links/2", "DNS=10.0.0.2\n");
    assert_eq!(starting(&[files[0], files[1], files[2], files[3], link]).asked(0), ["10.0.0.2:53"]);
}

#[test]
fn after_a_reboot_it_is_remembered_where_we_listened_until_we_listen_again() {
    let mut node = starting(&[(ETC, "nameserver 10.0.0.6\n"), (RESOLVED, "nameserver 10.0.0.6\n")]);
    let servers = vec![("10.0.0.2:53".parse().unwrap(), "file".into())];
    let offer = Offer { name: "resolved".into(), servers, ..Offer::default() };
    let own = vec!["10.0.0.6:53".parse().unwrap()];
    node.memory.resume(LastGood { offer, at: crate::clock::wall(), own, cluster_dns: Vec::new() });
    let found = node.look(0);
    assert_eq!((super::servers(&found), found.kept), (vec!["10.0.0.2:53".to_owned()], true));
    // The address is another's now.
    node.own = vec!["10.0.0.7:53".parse().unwrap()];
    assert_eq!(node.asked(1), ["10.0.0.6:53"]);
}

#[test]
fn a_kept_list_that_names_us_is_not_asked() {
    let mut node = starting(&[(OURS, OUR_FILE)]);
    let servers = vec![("10.0.0.5:53".parse().unwrap(), "file".into())];
    let offer = Offer { name: "resolved".into(), servers, ..Offer::default() };
    node.memory.resume(LastGood { offer, at: crate::clock::wall(), own: Vec::new(), cluster_dns: Vec::new() });
    assert_eq!(node.asked(0), [""; 0]);
}

#[test]
fn a_server_beside_us_in_the_hosts_file_is_asked() {
    assert_eq!(used(&[(ETC, "nameserver 10.0.0.5\nnameserver 10.0.0.2\n")]), ["10.0.0.2:53"]);
}
