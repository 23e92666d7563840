//! What would become of a query, and why: the reply of the call `Explain`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// Lower-cased wire form.
    pub(crate) name: Vec<u8>,
    /// The type of record.
    pub(crate) record_type: u16,
    /// Who would ask.
    pub(crate) from: Option<IpAddr>,
}

/// What would become of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Explanation {
    /// What was asked about.
    pub(crate) name: String,
    /// The type of record.
    pub(crate) record_type: String,
    /// Whether the client may ask; none where none was named.
    pub(crate) allowed: Option<bool>,
    /// Why Onward answers by itself, where it does.
    pub(crate) answered_here: Option<String>,
    /// The suffix whose servers are asked; `.` for all names that no other route has.
    pub(crate) route: Option<String>,
    /// Whether the servers know the same, so that the next is asked as well when one is slow.
    pub(crate) equivalent: bool,
    /// In the order in which they would be asked.
    pub(crate) upstreams: Vec<Candidate>,
    /// What is remembered.
    pub(crate) cached: Vec<Cached>,
}

/// A server that may be asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Candidate {
    /// With its port.
    pub(crate) server: String,
    /// What named it.
    pub(crate) source: String,
    /// `up`, `slow`, `down`, `suspect` or `looping`.
    pub(crate) state: String,
    /// When it would be asked, and why not earlier.
    pub(crate) when: String,
}

/// A response that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cached {
    /// For clients that want DNSSEC's records (DO).
    pub(crate) dnssec: bool,
    /// For clients that do not want them checked (CD).
    pub(crate) checking_disabled: bool,
    /// The response code.
    pub(crate) rcode: String,
    /// Records in the answer section.
    pub(crate) answers: u64,
    /// Time since it was stored.
    pub(crate) age_seconds: u64,
    /// Time to its end; below zero once it has ended.
    pub(crate) left_seconds: i64,
    /// Whether any client may still get it: once it has ended, only where no upstream answers.
    pub(crate) may_serve: bool,
    /// Who said it; none for a failure that is remembered.
    pub(crate) upstream: Option<String>,
}
