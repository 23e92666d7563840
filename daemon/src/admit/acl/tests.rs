//! Allow-lists of nodes as they are found, and a slow reference for the longest prefix.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use super::{AllowList, Allowed};
use crate::node_address::table::{Address, AddressFlags, LinkIndex, Route, RouteKind, Scope, Tables};

const ETH0: u32 = 2;
const ETH1: u32 = 3;
const VETH: u32 = 7;

/// `10.0.0.0/8 2`: by link 2; `via IP`: with a router; `metric N`; `blackhole`.
fn route(text: &str) -> Route {
    let words: Vec<&str> = text.split(' ').collect();
    let after = |word: &str| words.iter().position(|w| *w == word).map(|at| words[at + 1]);
    let destination: IpNet = words[0].parse().unwrap();
    let refused = words[1] == "blackhole" || words[1] == "unreachable";
    Route {
        destination,
        kind: if refused { RouteKind::Refused } else { RouteKind::Unicast },
        gateway: after("via").map(|ip| ip.parse().unwrap()),
        link: words[1].parse().ok().map(LinkIndex),
        metric: after("metric").map_or(0, |metric| metric.parse().unwrap()),
        source: None,
    }
}

fn tables(own: &[(&str, u32)], routes: &[String]) -> Tables {
    let address = |(ip, link): &(&str, u32)| Address {
        ip: ip.parse().unwrap(),
        prefix: 24,
        link: LinkIndex(*link),
        scope: Scope::Global,
        flags: AddressFlags::default(),
    };
    Tables {
        addresses: own.iter().map(address).collect(),
        routes: routes.iter().map(|text| route(text)).collect(),
        ..Tables::default()
    }
}

fn local(own: &[(&str, u32)], routes: &[String]) -> AllowList {
    AllowList::compile(&Allowed { local: true, ..Allowed::default() }, &tables(own, routes))
}

fn check(list: &AllowList, admitted: &[&str], refused: &[&str]) {
    for source in admitted {
        assert!(list.admits(source.parse().unwrap()), "{source} must be admitted");
    }
    for source in refused {
        assert!(!list.admits(source.parse().unwrap()), "{source} must be refused");
    }
}

#[test]
fn pods_with_public_addresses_behind_a_veth_are_local() {
    let routes = [
        format!("::/0 {ETH0} via fe80::1"),
        format!("2001:db8:1::/64 {ETH0}"),
        format!("2001:db8:1:0:50::7/128 {VETH}"),
        format!("0.0.0.0/0 {ETH0} via 198.51.100.1"),
        format!("198.51.100.0/24 {ETH0}"),
        format!("198.51.100.77/32 {VETH}"),
        format!("203.0.113.0/24 {VETH}"),
    ];
    let list = local(&[("2001:db8:1::5", ETH0), ("198.51.100.5", ETH0)], &routes);
    check(
        &list,
        &["2001:db8:1:0:50::7", "2001:db8:1::5", "198.51.100.77", "203.0.113.200", "198.51.100.5", "127.8.9.1", "::1"],
        &[
            "2001:db8:1:0:50::8",
            "2001:db8:1::6",
            "198.51.100.76",
            "198.51.100.78",
            "8.8.8.8",
            "2001:db8:2::1",
            "10.0.0.1",
        ],
    );
}

#[test]
fn a_blackhole_behind_pods_is_not_local_but_the_pods_in_it_are() {
    let routes = [
        format!("0.0.0.0/0 {ETH0}"),
        "203.0.113.0/26 blackhole".to_owned(),
        format!("203.0.113.9/32 {VETH}"),
        "2001:db8::/32 unreachable".to_owned(),
        format!("203.0.113.0/24 {VETH}"),
    ];
    check(
        &local(&[], &routes),
        &["203.0.113.9", "203.0.113.64", "203.0.113.255"],
        &["203.0.113.0", "203.0.113.8", "203.0.113.10", "203.0.113.63", "2001:db8::1"],
    );
}

#[test]
fn without_a_default_route_only_neighbours_are_local() {
    let routes = [format!("203.0.113.0/24 {ETH0}"), format!("198.51.100.0/24 {ETH0} via 203.0.113.1")];
    check(&local(&[], &routes), &["203.0.113.9"], &["198.51.100.9", "8.8.8.8"]);
}

#[test]
fn a_link_that_leads_out_in_one_family_leads_out_in_the_other() {
    let routes = [format!("0.0.0.0/0 {ETH0}"), format!("2001:db8::/64 {ETH0}"), format!("2001:db8:0:1::/64 {VETH}")];
    check(&local(&[], &routes), &["2001:db8:0:1::9"], &["2001:db8::9"]);
}

#[test]
fn whatever_covers_the_internet_leads_out() {
    let vpn = [format!("0.0.0.0/1 {ETH1}"), format!("128.0.0.0/1 {ETH1}"), format!("0.0.0.0/0 {ETH0}")];
    check(&local(&[], &vpn), &[], &["8.8.8.8", "203.0.113.1"]);
    let backup = [
        format!("0.0.0.0/0 {ETH0} metric 100"),
        format!("0.0.0.0/0 {ETH1} metric 200"),
        format!("203.0.113.0/24 {ETH1}"),
    ];
    check(&local(&[], &backup), &[], &["203.0.113.1", "8.8.8.8"]);
}

#[test]
fn of_equal_destinations_the_lowest_metric_counts_and_all_its_hops() {
    let by_metric = [
        format!("0.0.0.0/0 {ETH0}"),
        format!("203.0.113.0/24 {VETH} metric 5"),
        format!("203.0.113.0/24 {ETH0} metric 9"),
        format!("198.51.100.0/24 {VETH} metric 9"),
        format!("198.51.100.0/24 {ETH0} metric 5"),
        format!("192.0.2.0/24 {VETH}"),
        format!("192.0.2.0/24 {ETH0}"),
        format!("192.88.99.0/24 {ETH0}"),
        format!("192.88.99.0/24 {VETH}"),
    ];
    check(&local(&[], &by_metric), &["203.0.113.1"], &["198.51.100.1", "192.0.2.1", "192.88.99.1"]);
}

#[test]
fn the_words_and_networks_of_the_configuration_add_up() {
    let nobody = Tables::default();
    let private = AllowList::compile(&Allowed { private: true, ..Allowed::default() }, &nobody);
    check(
        &private,
        &[
            "10.9.9.9",
            "172.31.0.1",
            "192.168.3.4",
            "100.127.0.1",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ],
        &["127.0.0.1", "::1", "172.32.0.1", "100.128.0.1", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"],
    );
    let networks = vec!["198.51.100.0/25".parse().unwrap(), "::/0".parse().unwrap()];
    let named = AllowList::compile(&Allowed { networks, ..Allowed::default() }, &nobody);
    check(&named, &["198.51.100.127", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &["198.51.100.128"]);
    check(&AllowList::compile(&Allowed::default(), &nobody), &[], &["127.0.0.1", "10.0.0.1", "::1"]);
}

proptest! {
    #[test]
    fn ranges_agree_with_the_longest_prefix(
        routes in proptest::collection::vec((0_u32..256, 8_u8..=32, 0_u32..3), 0..24),
        sources in proptest::collection::vec(0_u32..256, 32),
    ) {
        // All within the last /24 of all, so that prefixes nest often and the end of the range is met.
        let ip = |low: u32| std::net::Ipv4Addr::from(0xffff_ff00 | low);
        let mut routes: Vec<Route> = routes.into_iter().map(|(low, length, link)| Route {
            destination: IpNet::V4(Ipv4Net::new(ip(low), length).unwrap().trunc()),
            ..route(&if link == 0 { "0.0.0.0/0 blackhole".to_owned() } else { format!("0.0.0.0/0 {}", link + 1) })
        }).collect();
        routes.sort_by_key(|route| route.destination);
        routes.dedup_by_key(|route| route.destination);
        routes.push(route(&format!("0.0.0.0/0 {ETH0}")));
        let tables = Tables { routes, ..Tables::default() };
        let list = AllowList::compile(&Allowed { local: true, ..Allowed::default() }, &tables);
        for low in sources {
            let source = IpAddr::V4(ip(low));
            let longest = tables.routes.iter().filter(|r| r.destination.contains(&source)).max_by_key(|r| r.destination.prefix_len());
            let inward = longest.is_some_and(|r| r.link == Some(LinkIndex(ETH1)));
            prop_assert_eq!(list.admits(source), inward, "{}", source);
        }
    }
}
