//! Special names: no server beyond the node may speak for them, or none has them.
//!
//! A route that was made for such a name comes before what is said here.
//!
//! Reverse zones of private and link-local addresses, and `home.arpa`, are forwarded: the servers of the node's own
//! network do know them. Names that are home to a loop guard (probes) are `guard`'s.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{Name, RData};

use crate::respond::LocalResponse;
use crate::upstream::UpstreamSet;
use crate::wire::{name, rtype};

/// Time that clients may keep what is said of special names, in seconds.
const TTL: u32 = 3600;

/// The wire form of `resolver.arpa.`, lower-cased.
const RESOLVER_ARPA: &[u8] = b"\x08resolver\x04arpa\0";
/// The wire form of `localhost.`
const LOCALHOST: &[u8] = b"\x09localhost\0";
/// The reverse zone of IPv4's loopback network.
const LOOPBACK_V4_ZONE: &[u8] = b"\x03127\x07in-addr\x04arpa\0";
/// The reverse name of 127.0.0.1.
const LOOPBACK_V4: &[u8] = b"\x011\x010\x010\x03127\x07in-addr\x04arpa\0";
/// The reverse name of ::1, which is a zone by itself.
const LOOPBACK_V6: &[u8] =
    b"\x011\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\
      \x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x03ip6\x04arpa\0";
/// All special zones. Beside those above: top-level domains that nobody may delegate in the DNS, `invalid` (RFC 6761,
/// section 6.4) and `onion` (RFC 7686, section 2, point 4), and the reverse zones of addresses that no host has: "this
/// network", documentation, broadcast and the unspecified address (RFC 6303, sections 4.2 and 4.4 to 4.6, without what
/// hosts do have).
const ZONES: [&[u8]; 13] = [
    RESOLVER_ARPA,
    LOCALHOST,
    LOOPBACK_V4_ZONE,
    LOOPBACK_V6,
    b"\x07invalid\0",
    b"\x05onion\0",
    b"\x010\x07in-addr\x04arpa\0",
    b"\x012\x010\x03192\x07in-addr\x04arpa\0",
    b"\x03100\x0251\x03198\x07in-addr\x04arpa\0",
    b"\x03113\x010\x03203\x07in-addr\x04arpa\0",
    b"\x03255\x03255\x03255\x03255\x07in-addr\x04arpa\0",
    b"\x018\x01b\x01d\x010\x011\x010\x010\x012\x03ip6\x04arpa\0",
    b"\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\
      \x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x03ip6\x04arpa\0",
];

/// The end of all reverse names.
const ARPA: &[u8] = b"\x04arpa\0";
/// The ends of all special names: what most misses are compared with.
const TOPS: [&[u8]; 4] = [LOCALHOST, b"\x07invalid\0", b"\x05onion\0", ARPA];

/// Why a name is answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpecialName {
    /// It asks the resolver about itself: `resolver.arpa` and the names under it, as `_dns.resolver.arpa`. The client
    /// would take the designation of the upstream for that of the forwarder (RFC 9462, section 6.1).
    Resolver,
    /// `localhost` and the names under it, which are the client's own loopback addresses (RFC 6761, section 6.3).
    Localhost,
    /// The reverse name of a loopback address that is `localhost`.
    LoopbackAddress,
    /// It is there for the names under it, or is the top of a zone that is empty.
    Empty,
    /// There is no such name, and never will be.
    Nowhere,
}

impl SpecialName {
    /// What is special about a name, in its lower-cased wire form; nothing where a route was made for it.
    #[must_use]
    pub(super) fn of(name: &[u8], set: &UpstreamSet) -> Option<Self> {
        if !TOPS.iter().any(|top| name.ends_with(top)) {
            return None;
        }
        let zone = ZONES.into_iter().find(|zone| name::is_within(name, zone))?;
        let is_routed = set.route(name).is_some_and(|route| name::is_within(&route.suffix, zone));
        (!is_routed).then(|| Self::in_zone(name, zone))
    }

    fn in_zone(name: &[u8], zone: &[u8]) -> Self {
        match zone {
            RESOLVER_ARPA => Self::Resolver,
            LOCALHOST => Self::Localhost,
            _ if name == LOOPBACK_V4 || name == LOOPBACK_V6 => Self::LoopbackAddress,
            LOOPBACK_V4_ZONE if name::is_within(LOOPBACK_V4, name) => Self::Empty,
            _ if name == zone && zone.ends_with(ARPA) => Self::Empty,
            _ => Self::Nowhere,
        }
    }

    /// The response to a question of `qtype` for such a name.
    pub(super) fn response(self, qtype: u16) -> LocalResponse {
        let record = |data| LocalResponse::Records(vec![data], TTL);
        match (self, qtype) {
            (Self::Localhost, rtype::A) => record(RData::A(Ipv4Addr::LOCALHOST.into())),
            (Self::Localhost, rtype::AAAA) => record(RData::AAAA(Ipv6Addr::LOCALHOST.into())),
            (Self::LoopbackAddress, rtype::PTR) => match Name::from_labels([&b"localhost"[..]]) {
                Ok(localhost) => record(RData::PTR(PTR(localhost))),
                Err(_) => LocalResponse::NoData(TTL), // it is a name
            },
            (Self::Nowhere, _) => LocalResponse::NxDomain(TTL),
            (Self::Resolver | Self::Localhost | Self::LoopbackAddress | Self::Empty, _) => LocalResponse::NoData(TTL),
        }
    }

    /// Why it is answered here, for people.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Resolver => "what is asked about the resolver itself has no records here (RFC 9462, section 6.4)",
            Self::Localhost => {
                "localhost is the loopback address of whoever asks, whatever servers say (RFC 6761, section 6.3)"
            }
            Self::LoopbackAddress => "a loopback address is localhost, whatever servers say (RFC 6761, section 6.3)",
            Self::Empty => "the zone is empty by definition, so nobody is asked (RFC 6303)",
            Self::Nowhere => "there is no such name by definition, so nobody is asked (RFC 6761, 6303 and 7686)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Route;
    use crate::upstream::set::UpstreamIds;
    use crate::wire::name::wire;

    fn reverse_v6(text: &str) -> String {
        let digits: String =
            text.parse::<Ipv6Addr>().unwrap().octets().iter().map(|byte| format!("{byte:02x}")).collect();
        digits.chars().rev().flat_map(|digit| [digit, '.']).collect::<String>() + "ip6.arpa"
    }

    fn of(name: &str) -> Option<SpecialName> {
        SpecialName::of(&wire(name), &UpstreamSet::default())
    }

    #[test]
    fn a_route_for_a_special_name_takes_it_elsewhere_and_one_above_it_does_not() {
        let route = |suffix: &str| Route::new(&wire(suffix), Vec::new(), None, &mut UpstreamIds::default());
        let routes = ["", "arpa", "in-addr.arpa", "2.0.192.in-addr.arpa", "0.0.127.in-addr.arpa", "lab.onion"];
        let set = UpstreamSet::of_routes(routes.map(route).into());
        for (name, special) in [
            ("1.2.0.192.in-addr.arpa", None),
            ("1.0.0.127.in-addr.arpa", None),
            ("1.100.51.198.in-addr.arpa", Some(SpecialName::Nowhere)),
            ("1.1.0.127.in-addr.arpa", Some(SpecialName::Nowhere)),
            ("a.lab.onion", None),
            ("a.onion", Some(SpecialName::Nowhere)),
            ("localhost", Some(SpecialName::Localhost)),
        ] {
            assert_eq!(SpecialName::of(&wire(name), &set), special, "{name}");
        }
    }

    #[test]
    fn names_that_no_server_may_speak_for_are_not_forwarded() {
        for (text, special) in [
            ("_dns.resolver.arpa", Some(SpecialName::Resolver)),
            ("resolver.arpa", Some(SpecialName::Resolver)),
            ("localhost", Some(SpecialName::Localhost)),
            ("web.localhost", Some(SpecialName::Localhost)),
            ("1.0.0.127.in-addr.arpa", Some(SpecialName::LoopbackAddress)),
            ("0.0.127.in-addr.arpa", Some(SpecialName::Empty)),
            ("127.in-addr.arpa", Some(SpecialName::Empty)),
            ("53.0.0.127.in-addr.arpa", Some(SpecialName::Nowhere)),
            ("b.1.0.0.127.in-addr.arpa", Some(SpecialName::Nowhere)),
            ("invalid", Some(SpecialName::Nowhere)),
            ("a.invalid", Some(SpecialName::Nowhere)),
            ("www.example.onion", Some(SpecialName::Nowhere)),
            ("0.in-addr.arpa", Some(SpecialName::Empty)),
            ("7.0.0.0.in-addr.arpa", Some(SpecialName::Nowhere)),
            ("1.2.0.192.in-addr.arpa", Some(SpecialName::Nowhere)),
            ("255.255.255.255.in-addr.arpa", Some(SpecialName::Empty)),
        ] {
            assert_eq!(of(text), special, "{text}");
        }
        for (address, special) in [
            ("::1", Some(SpecialName::LoopbackAddress)),
            ("::", Some(SpecialName::Empty)),
            ("::2", None),
            ("2001:db8::1", Some(SpecialName::Nowhere)),
            ("fe80::1", None),
            ("fd00::1", None),
        ] {
            assert_eq!(of(&reverse_v6(address)), special, "{address}");
        }
    }

    #[test]
    fn names_that_only_look_special_are_forwarded() {
        for text in [
            "arpa",
            "in-addr.arpa",
            "aresolver.arpa",
            "resolver.arpa.example",
            "localhost.example",
            "alocalhost",
            "localhost.localdomain",
            "ainvalid",
            "onion.example",
            "home.arpa",
            "10.in-addr.arpa",
            "1.0.168.192.in-addr.arpa",
            "254.169.254.169.in-addr.arpa",
            "27.in-addr.arpa",
            "255.255.255.in-addr.arpa",
            "",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
