//! What the node asks with encryption is never asked in plain text.

use super::*;

const TLS: (&str, &str) = ("/etc/systemd/resolved.conf", "[Resolve]\nDNSOverTLS=yes\n");
const SERVERS: (&str, &str) = (RESOLVED, "nameserver 10.0.0.2\n");

/// A node on whose every source there is a server to be asked in plain text.
fn node(udp: &str, conf: (&str, &str)) -> Node {
    Node::with(&[
        (ETC, "-> ../run/systemd/resolve/stub-resolv.conf"),
        ("/run/systemd/resolve/stub-resolv.conf", STUB_FILE),
        SERVERS,
        (NM, "nameserver 127.0.0.53\n"),
        (NM_REAL, "nameserver 10.0.0.2\n"),
        ("/run/systemd/netif/links/2", "DNS=10.0.0.2\n"),
        ("/run/resolvconf/interface/eth0", "nameserver 10.0.0.2\n"),
        (UDP, udp),
        conf,
    ])
}

#[test]
fn without_a_stub_nothing_is_asked_in_plain_text_however_long() {
    let conf = ("/etc/systemd/resolved.conf", "[Resolve]\nDNSOverTLS=yes\nDNSStubListener=no\n");
    let mut node = node(UDP_NONE, conf);
    for after in [0, 29, 31, 3_600] {
        let found = node.look(after);
        assert_eq!(servers(&found), [""; 0], "after {after} s");
        assert!(says(&found, "not asked in plain text"), "{:?}", found.notes);
    }
    // Nor by any single source.
    for source in all_sources() {
        if source == SourceName::Resolvconf || source == SourceName::Networkd {
            continue; // named alone, these are the configuration's will, and know nothing of resolved's
        }
        node.sources = vec![source.clone()];
        assert_eq!(node.asked(40), [""; 0], "{source}");
    }
}

#[test]
fn while_the_program_that_encrypts_restarts_its_stub_stays_the_server() {
    let mut node = node(UDP_BOTH, TLS);
    assert_eq!(node.asked(0), ["127.0.0.54:53"]);
    node.write(UDP, UDP_NONE);
    for after in [0, 31, 600] {
        assert_eq!(node.asked(after), ["127.0.0.54:53"]);
    }
    node.remove(RESOLVED);
    assert_eq!(node.asked(31), ["127.0.0.54:53"]);
    node.remove("/run/systemd/resolve");
    assert_eq!(node.asked(31), ["127.0.0.54:53"]);
    node.write(RESOLVED, SERVERS.1);
    node.write(UDP, UDP_53);
    assert_eq!(node.asked(1), ["127.0.0.53:53"]);
}

#[test]
fn a_switch_to_encryption_ends_plain_queries_in_the_same_look() {
    let mut node = node(UDP_BOTH, ("/etc/systemd/resolved.conf", "[Resolve]\n"));
    assert_eq!(node.asked(0), ["10.0.0.2:53"]);
    // The configuration first, then the restart: in between, as during it, the servers are not asked.
    node.write(UDP, UDP_NONE);
    node.write(TLS.0, TLS.1);
    let found = node.look(1);
    assert_eq!((servers(&found), found.offer()), (vec![], None));
    assert!(found.look_again.is_some_and(|at| at <= node.now + Duration::from_secs(2)));
    assert_eq!(node.asked(100), [""; 0]);
    node.write(UDP, UDP_BOTH);
    assert_eq!(node.asked(2), ["127.0.0.54:53"]);
    // And back: who switches it off means it.
    node.write(TLS.0, "[Resolve]\nDNSOverTLS=no\n");
    assert_eq!(node.asked(1), ["10.0.0.2:53"]);
}

#[test]
fn a_link_that_encrypts_counts_as_all() {
    let mut node = node(UDP_BOTH, ("/run/systemd/netif/links/3", "DNS=10.0.0.3#dns.example\nDNS_OVER_TLS=yes\n"));
    assert_eq!(node.asked(0), ["127.0.0.54:53"]);
    node.write(UDP, UDP_NONE);
    assert_eq!(node.asked(60), ["127.0.0.54:53"]);
    // networkd's own list by itself has nothing that could encrypt.
    node.sources = vec![SourceName::Networkd];
    node.memory = Memory::default();
    assert_eq!(node.asked(0), [""; 0]);
}

#[test]
fn opportunistic_encryption_is_waited_for_too() {
    let mut node = node(UDP_BOTH, ("/etc/systemd/resolved.conf", "[Resolve]\nDNSOverTLS=opportunistic\n"));
    assert_eq!(node.asked(0), ["127.0.0.54:53"]);
    node.write(UDP, UDP_NONE);
    assert_eq!(node.asked(60), ["127.0.0.54:53"]);
}

#[test]
fn a_stub_that_routes_or_validates_keeps_its_place_while_it_restarts() {
    let mut node = node(UDP_BOTH, ("/etc/systemd/resolved.conf", "[Resolve]\nDomains=~corp.example\n"));
    assert_eq!(node.asked(0), ["127.0.0.54:53"]);
    node.write(UDP, UDP_NONE);
    let held = node.look(1);
    assert_eq!(servers(&held), ["127.0.0.54:53"]);
    assert!(says(&held, "a list in use stays for upstreams.hold"), "{:?}", held.notes);
    // Gone for good it is worse than its servers; what is on disk stays.
    let found = {
        node.look(31);
        node.look(31)
    };
    assert_eq!(servers(&found), ["10.0.0.2:53"]);
    node.write(UDP, UDP_53);
    assert_eq!(node.asked(1), ["127.0.0.53:53"]);
}

#[test]
fn a_configuration_that_is_left_of_a_program_that_does_not_govern_bars_nothing() {
    let found = host(&[(ETC, "nameserver 10.9.9.9\n"), SERVERS, TLS, (UDP, UDP_NONE)], &all_sources());
    assert_eq!(servers(&found), ["10.9.9.9:53"]);
}
