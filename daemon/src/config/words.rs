//! The types of single values that a person writes in the configuration, each with its text form both ways.
//!
//! A type here can only hold what is allowed: what is refused, and why, is said by its `FromStr`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;

use crate::upstream::Server;
use crate::upstream::server::DNS_PORT;

/// The longest name of an interface (`IFNAMSIZ` less its NUL, `netdevice(7)`).
const LONGEST_INTERFACE: usize = 15;
/// The longest name in its text form, without the last dot (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest label (RFC 1035, section 2.3.4).
const LONGEST_LABEL: usize = 63;

pub(super) const NEEDS_INTERFACE: &str = "an address of fe80::/10 needs its interface, as in \"fe80::1%eth0\"";

/// Why a text is refused, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `node`: the node's own address, found by its rules and followed when it changes; port 53.
    Node,
    /// An address that need not exist yet, with scope and port. Never loopback, unspecified or multicast.
    Address(Server),
    /// `interface:eth1` or `interface:eth1:5300`: the addresses of one link.
    Interface {
        /// As the kernel names it.
        name: Box<str>,
        /// The port.
        port: u16,
    },
}

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// `local`: the node itself, and every source whose route leaves by another link than the default route's.
    Local,
    /// `private`: RFC 1918, RFC 6598, RFC 4193 and link-local addresses.
    Private,
    /// A network; a plain address is a network of one.
    Network(IpNet),
}

/// A place where upstream servers are found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SourceName {
    /// `resolved`: systemd-resolved.
    Resolved,
    /// `networkmanager`: NetworkManager.
    NetworkManager,
    /// `networkd`: systemd-networkd.
    Networkd,
    /// `resolvconf`: resolvconf and openresolv.
    Resolvconf,
    /// A file in the form of resolv.conf, by its path.
    File(PathBuf),
}

/// What becomes of a line of the node's own resolv.conf in ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy<T> {
    /// `keep`: taken over, within limits.
    Keep,
    /// `none`: left out.
    None,
    /// This, and nothing of the node's.
    List(Vec<T>),
}

/// A domain to search, without its last dot; never the root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Domain(Box<str>);

/// An option of resolv.conf, as `edns0` or `ndots:5` (resolv.conf(5)).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResolverOption(Box<str>);

/// An enum of plain words: the type, both text forms, and the list of what is allowed.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$note])* $variant,)+ }

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

words! {
    /// Which address families are listened on, for `node` and `interface:`.
    Families {
        /// Those that pods have, where that can be found out; else IPv4 if the node has it.
        Auto = "auto",
        /// IPv4 only.
        Ipv4 = "ipv4",
        /// IPv6 only.
        Ipv6 = "ipv6",
        /// Both, where the node has both.
        Both = "both",
    }
}

words! {
    /// When a mark of the loop guard is put on questions.
    Mark {
        /// Where it may help: see the option's text in the template.
        Auto = "auto",
        /// On every question.
        Always = "always",
        /// On none.
        Never = "never",
    }
}

words! {
    /// How much is logged; each level holds those before it.
    Level {
        /// What stops Onward from doing its work.
        Error = "error",
        /// What a person should look at.
        Warn = "warn",
        /// What changed: addresses, upstreams, verdicts.
        Info = "info",
        /// Everything, for a search of causes.
        Debug = "debug",
    }
}

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
    if let Some((scheme, _)) = text.split_once("://") {
        return Some(format!("servers are asked over UDP and TCP; leave out {scheme}://, and a path"));
    }
    if let Some((server, _)) = text.split_once('#').filter(|(server, _)| is_server(server)) {
        return Some(format!("names for TLS are not used yet; write \"{server}\""));
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

impl FromStr for Listen {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if text == "node" {
            return Ok(Self::Node);
        }
        if let Some(interface) = text.strip_prefix("interface:") {
            return parse_interface(interface);
        }
        if text.strip_prefix("dedicated:").is_some_and(|ip| ip.parse::<IpAddr>().is_ok()) {
            return refused(
                "this version cannot put a dedicated address on the node yet; \
                 put it on an interface yourself and write it here without \"dedicated:\", or write \"node\"",
            );
        }
        if let Some(asked) = ends_like_a_port(text) {
            return refused(&asked);
        }
        let Ok(server) = text.parse::<Server>() else {
            let hint = not_a_place(text).map(|hint| format!("; {hint}")).unwrap_or_default();
            return Err(Refused(format!(
                "allowed is \"node\", an address with an optional port (\"10.0.0.1\", \"10.0.0.1:5300\", \
                 \"[fd00::1]:53\"), or \"interface:eth1\"{hint}"
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

fn parse_interface(text: &str) -> Result<Listen, Refused> {
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
        Some(port) => Ok(Listen::Interface { name: name.into(), port }),
        None => refused(
            "allowed is \"interface:\" and a name of at most 15 characters: \"interface:eth1\", \"interface:eth1:5300\"",
        ),
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Address(server) => server.fmt(f),
            Self::Interface { name, port: DNS_PORT } => write!(f, "interface:{name}"),
            Self::Interface { name, port } => write!(f, "interface:{name}:{port}"),
        }
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
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            Some(network) if network.addr() == network.network() => Ok(Self::Network(network)),
            Some(network) => Err(Refused(format!("the network is written {}", network.trunc()))),
            None => {
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

impl Domain {
    /// The name, without its last dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let sound = |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(letter);
        if name.len() <= LONGEST_NAME && name.split('.').all(sound) {
            return Ok(Self(name.into()));
        }
        refused(
            "allowed is a domain of at most 253 characters, its labels of 1 to 63 letters, digits, \"-\" and \"_\" \
             (others in their xn-- form)",
        )
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ResolverOption {
    /// The option as it stands in resolv.conf.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResolverOption {
    type Err = Refused;

    /// By form, not by a list: C libraries learn new options, and skip those that they do not know.
    fn from_str(text: &str) -> Result<Self, Refused> {
        let (name, number) = text.split_once(':').unwrap_or((text, "0"));
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=32).contains(&name.len()) && name.bytes().all(letter) && number.parse::<u16>().is_ok() {
            return Ok(Self(text.into()));
        }
        refused("allowed is an option of resolv.conf(5), as \"edns0\" or \"ndots:5\"")
    }
}

impl fmt::Display for ResolverOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
