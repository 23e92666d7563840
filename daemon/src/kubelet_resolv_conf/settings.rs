//! What can be set of the file for kubelet, and the words that may stand in it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::words;

/// The file that kubelet reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Where it is written; absolute.
    pub path: PathBuf,
    /// Its `search` line; at most [`DOMAINS`](crate::kubelet_limits::DOMAINS) and
    /// [`CHARACTERS`](crate::kubelet_limits::CHARACTERS).
    pub search: Policy<Domain>,
    /// Its `options` line; at most [`OPTIONS`](crate::kubelet_limits::OPTIONS).
    pub options: Policy<ResolverOption>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { path: "/run/onward/resolv.conf".into(), search: Policy::Keep, options: Policy::Keep }
    }
}

/// What becomes of a line of the node's own resolv.conf in ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Policy<T> {
    /// `keep`: taken over, within limits; options that were meant for a stub on loopback are dropped.
    Keep,
    /// `none`: left out.
    None,
    /// This, and nothing of the node's.
    List(Vec<T>),
}

/// A domain to search, without its last dot; never the root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Domain(Box<str>);

/// An option of resolv.conf, as `edns0` or `ndots:5` (resolv.conf(5)).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ResolverOption(Box<str>);

/// What is allowed in the place of a text that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("allowed is {0}")]
pub(crate) struct NotAllowed(&'static str);

impl Domain {
    /// Returns the name, without its last dot.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        words::domain(text).map(|name| Self(name.into())).map_err(|_| {
            NotAllowed(
                "a domain of at most 253 characters, its labels of 1 to 63 letters, digits, \"-\" and \"_\" \
                 (others in their xn-- form)",
            )
        })
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ResolverOption {
    type Err = NotAllowed;

    /// Reads an option by its form, not by a list: C libraries learn new options, and skip those that they do not know.
    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let number = text.split_once(':').map_or("0", |(_, number)| number);
        match words::option(text) {
            Ok(_) if number.parse::<u16>().is_ok() => Ok(Self(text.into())),
            _ => Err(NotAllowed("an option of resolv.conf(5), as \"edns0\" or \"ndots:5\"")),
        }
    }
}

impl fmt::Display for ResolverOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
