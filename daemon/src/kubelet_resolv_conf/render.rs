//! What stands in the resolv.conf that kubelet hands to pods. Pure.
//!
//! Programs pick at random among its servers, so it names Onward's own addresses only. It keeps within kubelet's limits
//! and leaves room in them for the domains of the cluster; whatever is dropped is reported. Writing it is for
//! [`mod@super::write`].

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::settings::{Domain, Policy, ResolverOption};
use super::words::{self, Word};
use crate::kubelet_limits as limits;
use crate::upstream::server::DNS_PORT;

/// The first lines of a file that names Onward.
const OF_ONWARD: &str = "# Written by Onward for kubelet; edits are lost. What is here comes from Onward's configuration\n\
                         # ([resolv_conf]) and from the resolver files of this node; the servers are Onward itself.\n";
/// The first lines of a file that works without Onward.
const OF_NODE: &str =
    "# Written by Onward when it left this node: the servers that it asked here. It changes no more.\n";

/// Whose addresses a file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// Those of Onward.
    Onward,
    /// Those of the servers that the node uses, for a time without Onward.
    Node,
}

/// What the file is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    /// Whose addresses the listeners are.
    pub naming: Naming,
    /// The servers to name, in order: where Onward listens, or those of the node.
    pub listeners: &'a [SocketAddr],
    /// What becomes of the search domains.
    pub search: &'a Policy<Domain>,
    /// What becomes of the resolver options.
    pub options: &'a Policy<ResolverOption>,
    /// What the node itself has.
    pub found: Found<'a>,
}

/// Search domains and resolver options of the node, as its sources have them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found<'a> {
    /// The search domains.
    pub search: &'a [String],
    /// The resolver options.
    pub options: &'a [String],
}

/// The file, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The whole text.
    pub text: String,
    /// The servers that it names.
    pub servers: Vec<IpAddr>,
    /// What was left out or changed, for the log.
    pub notes: Vec<Note>,
}

/// Something left out of the file, or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Note {
    /// A listener that is not named.
    #[error("the listener {listener} is not named in resolv.conf: {why}")]
    Listener {
        /// The listener.
        listener: SocketAddr,
        /// Why not.
        why: &'static str,
    },
    /// A search domain that is not written.
    #[error("the search domain {domain:?} is not written: {why}")]
    Domain {
        /// The domain, as it was found.
        domain: String,
        /// Why not.
        why: &'static str,
    },
    /// An option that is not written.
    #[error("the resolver option {option:?} is not written: {why}")]
    Option {
        /// The option, as it was found.
        option: String,
        /// Why not.
        why: &'static str,
    },
    /// An option beyond what the C library takes.
    #[error("the resolver option {option:?} is written as {written:?}, the most that the C library takes")]
    Clamped {
        /// The option, as it was found.
        option: String,
        /// As it is written.
        written: String,
    },
}

/// Why there is nothing that could be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoServers {
    /// No listeners yet.
    #[error("Onward does not listen anywhere yet, and a file without servers would break every new pod")]
    NotListening,
    /// None that a resolv.conf could name.
    #[error(
        "of Onward's listeners ({}) none can be named there; it takes an address that pods can \
         reach, on port 53 (a resolv.conf has no place for another port)",
        listeners.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
    )]
    NoneFits {
        /// The listeners.
        listeners: Vec<SocketAddr>,
    },
}

/// The file for kubelet.
///
/// # Errors
/// Where no listener can be named in it.
pub(crate) fn render(content: &Content<'_>) -> Result<Rendered, NoServers> {
    let mut notes = Vec::new();
    let servers = servers(content.listeners, &mut notes);
    if servers.is_empty() {
        return Err(match content.listeners {
            [] => NoServers::NotListening,
            listeners => NoServers::NoneFits { listeners: listeners.to_vec() },
        });
    }
    let mut text = match content.naming {
        Naming::Onward => OF_ONWARD.to_owned(),
        Naming::Node => OF_NODE.to_owned(),
    };
    for server in &servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let search = domains(&words_of(content.search, content.found.search), &mut notes);
    let options = options(&words_of(content.options, content.found.options), content.options, &mut notes);
    for (keyword, words) in [("search", search), ("options", options)] {
        if !words.is_empty() {
            let _ = writeln!(text, "{keyword} {}", words.join(" "));
        }
    }
    Ok(Rendered { text, servers, notes })
}

fn servers(listeners: &[SocketAddr], notes: &mut Vec<Note>) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for listener in listeners {
        let ip = listener.ip().to_canonical();
        let why = match ip {
            _ if listener.port() != DNS_PORT => "a resolv.conf has no place for a port other than 53",
            _ if ip.is_loopback() => "loopback is the pod itself, in a pod",
            _ if ip.is_unspecified() || ip.is_multicast() => "it is not the address of one server",
            IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address means nothing on a pod's links",
            _ if servers.contains(&ip) => continue,
            _ if servers.len() == limits::SERVERS => "resolvers take three servers at most",
            _ => {
                servers.push(ip);
                continue;
            }
        };
        notes.push(Note::Listener { listener: *listener, why });
    }
    servers
}

/// Whether a file names the node's servers rather than Onward, since Onward has left.
pub(crate) fn is_of_node(content: &[u8]) -> bool {
    content.starts_with(OF_NODE.as_bytes())
}

/// Returns the words that a policy gives: those of the node, none, or its own list.
fn words_of<T: ToString>(policy: &Policy<T>, found: &[String]) -> Vec<String> {
    match policy {
        Policy::Keep => found.to_vec(),
        Policy::None => Vec::new(),
        Policy::List(words) => words.iter().map(ToString::to_string).collect(),
    }
}

fn domains(words: &[String], notes: &mut Vec<Note>) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
    let mut characters = 0;
    for domain in words {
        let why = match words::domain(domain) {
            Err(why) => why,
            Ok(name) if domains.iter().any(|known| known.eq_ignore_ascii_case(name)) => "it is there already",
            Ok(_) if domains.len() == limits::DOMAINS => "kubelet takes 32 domains, and the cluster needs 3 of them",
            Ok(name) if characters + name.len() > limits::CHARACTERS => {
                "kubelet takes 2048 characters of domains, and the cluster needs some of them"
            }
            Ok(name) => {
                characters += name.len() + 1;
                domains.push(name.to_owned());
                continue;
            }
        };
        notes.push(Note::Domain { domain: domain.clone(), why });
    }
    domains
}

fn options(words: &[String], policy: &Policy<ResolverOption>, notes: &mut Vec<Note>) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    for option in words {
        let why = match words::option(option) {
            _ if *policy == Policy::Keep && words::is_for_stub(option) => {
                "it was meant for the resolver on loopback, not for pods"
            }
            Err(why) => why,
            _ if options.len() == limits::OPTIONS => "there are 32 already",
            Ok(Word::Plain) => {
                add(&mut options, option.clone());
                continue;
            }
            Ok(Word::Clamped(written)) => {
                notes.push(Note::Clamped { option: option.clone(), written: written.clone() });
                add(&mut options, written);
                continue;
            }
        };
        notes.push(Note::Option { option: option.clone(), why });
    }
    options
}

/// Of an option given twice the C library takes the last; repeats of the same are left out in silence.
fn add(options: &mut Vec<String>, option: String) {
    options.retain(|known| *known != option);
    options.push(option);
}
