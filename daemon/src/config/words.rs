//! The text forms, both ways, of single values that a person writes in the configuration.
//!
//! Their types belong to the folders that use them, and can only hold what is allowed: what is refused, and why, is
//! said by `FromStr`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;

use crate::admit::acl::Allow;
use crate::admit::local_names::ClusterDomain;
use crate::discovery::SourceName;
use crate::exchange::stream::tls::Mode;
use crate::guard::Mark;
use crate::kubelet_resolv_conf::Domain;
use crate::logging::Level;
use crate::node_address::choose::{Families, Place};
use crate::node_address::dedicated::{Dedicated, Unfit};
use crate::upstream::server::DNS_PORT;
use crate::upstream::{Server, Suffix};

/// The longest name of an interface (`IFNAMSIZ` less its NUL, `netdevice(7)`).
const LONGEST_INTERFACE: usize = 15;

pub(super) const NEEDS_INTERFACE: &str = "an address of fe80::/10 needs its interface, as in \"fe80::1%eth0\"";

/// Why a text is refused, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Both text forms of an enum of plain words, and the list of what is allowed.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal,)+ }) => {
        impl FromStr for $name {
            type Err = Refused;

            fn from_str(text: &str) -> Result<Self, Refused> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => {
                        let meant = [$($word),+].into_iter().find(|word| text.trim().eq_ignore_ascii_case(word));
                        let hint = meant.map(|word| format!("; write \"{word}\"")).unwrap_or_default();
                        let all = [$(concat!('"', $word, '"')),+].join(", ");
                        Err(Refused(format!("allowed is one of {all}{hint}")))
                    }
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }
    };
}

words! { Families { Auto = "auto", Ipv4 = "ipv4", Ipv6 = "ipv6", Both = "both", } }
words! { Mark { Auto = "auto", Always = "always", Never = "never", } }
words! { Mode { Strict = "strict", Opportunistic = "opportunistic", } }
words! { ClusterDomain { Keep = "keep", Answer = "answer", } }
words! { Level { Error = "error", Warn = "warn", Info = "info", Debug = "debug", } }

fn refused<T>(text: &str) -> Result<T, Refused> {
    Err(Refused(text.to_owned()))
}

/// Multicast and broadcast.
pub(super) fn is_for_many(ip: IpAddr) -> bool {
    ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}

pub(super) fn is_link_local_v6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Returns what may have been meant by an IPv6 address without brackets whose last group reads like a port.
pub(super) fn ends_like_a_port(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let host: Ipv6Addr = host.parse().ok()?;
    let port: u16 = port.parse().ok().filter(|port| matches!(port, 53 | 853 | 1_000..))?;
    Some(format!("if {port} is meant as the port, write \"[{host}]:{port}\"; if not, write \"[{text}]\""))
}

/// Returns what to write in place of a text that is no address of a server.
pub(super) fn not_a_server(text: &str) -> Option<String> {
    let is_server = |text: &str| text.parse::<Server>().is_ok();
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.split([':', '#', '/']).next().unwrap_or(rest);
        return match scheme {
            "tls" if host.contains(|letter: char| letter.is_ascii_alphabetic()) && !is_server(host) => {
                Some(format!("a name would have to be resolved first; write \"tls://ADDRESS#{host}\""))
            }
            "tls" => None,
            _ => Some(format!(
                "servers are asked over UDP, TCP and TLS; leave out {scheme}://, and a path, or write tls://"
            )),
        };
    }
    if let Some((server, name)) = text.split_once('#').filter(|(server, _)| is_server(server)) {
        return Some(format!("for TLS write \"tls://{server}#{name}\""));
    }
    if let Some((server, port)) = text.split_once(['@', ' ']).filter(|(server, _)| is_server(server)) {
        let server: Server = server.parse().ok()?;
        let port = port.trim().parse().ok()?;
        return Some(format!("write \"{}\"", Server::new(server.ip(), port)));
    }
    if let Some((server, _)) = text.split_once('/').filter(|(server, _)| is_server(server)) {
        return Some(format!("a server is one address; write \"{server}\""));
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    (host.contains(|letter: char| letter.is_ascii_alphabetic()) && host.parse::<Domain>().is_ok())
        .then(|| "a name would have to be resolved first; write the address".to_owned())
}

/// A path from the root.
pub(super) fn absolute(text: &str) -> Option<PathBuf> {
    (text.starts_with('/') && !text.contains('\0')).then(|| text.into())
}

/// Whether pods can be told to ask this address.
pub(super) fn can_be_listened_on(ip: IpAddr) -> Result<(), Refused> {
    match ip.to_canonical() {
        ip if ip.is_loopback() => refused(
            "loopback is refused: pods are given this address, and inside a pod loopback is the pod itself; \
             write \"node\" or an address of the node",
        ),
        ip if ip.is_unspecified() => refused(
            "answers must leave from the address that was asked, so it has to be named; \
             write \"node\" or an address of the node",
        ),
        ip if is_for_many(ip) => refused("no node can have this address; write \"node\" or an address of the node"),
        _ => Ok(()),
    }
}

impl FromStr for Place {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if text == "node" {
            return Ok(Self::Node);
        }
        if let Some(interface) = text.strip_prefix("interface:") {
            return parse_interface(interface);
        }
        if let Some(address) = text.strip_prefix("dedicated:") {
            let ip = address.parse().map_err(|_| Unfit::NotPrivate);
            return ip.and_then(Dedicated::new).map(Self::Dedicated).map_err(|unfit| Refused(unfit.to_string()));
        }
        if let Some(asked) = ends_like_a_port(text) {
            return refused(&asked);
        }
        let Ok(server) = text.parse::<Server>() else {
            let hint = not_a_place(text).map(|hint| format!("; {hint}")).unwrap_or_default();
            return Err(Refused(format!(
                "allowed is \"node\", an address with an optional port (\"10.0.0.1\", \"10.0.0.1:5300\", \
                 \"[fd00::1]:53\"), \"interface:eth1\", or \"dedicated:169.254.53.53\"{hint}"
            )));
        };
        can_be_listened_on(server.ip())?;
        if is_link_local_v6(server.ip()) && server.scope().is_none() {
            return refused(NEEDS_INTERFACE);
        }
        Ok(Self::Address(server))
    }
}

/// Returns what to write in place of a text that is no place to listen on.
fn not_a_place(text: &str) -> Option<String> {
    if text.trim().eq_ignore_ascii_case("node") {
        return Some("write \"node\"".to_owned());
    }
    if matches!(text, "*" | "any" | "all") {
        return Some("answers must leave from the address that was asked, so it has to be named".to_owned());
    }
    if let Some((address, _)) = text.split_once('/').filter(|(address, _)| address.parse::<IpAddr>().is_ok()) {
        return Some(format!("without its network: write \"{address}\""));
    }
    let is_name = !matches!(text, "true" | "false")
        && text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && !text.contains([':', '/', '.']);
    (is_name && parse_interface(text).is_ok()).then(|| format!("if {text} is an interface, write \"interface:{text}\""))
}

fn parse_interface(text: &str) -> Result<Place, Refused> {
    let (name, port) = match text.split_once(':') {
        None => (text, Some(DNS_PORT)),
        Some((name, port)) => (name, port.parse().ok().filter(|port| *port != 0)),
    };
    // What the kernel refuses as a name (dev_valid_name).
    let sound = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.len() <= LONGEST_INTERFACE
            && !name.contains(|letter: char| letter == '/' || letter.is_whitespace())
    };
    match port.filter(|_| sound(name)) {
        Some(port) => Ok(Place::Interface { name: name.into(), port }),
        None => refused(
            "allowed is \"interface:\" and a name of at most 15 characters: \"interface:eth1\", \"interface:eth1:5300\"",
        ),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Address(server) => server.fmt(f),
            Self::Interface { name, port: DNS_PORT } => write!(f, "interface:{name}"),
            Self::Interface { name, port } => write!(f, "interface:{name}:{port}"),
            Self::Dedicated(one) => write!(f, "dedicated:{}", one.ip()),
        }
    }
}

/// Reads a network, or an address as the network of itself. The error says how it is written, where it is one.
pub(super) fn network(text: &str) -> Result<IpNet, Option<Refused>> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    match network {
        Some(network) if network.addr() == network.network() => Ok(network),
        Some(network) => Err(Some(Refused(format!("the network is written {}", network.trunc())))),
        None => Err(None),
    }
}

impl FromStr for Allow {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text {
            "local" => return Ok(Self::Local),
            "private" => return Ok(Self::Private),
            _ => {}
        }
        match network(text) {
            Ok(network) => Ok(Self::Network(network)),
            Err(Some(refused)) => Err(refused),
            Err(None) => {
                let meant = ["local", "private"].into_iter().find(|word| text.trim().eq_ignore_ascii_case(word));
                let hint = meant.map(|word| format!("; write \"{word}\"")).unwrap_or_default();
                let allowed = "allowed is \"local\", \"private\", or a network: \"10.0.0.0/8\", \"2001:db8::/32\"";
                Err(Refused(format!("{allowed}{hint}")))
            }
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Private => f.write_str("private"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl FromStr for SourceName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text {
            "resolved" => Ok(Self::Resolved),
            "networkmanager" => Ok(Self::NetworkManager),
            "networkd" => Ok(Self::Networkd),
            "resolvconf" => Ok(Self::Resolvconf),
            path => absolute(path).map(Self::File).ok_or_else(|| {
                Refused(
                    "allowed is \"resolved\", \"networkmanager\", \"networkd\", \"resolvconf\", or the path of a file \
                     like resolv.conf that begins with /"
                        .to_owned(),
                )
            }),
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolved => f.write_str("resolved"),
            Self::NetworkManager => f.write_str("networkmanager"),
            Self::Networkd => f.write_str("networkd"),
            Self::Resolvconf => f.write_str("resolvconf"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for Suffix {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let plain = text.trim().trim_start_matches(['~', '*']).trim_start_matches('.');
        match Self::of_text(text) {
            Ok(suffix) if text.trim_start_matches(['~', '*', '.']) == text => Ok(suffix),
            // As resolved and others write it.
            _ if plain != text && Self::of_text(plain).is_ok() => {
                refused(&format!("a domain is meant with all names under it; write \"{plain}\""))
            }
            _ if plain.is_empty() => refused("that is all names, whose servers are set by upstreams.servers"),
            Ok(_) => refused("allowed is a domain, as in \"corp.example\" or \"10.in-addr.arpa\""),
            Err(_) if text.contains('/') => {
                refused("allowed is a domain; a network is its reverse zone, as in \"10.in-addr.arpa\" for 10.0.0.0/8")
            }
            Err(why) => {
                Err(Refused(format!("allowed is a domain, as in \"corp.example\" or \"10.in-addr.arpa\": {why}")))
            }
        }
    }
}
