//! Layouts of hosts as distributions ship them, and what is found there.

use std::path::Path;

use super::*;

#[test]
fn the_stub_of_resolved_is_unwrapped() {
    let files = [
        (ETC, "-> ../run/systemd/resolve/stub-resolv.conf"),
        ("/run/systemd/resolve/stub-resolv.conf", STUB_FILE),
        (RESOLVED, "nameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch corp.example\n"),
    ];
    let found = host(&files, &all_sources());
    assert_eq!(servers(&found), ["10.0.0.2:53", "10.0.0.3:53"]);
    assert_eq!(&*found.servers[0].1, RESOLVED);
    assert_eq!((found.candidates[0].line, found.source.as_deref()), (Some(1), Some("resolved")));
    assert_eq!(found.search, ["corp.example"]);
    assert_eq!(found.options, ["edns0", "trust-ad"]);
    assert_eq!(used_by_file(&files), ["10.0.0.2:53", "10.0.0.3:53"]);
}

#[test]
fn the_stub_of_resolved_stays_where_plain_servers_would_lose_something() {
    let with = |path: &str, text: &str| {
        let files =
            [(ETC, STUB_FILE), (RESOLVED, "nameserver 10.0.0.2\n"), ("/proc/self/net/udp", UDP_BOTH), (path, text)];
        assert_eq!(used(&files), used_by_file(&files), "{text}");
        used(&files)
    };
    let dropin = "/etc/systemd/resolved.conf.d/a.conf";
    let link = "/run/systemd/netif/links/2";
    for (path, text) in [
        (dropin, "[Resolve]\nDNSOverTLS=yes\n"),
        (dropin, "[Resolve]\nDNSOverTLS=opportunistic\n"),
        (dropin, "[Resolve]\nDNSSEC=true\n"),
        (dropin, "[Resolve]\nDomains=corp.example ~lab.example\n"),
        (dropin, "[Resolve]\nDNS=10.0.0.2:5353\n"),
        (link, "DNS=10.0.0.2\nDNS_OVER_TLS=yes\n"),
        (link, "DNS=10.0.0.2\nROUTE_DOMAINS=corp.example\n"),
        (link, "DNS=10.0.0.2\nDNSSEC=yes\n"),
    ] {
        assert_eq!(with(path, text), ["127.0.0.54:53"], "{text}");
    }
    for (path, text) in [
        (dropin, "[Resolve]\nDNSOverTLS=no\nDNSSEC=allow-downgrade\nDomains=corp.example\nDNS=10.0.0.2#dns.example\n"),
        (dropin, "[Resolve]\nDomains=~lab.example\nDomains=\nDNS=10.0.0.2:5353\nDNS=\n"),
        (dropin, "[Other]\nDNSOverTLS=yes\n"),
        (link, "DNS=10.0.0.2\nDOMAINS=corp.example\nDNS_OVER_TLS=no\n"),
    ] {
        assert_eq!(with(path, text), ["10.0.0.2:53"], "{text}");
    }
}

#[test]
fn delegated_domains_are_left_to_the_stub_and_that_is_told() {
    let delegate = "[Delegate]\nDNS=10.99.0.54\nDomains=corp.example\n";
    let resolved = [(ETC, STUB_FILE), (RESOLVED, "nameserver 10.0.0.2\n"), (UDP, UDP_BOTH)];
    for directory in ["/etc", "/run", "/usr/local/lib", "/usr/lib"] {
        let mut node = Node::with(&resolved);
        assert_eq!(node.asked(0), ["10.0.0.2:53"]);
        node.write(&format!("{directory}/systemd/dns-delegate.d/corp.dns-delegate"), delegate);
        let found = node.look(1);
        assert_eq!(servers(&found), ["127.0.0.54:53"], "{directory}");
        let told = "systemd-resolved sends some domains to servers of their own: asked through its stub 127.0.0.54";
        assert!(says(&found, told), "{:?}", found.notes);
        node.sources = vec![SourceName::File(PathBuf::from(ETC))];
        assert_eq!(node.asked(1), ["127.0.0.54:53"], "{directory}");
    }
    let (root, sources) = (Root::machine(), all_sources());
    let inputs =
        Inputs { root: &root, configured: &[], routes: &[], sources: &sources, own: &[], written: Path::new(OURS) };
    let watched = crate::discovery::paths(&inputs);
    for directory in ["/etc", "/run", "/usr/local/lib", "/usr/lib"] {
        let path = PathBuf::from(format!("{directory}/systemd/dns-delegate.d"));
        assert!(watched.contains(&path), "{watched:?}");
    }
    // None: another ending, and one that a link to /dev/null takes back.
    let mut node = Node::with(&resolved);
    node.write("/etc/systemd/dns-delegate.d/readme", delegate);
    node.write("/usr/lib/systemd/dns-delegate.d/corp.dns-delegate", delegate);
    node.write("/etc/systemd/dns-delegate.d/corp.dns-delegate", "-> /dev/null");
    assert_eq!(node.asked(1), ["10.0.0.2:53"]);
}

#[test]
fn links_with_servers_and_domains_of_their_own_are_routed() {
    let one = ("/run/systemd/netif/links/2", "DNS=10.0.0.2\nDOMAINS=a.example\n");
    let resolved = (RESOLVED, "nameserver 10.0.0.2\nnameserver 10.1.0.2\n");
    let other = ("/run/systemd/netif/links/3", "DNS=10.1.0.2\nDOMAINS=b.example\n");
    assert_eq!(used(&[resolved, one, other]), ["127.0.0.53:53"]);
    assert_eq!(used(&[resolved, one, ("/run/systemd/netif/links/3", "DNS=10.1.0.2\nDOMAINS=a.example\n")]).len(), 2);
}

#[test]
fn the_stub_is_the_one_that_listens_and_encryption_is_never_dropped() {
    let with = |udp: &str, text: &str| {
        used(&[(RESOLVED, "nameserver 10.0.0.2\n"), ("/proc/self/net/udp", udp), ("/etc/systemd/resolved.conf", text)])
    };
    assert_eq!(with(UDP_53, "[Resolve]\nDNSOverTLS=yes\n"), ["127.0.0.53:53"]);
    assert_eq!(with("none", "[Resolve]\nDNSOverTLS=yes\n"), [""; 0]);
    assert_eq!(with("none", "[Resolve]\nDNSSEC=yes\n"), ["10.0.0.2:53"]);
}

#[test]
fn kubesprays_host_mode_is_looked_through() {
    let resolved = (RESOLVED, "nameserver 169.254.25.10\nsearch default.svc.cluster.local\n");
    let dropin = "/etc/systemd/resolved.conf.d/kubespray.conf";
    let found = host(
        &[(ETC, STUB_FILE), resolved, (dropin, "[Resolve]\nDNS=169.254.25.10\nFallbackDNS=10.0.0.2 10.0.0.3\n")],
        &all_sources(),
    );
    assert_eq!(servers(&found), ["10.0.0.2:53", "10.0.0.3:53"]);
    assert_eq!(found.source.as_deref(), Some("resolved"));
    let refused: Vec<_> = found.candidates.iter().filter_map(|candidate| candidate.usage.reason()).collect();
    assert!(refused[0].contains("NodeLocal"), "{refused:?}");
    let links = ("/run/systemd/netif/links/2", "DNS=10.0.0.4\n");
    assert_eq!(used(&[resolved, (dropin, "[Resolve]\nDNS=169.254.25.10\n"), links]), ["10.0.0.4:53"]);
    // One good server beside the cache is enough, and the cache is dropped alone.
    assert_eq!(used(&[(RESOLVED, "nameserver 169.254.25.10\nnameserver 10.0.0.9\n"), links]), ["10.0.0.9:53"]);
}

#[test]
fn the_dnsmasq_of_network_manager_is_unwrapped() {
    let files = [
        (ETC, "# Generated by NetworkManager\nsearch corp.example\nnameserver 127.0.0.1\n"),
        ("/run/NetworkManager/resolv.conf", "# Generated by NetworkManager\nnameserver 127.0.0.1\n"),
        ("/run/NetworkManager/no-stub-resolv.conf", "search corp.example\nnameserver 10.0.0.2\n"),
    ];
    assert_eq!(used(&files), ["10.0.0.2:53"]);
    assert_eq!(used_by_file(&files), ["10.0.0.2:53"]);
    let routed = [files[0], files[1], files[2], ("/etc/NetworkManager/dnsmasq.d/x.conf", "server=/corp/10.1.0.1\n")];
    assert_eq!(used(&routed), ["127.0.0.1:53"]);
    assert_eq!(used_by_file(&routed), ["127.0.0.1:53"]);
}

#[test]
fn a_stub_that_a_person_gave_to_network_manager_stays() {
    let files = [
        (ETC, "# Generated by NetworkManager\nnameserver 127.0.0.1\n"),
        ("/run/NetworkManager/resolv.conf", "nameserver 127.0.0.1\n"),
        ("/run/NetworkManager/no-stub-resolv.conf", "nameserver 127.0.0.1\nnameserver 10.0.0.2\n"),
    ];
    assert_eq!(used_by_file(&files), ["127.0.0.1:53"]);
}

#[test]
fn network_manager_feeding_resolved_is_read_from_its_own_file() {
    let files = [
        ("/run/NetworkManager/resolv.conf", "nameserver 127.0.0.53\n"),
        ("/run/NetworkManager/no-stub-resolv.conf", "nameserver 10.0.0.2\n"),
    ];
    assert_eq!(used(&files), ["10.0.0.2:53"]);
    let encrypted = [
        files[0],
        files[1],
        (RESOLVED, "nameserver 10.0.0.2\n"),
        ("/etc/systemd/resolved.conf", "[Resolve]\nDNSOverTLS=yes\n"),
    ];
    assert_eq!(servers(&host(&encrypted, &[SourceName::NetworkManager])), ["127.0.0.53:53"]);
}

#[test]
fn debians_dnsmasq_is_unwrapped() {
    let files = [(ETC, "nameserver 127.0.0.1\n"), ("/run/dnsmasq/resolv.conf", "nameserver 10.0.0.2\n")];
    assert_eq!(used(&files), ["10.0.0.2:53"]);
    for conf in ["address=/x/1.1.1.1\n", "no-resolv\nserver=10.0.0.9\n", "  dnssec\n"] {
        assert_eq!(used(&[files[0], files[1], ("/etc/dnsmasq.d/x", conf)]), ["127.0.0.1:53"], "{conf}");
    }
    assert_eq!(used(&[files[0], files[1], ("/etc/dnsmasq.conf", "#server=/x/1\ncache-size=9\n")]), ["10.0.0.2:53"]);
}

#[test]
fn a_loopback_server_that_nobody_can_unwrap_is_a_server() {
    for address in ["127.0.0.1", "127.0.0.11", "127.0.0.53", "127.0.0.153", "::1"] {
        let found = host(&[(ETC, &format!("nameserver {address}\nnameserver 10.0.0.2\n"))], &all_sources());
        assert_eq!(found.servers.len(), 2, "{address}");
        assert_eq!(found.servers[0].0, address.parse::<Endpoint>().unwrap());
    }
}

#[test]
fn networkd_alone_gives_its_links_servers() {
    let found = host(
        &[
            ("/run/systemd/netif/links/10", "DNS=10.0.0.4\n"),
            (
                "/run/systemd/netif/links/2",
                "OPER_STATE=routable\nDNS=10.0.0.2 fe80::1 10.0.0.3:5353#x\nDOMAINS=corp.example\n",
            ),
            ("/run/systemd/netif/leases/2", "DNS=10.9.9.9\n"),
            ("/run/systemd/netif/leases/3", "DNS=10.0.0.5 10.0.0.6\nDOMAINNAME=lab.example\n"),
            (ETC, "search other.example\noptions edns0\n"),
        ],
        &all_sources(),
    );
    assert_eq!(servers(&found), ["10.0.0.2:53", "[fe80::1%2]:53", "10.0.0.3:5353", "10.0.0.6:53", "10.0.0.4:53"]);
    assert_eq!(found.candidates[0].line, Some(2));
    assert_eq!(
        (found.search, found.options),
        (vec!["corp.example".into(), "lab.example".into()], vec!["edns0".into()])
    );
}

#[test]
fn resolvconf_is_read_in_its_own_order() {
    let eth = ("/run/resolvconf/interface/eth0.dhclient", "nameserver 10.0.0.2\nsearch corp.example\n");
    let tun = ("/run/resolvconf/interface/tun0", "nameserver 10.8.0.1\n");
    let order = ("/etc/resolvconf/interface-order", "# order\nlo.@(dnsmasq|pdnsd)\nlo\ntun*\neth*\n*\n");
    assert_eq!(used(&[eth, tun, order]), ["10.8.0.1:53", "10.0.0.2:53"]);
    let dnsmasq = ("/run/resolvconf/interface/lo.dnsmasq", "nameserver 127.0.0.1\n");
    assert_eq!(used(&[eth, tun, order, dnsmasq]), ["10.8.0.1:53", "10.0.0.2:53"]);
    let files = [eth, dnsmasq, (ETC, "nameserver 127.0.0.1\n")];
    assert_eq!(used_by_file(&files), ["10.0.0.2:53"]);
    // unbound on loopback validates: what is behind it is not asked.
    assert_eq!(
        used(&[
            eth,
            ("/run/resolvconf/interface/lo.unbound", "nameserver 127.0.0.1\n"),
            ("/etc/resolvconf/interface-order", "lo*\n")
        ]),
        ["127.0.0.1:53"]
    );
}

#[test]
fn openresolv_is_read_by_metric_and_exclusively_where_asked() {
    let eth = ("/run/resolvconf/interfaces/eth0", "nameserver 10.0.0.2\n");
    let wlan = ("/run/resolvconf/interfaces/wlan0", "nameserver 10.1.0.2\n");
    let metrics = [("/run/resolvconf/metrics/000100 wlan0", ""), ("/run/resolvconf/metrics/000200 eth0", "")];
    assert_eq!(used(&[eth, wlan, metrics[0], metrics[1]]), ["10.1.0.2:53", "10.0.0.2:53"]);
    let tunnel = ("/run/resolvconf/interfaces/wg0", "nameserver 10.8.0.1\n");
    assert_eq!(used(&[eth, wlan, tunnel]), ["10.8.0.1:53", "10.0.0.2:53", "10.1.0.2:53"]);
    assert_eq!(used(&[eth, tunnel, ("/run/resolvconf/exclusive/000001 wg0", "")]), ["10.8.0.1:53"]);
}

#[test]
fn what_the_kernel_learnt_at_boot_is_the_last_resort() {
    let pnp = ("/proc/self/net/pnp", "#PROTO: DHCP\ndomain corp.example\nnameserver 10.0.0.2\nbootserver 10.0.0.1\n");
    let found = host(&[pnp, (ETC, "# empty\n")], &all_sources());
    assert_eq!((servers(&found), found.search), (vec!["10.0.0.2:53".into()], vec!["corp.example".into()]));
    assert_eq!(used(&[pnp, (ETC, "nameserver 10.0.0.9\n")]), ["10.0.0.9:53"]);
    assert_eq!(used(&[pnp, (ETC, "-> ../proc/net/pnp")]), ["10.0.0.2:53"]);
}

#[test]
fn one_bad_server_never_discards_the_rest() {
    let found = host(
        &[
            (
                ETC,
                "nameserver 0.0.0.0\nnameserver 10.0.0.5\nnameserver 10.96.0.10\nnonsense\nnameserver x\nnameserver 10.0.0.2\nnameserver 10.0.0.2\n",
            ),
            ("/var/lib/kubelet/config.yaml", "clusterDNS:\n- 10.96.0.10\n"),
        ],
        &all_sources(),
    );
    assert_eq!(servers(&found), ["10.0.0.2:53"]);
    let verdicts: Vec<_> =
        found.candidates.iter().map(|candidate| (candidate.line, candidate.usage.reason().is_none())).collect();
    assert_eq!(verdicts, [(Some(1), false), (Some(2), false), (Some(3), false), (Some(6), true), (Some(7), false)]);
}

#[test]
fn the_configurations_own_servers_come_first_and_are_vetted_too() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path());
    std::fs::create_dir_all(root.path("/etc")).unwrap();
    std::fs::write(root.path(ETC), "nameserver 10.0.0.2\nsearch corp.example\n").unwrap();
    let found = |configured: &[Endpoint]| {
        look(&Inputs {
            root: &root,
            configured,
            routes: &[],
            sources: &all_sources(),
            own: &["10.0.0.5:53".parse().unwrap()],
            written: Path::new(OURS),
        })
    };
    let configured = found(&["10.0.0.5".parse().unwrap(), "10.0.0.7:5353".parse().unwrap()]);
    assert_eq!(servers(&configured), ["10.0.0.7:5353"]);
    assert_eq!((configured.source.as_deref(), configured.search.len()), (Some("configuration"), 1));
    assert_eq!(servers(&found(&["10.0.0.5".parse().unwrap()])), ["10.0.0.2:53"]);
}

#[test]
fn what_a_look_depends_on_is_watched() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path());
    let inputs = Inputs {
        root: &root,
        configured: &[],
        routes: &[],
        sources: &[SourceName::File(ETC.into())],
        own: &[],
        written: Path::new(OURS),
    };
    let paths = super::super::paths(&inputs);
    for path in [ETC, RESOLVED, "/etc/systemd/resolved.conf.d", "/var/lib/kubelet/config.yaml", "/etc/dnsmasq.d"] {
        assert!(paths.contains(&root.path(path)), "{path}");
    }
}

#[test]
fn nothing_at_all_is_nothing_made_up() {
    let found = host(&[], &all_sources());
    assert_eq!((found.servers.len(), found.candidates.len(), found.unknown.len()), (0, 0, 0));
}

#[test]
fn what_cannot_be_read_is_unknown_and_the_rest_goes_on() {
    let found = host(&[("/run/systemd/resolve/resolv.conf/x", ""), (ETC, "nameserver 10.0.0.2\n")], &all_sources());
    assert_eq!(servers(&found), ["10.0.0.2:53"]);
    assert!(found.unknown[0].contains(RESOLVED), "{:?}", found.unknown);
}
