//! Names and addresses of hosts files (hosts(5)): what a file says, and what is answered by it. Pure.
//!
//! Addresses that mean something on the node alone are passed over, since pods are given what is answered: in a pod
//! 127.0.0.1 is the pod itself. As with systemd-resolved, 0.0.0.0 and :: say that a name has no address, and types that
//! such files cannot hold are forwarded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{Name, RData};

use crate::respond::LocalResponse;
use crate::wire::name;
use crate::wire::rtype;

/// Time that clients may keep what a file says, in seconds: little, since files are changed to be heeded.
const TTL: u32 = 10;
/// Maximum number of names of all files.
const NAMES: usize = 100_000;
/// Maximum number of addresses of a name, and of names of an address: what a response has room for.
const EACH: usize = 8;
/// Maximum number of lines of a file that are told as not understood.
const TOLD: usize = 5;

/// What all files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// By name, in its lower-cased wire form.
    by_name: HashMap<Box<[u8]>, Host>,
    /// Whether names were left out for want of room.
    pub(crate) is_full: bool,
}

/// What files say of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// Its addresses; none where it is said to have none.
    Addresses(Vec<IpAddr>),
    /// It is the reverse name of an address; the names that the address has.
    Names(Vec<Name>),
}

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Odd {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl Hosts {
    /// The number of names, reverse ones among them.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Returns what is said of a name, in its lower-cased wire form.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Host> {
        if self.by_name.is_empty() { None } else { self.by_name.get(name) }
    }

    /// Whether the other says something else of this name.
    pub(crate) fn differs(&self, other: &Self, name: &[u8]) -> bool {
        self.get(name) != other.get(name)
    }

    /// Adds what a file says. Returns the first lines that are not understood.
    pub(crate) fn add(&mut self, text: &str) -> Vec<Odd> {
        let mut odd = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if let Err(what) = self.add_line(line)
                && odd.len() < TOLD
            {
                odd.push(Odd { line: number + 1, what });
            }
        }
        odd
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(first) = words.next() else { return Ok(()) };
        // A link is named behind `%`, as in fe80::1%eth0.
        let (address, has_scope) = first.split_once('%').map_or((first, false), |(address, _)| (address, true));
        let ip: IpAddr = address.parse().map_err(|_| {
            format!("\"{first}\" is no address; a line has an address and its names, as in 10.0.0.7 db.example")
        })?;
        let names: Vec<&str> = words.collect();
        if names.is_empty() {
            return Err(format!("no name follows {first}"));
        }
        if has_scope || is_for_the_node_alone(ip) {
            return Ok(());
        }
        let mut wrong = Vec::new();
        for (place, text) in names.iter().enumerate() {
            match name::of_text(text) {
                Ok(wire) if wire != name::ROOT => {
                    self.add_name(wire, ip);
                    // The first name of a line is the one that the address has (hosts(5)).
                    if place == 0 && !ip.is_unspecified() {
                        self.add_reverse(ip, text);
                    }
                }
                Ok(_) => wrong.push(format!("\"{text}\" is no name of a host")),
                Err(why) => wrong.push(format!("\"{text}\" is no name: {why}")),
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Makes room for a name. Returns what is said of it so far; nothing where there is no room.
    fn entry(&mut self, wire: Vec<u8>, new: Host) -> Option<&mut Host> {
        if self.by_name.len() >= NAMES && !self.by_name.contains_key(&wire[..]) {
            self.is_full = true;
            return None;
        }
        Some(self.by_name.entry(wire.into()).or_insert(new))
    }

    fn add_name(&mut self, wire: Vec<u8>, ip: IpAddr) {
        if let Some(Host::Addresses(addresses)) = self.entry(wire, Host::Addresses(Vec::new()))
            && !ip.is_unspecified()
            && addresses.len() < EACH
            && !addresses.contains(&ip)
        {
            addresses.push(ip);
        }
    }

    fn add_reverse(&mut self, ip: IpAddr, text: &str) {
        let (Ok(reverse), Ok(mut name)) = (name::of_text(&Name::from(ip).to_ascii()), Name::from_ascii(text)) else {
            return;
        };
        name.set_fqdn(true);
        let name = name.to_lowercase();
        if let Some(Host::Names(names)) = self.entry(reverse, Host::Names(Vec::new()))
            && names.len() < EACH
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
}

impl Host {
    /// The response to a question of `qtype`; nothing where a hosts file cannot say.
    pub(super) fn response(&self, qtype: u16) -> Option<LocalResponse> {
        let records: Vec<RData> = match (self, qtype) {
            (Self::Addresses(addresses), rtype::A) => addresses.iter().filter_map(v4).collect(),
            (Self::Addresses(addresses), rtype::AAAA) => addresses.iter().filter_map(v6).collect(),
            (Self::Names(names), rtype::PTR) => names.iter().map(|name| RData::PTR(PTR(name.clone()))).collect(),
            _ => return None,
        };
        Some(if records.is_empty() { LocalResponse::NoData(TTL) } else { LocalResponse::Records(records, TTL) })
    }
}

fn v4(ip: &IpAddr) -> Option<RData> {
    if let IpAddr::V4(ip) = ip { Some(RData::A((*ip).into())) } else { None }
}

fn v6(ip: &IpAddr) -> Option<RData> {
    if let IpAddr::V6(ip) = ip { Some(RData::AAAA((*ip).into())) } else { None }
}

/// Loopback, link-local of IPv6 (which lacks its link elsewhere) and groups of hosts.
fn is_for_the_node_alone(ip: IpAddr) -> bool {
    let is_link_local = |ip: Ipv6Addr| ip.is_unicast_link_local();
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_multicast() || is_link_local(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::wire;

    fn hosts(text: &str) -> Hosts {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.add(text), []);
        hosts
    }

    fn answer(hosts: &Hosts, name: &str, qtype: u16) -> Option<Vec<String>> {
        match hosts.get(&wire(name))?.response(qtype)? {
            LocalResponse::Records(records, TTL) => Some(records.iter().map(ToString::to_string).collect()),
            LocalResponse::NoData(TTL) => Some(Vec::new()),
            other => panic!("{other:?}"),
        }
    }

    const FILE: &str = "# of this node\n\
        127.0.0.1 localhost\n127.0.1.1\tnode-1.corp.example node-1\n::1 localhost ip6-localhost\n\
        ff02::1 ip6-allnodes\nfe80::1%eth0 router\n\
        10.0.0.7  DB.corp.example db # the database\n10.0.0.8 db.corp.example.\nfd00::7 db.corp.example\n\
        0.0.0.0 ads.example\n:: ads.example\r\n";

    #[test]
    fn names_have_the_addresses_of_all_lines_and_addresses_their_first_names() {
        let hosts = hosts(FILE);
        let text = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        for (name, qtype, said) in [
            ("db.corp.example", rtype::A, text(&["10.0.0.7", "10.0.0.8"])),
            ("db.corp.example", rtype::AAAA, text(&["fd00::7"])),
            ("db", rtype::A, text(&["10.0.0.7"])),
            ("db", rtype::AAAA, text(&[])),
            ("db", 65, None),
            ("7.0.0.10.in-addr.arpa", rtype::PTR, text(&["db.corp.example."])),
            ("7.0.0.10.in-addr.arpa", rtype::A, None),
            ("ads.example", rtype::A, text(&[])),
            ("ads.example", rtype::AAAA, text(&[])),
            ("other.example", rtype::A, None),
        ] {
            assert_eq!(answer(&hosts, name, qtype), said, "{name} {qtype}");
        }
    }

    #[test]
    fn what_holds_on_the_node_alone_is_passed_over() {
        let hosts = hosts(FILE);
        for name in ["localhost", "node-1", "node-1.corp.example", "ip6-allnodes", "router", "1.1.0.127.in-addr.arpa"] {
            assert_eq!(hosts.get(&wire(name)), None, "{name}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_told_and_costs_no_other() {
        let mut hosts = Hosts::default();
        let odd = hosts.add("10.0.0 db\n10.0.0.9\n\n10.0.0.7 a..b good.example\n10.0.0.6 ünicode .\n1.2.3.4 last");
        let lines: Vec<_> = odd.iter().map(|odd| odd.line).collect();
        assert_eq!(lines, [1, 2, 4, 5], "{odd:?}");
        assert!(odd[0].what.contains("is no address") && odd[1].what.contains("no name follows 10.0.0.9"), "{odd:?}");
        assert!(odd[3].what.contains("xn--") && odd[3].what.contains("\".\" is no name of a host"), "{odd:?}");
        assert!(hosts.get(&wire("good.example")).is_some() && hosts.get(&wire("last")).is_some());
    }

    #[test]
    fn what_a_name_has_and_how_many_there_are_is_bounded() {
        let many: String = (0..=255).map(|last| format!("10.0.0.{last} db\n")).collect();
        assert_eq!(answer(&hosts(&many), "db", rtype::A).map(|said| said.len()), Some(EACH));
        let many: String = (0..NAMES).map(|number| format!("0.0.0.0 n{number}.example\n")).collect();
        let mut all = hosts(&many);
        assert!(!all.is_full);
        all.add("10.0.0.1 one-more.example");
        assert!(all.is_full && all.get(&wire("one-more.example")).is_none());
    }
}
