//! What a program knows of one network link: the form in which all of them tell it.

use serde::Serialize;

use crate::discovery::listed::Listed;

/// Whether queries are encrypted (DNS over TLS, RFC 7858).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encryption {
    /// Never.
    No,
    /// Where the server can; else in plain text.
    Opportunistic,
    /// Always, or not at all.
    Yes,
}

/// Whether answers are validated (DNSSEC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Validation {
    /// Never.
    No,
    /// Where the server can.
    AllowDowngrade,
    /// Always.
    Yes,
}

/// What is said of one link. What is not said is none, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LinkFacts {
    /// The link's index.
    pub index: u32,
    /// The servers.
    pub servers: Vec<Listed>,
    /// Its domains, for searching (and for routing, where resolved runs).
    pub search: Vec<String>,
    /// Its domains for routing only.
    pub routes: Vec<String>,
    /// Whether names of no domain are asked on it.
    pub default_route: Option<bool>,
    /// Whether queries are encrypted.
    pub encryption: Option<Encryption>,
    /// Whether answers are validated.
    pub validation: Option<Validation>,
}

impl Encryption {
    /// Reads systemd's word; nothing where it is none, or empty.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match (boolean(text), text.to_ascii_lowercase().as_str()) {
            (Some(true), _) => Some(Self::Yes),
            (Some(false), _) => Some(Self::No),
            (None, "opportunistic") => Some(Self::Opportunistic),
            _ => None,
        }
    }
}

impl Validation {
    /// Reads systemd's word; nothing where it is none, or empty.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match (boolean(text), text.to_ascii_lowercase().as_str()) {
            (Some(true), _) => Some(Self::Yes),
            (Some(false), _) => Some(Self::No),
            (None, "allow-downgrade") => Some(Self::AllowDowngrade),
            _ => None,
        }
    }
}

/// systemd's words for true and false (systemd.syntax(7)).
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "true" | "t" | "on" | "1" => Some(true),
        "no" | "n" | "false" | "f" | "off" | "0" => Some(false),
        _ => None,
    }
}
