//! The table of routes and addresses, with what must come out.

use std::net::IpAddr;

use super::choose::{Awaited, Chosen, Families, NoAddress, Origin, Place, Told, Wanted, choose};
use crate::upstream::Server;

use super::table::{Address, AddressFlags, Link, LinkIndex, Route, RouteKind, Scope, Tables};

/// Reads tables from lines, to keep the rows below short:
/// `eth0 [kind] [down]` a link, `+10.0.0.5/24 [flag…]` an address of the last link, `>[metric] [via IP] [src IP]` a
/// default route by it (IPv4, or IPv6 with `6>`).
pub(crate) fn tables(text: &str) -> Tables {
    let mut tables = Tables::default();
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let words: Vec<&str> = item.split_whitespace().collect();
        let index = LinkIndex(u32::try_from(tables.links.len()).unwrap());
        let after = |word: &str| words.iter().position(|w| *w == word).map(|at| words[at + 1].parse().unwrap());
        if let Some(network) = words[0].strip_prefix('+') {
            let (ip, prefix) = network.split_once('/').unwrap();
            let ip: IpAddr = ip.parse().unwrap();
            let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
            tables.addresses.push(Address {
                ip,
                prefix: prefix.parse().unwrap(),
                link: index,
                scope: match () {
                    () if link_local => Scope::Link,
                    () if ip.is_loopback() => Scope::Host,
                    () => Scope::Global,
                },
                flags: AddressFlags {
                    temporary: words.contains(&"temporary"),
                    deprecated: words.contains(&"deprecated"),
                    tentative: words.contains(&"tentative"),
                    secondary: words.contains(&"secondary"),
                },
            });
        } else if let Some((family, metric)) = words[0].split_once('>') {
            tables.routes.push(Route {
                destination: if family == "6" { "::/0" } else { "0.0.0.0/0" }.parse().unwrap(),
                kind: if words.contains(&"unreachable") { RouteKind::Refused } else { RouteKind::Unicast },
                gateway: after("via"),
                link: Some(index),
                metric: metric.parse().unwrap_or(0),
                source: after("src"),
            });
        } else {
            tables.links.push(Link {
                index: LinkIndex(index.0 + 1),
                name: words[0].to_owned(),
                kind: words.get(1).filter(|word| **word != "down").unwrap_or(&"").to_string(),
                up: !words.contains(&"down"),
                loopback: words[0] == "lo",
            });
        }
    }
    tables
}

pub(super) fn node() -> Wanted {
    Wanted { places: vec![Place::Node], ..Wanted::default() }
}

pub(super) fn told(node_ip: &[&str], cluster_dns: &[&str]) -> Wanted {
    let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Wanted { told: Told { node_ip: ips(node_ip), cluster_dns: ips(cluster_dns) }, ..node() }
}

pub(super) fn shown(result: Result<Chosen, NoAddress>) -> String {
    match result {
        Ok(chosen) => chosen.addresses.iter().map(|a| a.socket.ip().to_string()).collect::<Vec<_>>().join(" "),
        Err(NoAddress::NoneYet { family: None }) => "none yet".to_owned(),
        Err(NoAddress::NoneYet { family: Some(family) }) => format!("none yet: {family}"),
        Err(NoAddress::Lost { ip }) => format!("lost {ip}"),
        Err(NoAddress::LinkHasNone { link, family }) => format!("none on {link}: {family}"),
        Err(NoAddress::Unclear { candidates }) => format!("unclear: {}", candidates.join(", ")),
        Err(other) => other.to_string(),
    }
}

/// What the kernel has, and what must come out when nothing was said.
const NODES: [(&str, &str, &str); 32] = [
    ("a plain server", "lo; +127.0.0.1/8; eth0; +10.0.0.5/24; > via 10.0.0.1", "10.0.0.5"),
    ("nothing yet", "lo; +127.0.0.1/8; eth0", "none yet"),
    ("a route before its address", "eth0; > via 10.0.0.1", "none on eth0: IPv4"),
    ("the lower metric wins", "wlan0; +10.1.0.5/24; >600; eth0; +10.0.0.5/24; >100", "10.0.0.5"),
    ("private before public on one link", "eth0; +198.51.100.7/24; +10.0.0.5/24; >", "10.0.0.5"),
    (
        "the default link's public before another's private",
        "eth0; +198.51.100.7/24; >; eth1; +10.0.0.5/24",
        "198.51.100.7",
    ),
    ("shared address space is private", "eth0; +198.51.100.7/24; +100.64.3.4/24; >", "100.64.3.4"),
    ("a VIP beside the node's address", "eth0; +10.0.0.5/24; +10.0.0.100/32; >", "10.0.0.5"),
    ("a private VIP beside a public address", "eth0; +198.51.100.7/24; +10.0.0.100/32; >", "198.51.100.7"),
    ("GCP: a /32 alone", "ens4; +10.128.0.9/32; > via 10.128.0.1", "10.128.0.9"),
    ("two /32, the route names its source", "ens4; +10.128.0.100/32; +10.128.0.9/32; > src 10.128.0.9", "10.128.0.9"),
    ("a secondary listed first", "eth0; +10.0.0.100/24 secondary; +10.0.0.5/24; >", "10.0.0.5"),
    ("two networks: the router's", "eth0; +10.9.0.5/24; +10.0.0.5/24; > via 10.0.0.1", "10.0.0.5"),
    ("two networks: the route's source", "eth0; +10.9.0.5/24; +10.0.0.5/24; > via 10.9.0.1 src 10.0.0.5", "10.0.0.5"),
    ("no address by DHCP: link-local alone", "eth0; +169.254.7.7/16; >", "none on eth0: IPv4"),
    ("IPv6 alone", "eth0; +fe80::5/64; +2001:db8::5/64; 6> via fe80::1", "2001:db8::5"),
    ("IPv4 before IPv6", "eth0; +2001:db8::5/64; 6>; +10.0.0.5/24; >", "10.0.0.5"),
    ("not temporary", "eth0; +2001:db8::1/64 temporary; +2001:db8::5/64; 6>", "2001:db8::5"),
    ("not deprecated", "eth0; +2001:db8::1/64 deprecated; +2001:db8::5/64; 6>", "2001:db8::5"),
    ("tentative is not yet", "eth0; +2001:db8::1/64 tentative; 6>", "none on eth0: IPv6"),
    ("unique local before global", "eth0; +2001:db8::5/64; +fd00::5/64; 6>", "fd00::5"),
    ("AWS: a /128 by DHCPv6 alone", "eth0; +fe80::5/64; +2001:db8::5/128; 6>", "2001:db8::5"),
    (
        "a /128 VIP while the own one is tentative",
        "eth0; +2001:db8::1/64 tentative; +2001:db8::9/128; 6>",
        "none on eth0: IPv6",
    ),
    ("IPv6's order in the kernel does not matter", "eth0; +2001:db8::9/64; +2001:db8::5/64; 6>", "2001:db8::5"),
    ("a VPN takes the default route", "tun0 tun; +10.8.0.2/24; >0; eth0; +10.0.0.5/24; >100", "10.0.0.5"),
    ("an unreachable default route is none", "eth0; +10.0.0.5/24; > unreachable", "10.0.0.5"),
    ("BGP: the address is on lo", "lo; +127.0.0.1/8; +10.7.0.5/32; eth0; > via fe80::1 src 10.7.0.5", "10.7.0.5"),
    ("no default route, one address", "lo; +127.0.0.1/8; eth0; +10.0.0.5/24", "10.0.0.5"),
    ("no default route, two", "eth0; +10.0.0.5/24; eth1; +10.1.0.5/24", "unclear: 10.0.0.5 (eth0), 10.1.0.5 (eth1)"),
    (
        "no default route, the rest is made for pods",
        "eth0; +10.0.0.5/24; kube-ipvs0 dummy; +10.96.0.10/32; nodelocaldns dummy; +10.2.2.2/32; cni0 bridge; +10.42.0.1/24; \
         docker0 bridge; +172.17.0.1/16; flannel.1 vxlan; +10.42.0.0/32; wg0 wireguard; +10.8.0.2/24; vetha1 veth; +10.42.0.1/32",
        "10.0.0.5",
    ),
    ("a stray IPv4 beside IPv6 with a default route", "usb0; +10.3.0.1/24; eth0; +2001:db8::5/64; 6>", "2001:db8::5"),
    ("only a tunnel", "wg0 wireguard; +10.8.0.2/24; >", "none yet"),
];

#[test]
fn the_node_has_the_address_that_the_design_says() {
    for (what, kernel, expected) in NODES {
        assert_eq!(shown(choose(&node(), &tables(kernel))), expected, "{what}: {kernel}");
    }
}

const DUAL: &str = "eth0; +10.0.0.5/24; +10.0.0.6/24 secondary; >; +2001:db8::5/64; 6>; eth1; +10.1.0.5/24";

#[test]
fn what_was_said_goes_before_what_is_found() {
    let with = |change: fn(&mut Wanted)| {
        let mut wanted = node();
        change(&mut wanted);
        wanted
    };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    for (what, wanted, expected) in [
        ("nothing", node(), "10.0.0.5"),
        ("kubelet's node-ip", told(&["10.1.0.5"], &[]), "10.1.0.5"),
        (
            "our node_ip before kubelet's",
            Wanted { node_ip: vec![ip("10.0.0.6")], ..told(&["10.1.0.5"], &[]) },
            "10.0.0.6",
        ),
        ("our node_ip, not there yet", with(|w| w.node_ip = vec!["10.5.5.5".parse().unwrap()]), "10.5.5.5"),
        ("dual-stack node-ip", told(&["10.1.0.5", "2001:db8::5"], &[]), "10.1.0.5 2001:db8::5"),
        ("node-ip that only prefers IPv6", told(&["::"], &[]), "2001:db8::5"),
        ("pods have IPv6", told(&[], &["fd00::a"]), "2001:db8::5"),
        ("pods have IPv4, the node both", told(&["10.1.0.5", "2001:db8::5"], &["10.96.0.10"]), "10.1.0.5"),
        ("pods have both", told(&[], &["10.96.0.10", "fd00::a"]), "10.0.0.5 2001:db8::5"),
        ("families = ipv6", with(|w| w.families = Families::Ipv6), "2001:db8::5"),
        ("families = ipv4", Wanted { families: Families::Ipv4, ..told(&[], &["fd00::a"]) }, "10.0.0.5"),
        ("both", with(|w| w.families = Families::Both), "10.0.0.5 2001:db8::5"),
        ("the one in use stays", with(|w| w.handed_out = vec!["10.0.0.6".parse().unwrap()]), "10.0.0.6"),
        ("of another link it does not", with(|w| w.handed_out = vec!["10.1.0.5".parse().unwrap()]), "10.0.0.5"),
        ("interface", with(|w| w.places = vec![Place::Interface { name: "eth1".into(), port: 53 }]), "10.1.0.5"),
        (
            "interface with two",
            with(|w| w.places = vec![Place::Interface { name: "eth0".into(), port: 53 }]),
            "10.0.0.5 10.0.0.6",
        ),
    ] {
        assert_eq!(shown(choose(&wanted, &tables(DUAL))), expected, "{what}");
    }
}

#[test]
fn kubelets_address_that_is_not_there_is_waited_for() {
    let reason = choose(&told(&["10.5.5.5"], &[]), &tables(DUAL)).unwrap_err();
    assert_eq!(reason, NoAddress::ToldIsAbsent { ip: "10.5.5.5".parse().unwrap() });
    assert!(reason.may_come());
}

#[test]
fn an_explicit_address_need_not_exist_but_needs_its_link() {
    let at =
        |ip: &str, link: Option<&str>| Place::Address(Server::scoped(ip.parse().unwrap(), link.unwrap_or(""), 5353));
    let only = |place: Place| choose(&Wanted { places: vec![place], ..Wanted::default() }, &tables(DUAL));
    let absent = only(at("192.0.2.1", None)).unwrap().addresses.remove(0);
    assert_eq!((absent.socket.to_string().as_str(), absent.present), ("192.0.2.1:5353", false));
    assert!(only(at("10.0.0.6", None)).unwrap().addresses[0].present);
    assert_eq!(only(at("fe80::1", Some("eth1"))).unwrap().addresses[0].socket.to_string(), "[fe80::1%2]:5353");
    assert!(!only(at("fe80::1", None)).unwrap_err().may_come());
    assert!(only(at("fe80::1", Some("eth9"))).unwrap_err().may_come());
}

#[test]
fn one_place_without_address_does_not_take_the_others_along() {
    let places = vec![
        Place::Interface { name: "eth9".into(), port: 53 },
        Place::Node,
        Place::Address("10.0.0.5".parse().unwrap()),
    ];
    let chosen = choose(&Wanted { places, ..Wanted::default() }, &tables(DUAL)).unwrap();
    assert_eq!(chosen.addresses.len(), 1, "the same address is listened on once");
    assert_eq!(chosen.addresses[0].origin, Origin::DefaultRoute { link: "eth0".into() });
    assert_eq!(chosen.missing, [NoAddress::NoSuchLink { name: "eth9".into() }]);
}

#[test]
fn what_an_operator_should_know_is_said() {
    let chosen = choose(&node(), &tables("eth0; +198.51.100.7/24; >")).unwrap();
    assert!(chosen.warnings[0].starts_with("198.51.100.7 on eth0 is a public address"), "{:?}", chosen.warnings);
    assert_eq!(chosen.awaited, None);
    let chosen = choose(&node(), &tables("eth0; +10.0.0.5/24")).unwrap();
    assert!(chosen.warnings[0].contains("no IPv4 default route"), "{:?}", chosen.warnings);
    assert_eq!(chosen.awaited, Some(Awaited::DefaultRoute));
    let unclear = choose(&node(), &tables("eth0; +10.0.0.5/24; eth1; +10.1.0.5/24")).unwrap_err().to_string();
    assert!(unclear.contains("--listen") && unclear.contains("10.1.0.5 (eth1)"), "{unclear}");
    let wrong = Wanted { node_ip: vec!["10.0.0.5".parse().unwrap()], families: Families::Ipv6, ..node() };
    assert!(!choose(&wrong, &tables(DUAL)).unwrap_err().may_come());
}
