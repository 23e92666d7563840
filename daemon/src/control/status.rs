//! What `onward status` shows: the reply of the call `Status`, and the object that `--json` prints.
//!
//! A field that the other side does not send has its default, and one that it sends beyond these is ignored, since a
//! command and a daemon of two versions meet at each upgrade. A new field goes here and into
//! `io.onward.Control.varlink`, which a test holds against this.

use serde::{Deserialize, Serialize};

/// How things are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// Of the daemon.
    pub(crate) version: String,
    /// Of the daemon.
    pub(crate) pid: u32,
    /// The whole in a word.
    pub(crate) state: Overall,
    /// The line that systemd shows.
    pub(crate) summary: String,
    /// What is wrong, a line each.
    pub(crate) troubles: Vec<String>,
    /// Time since the process began.
    pub(crate) uptime_seconds: u64,
    /// Addresses that are listened on.
    pub(crate) listeners: Vec<Listener>,
    /// Addresses that are wanted and cannot be listened on.
    pub(crate) blocked: Vec<Blocked>,
    /// The file for kubelet.
    pub(crate) file: File,
    /// In the order in which they are asked.
    pub(crate) upstreams: Vec<Upstream>,
    /// Servers that were found and are not asked.
    pub(crate) refused: Vec<Refused>,
    /// What the loop guard holds against upstreams.
    pub(crate) verdicts: Vec<Verdict>,
    /// What is remembered.
    pub(crate) cache: Cache,
    /// What became of queries.
    pub(crate) queries: Queries,
    /// Where the servers come from.
    pub(crate) list: List,
    /// The configuration.
    pub(crate) configuration: Configuration,
}

/// The whole in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overall {
    /// All is well.
    Ok,
    /// Names are resolved, but something is wrong.
    Degraded,
    /// No client gets an answer that is not remembered.
    NoDns,
    /// A daemon of another version has another word.
    #[default]
    #[serde(other)]
    Unknown,
}

/// An address that is listened on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Listener {
    /// With its port.
    pub(crate) address: String,
    /// `chosen` now, or `former`: pods know it from earlier.
    pub(crate) role: String,
    /// Whether a query to it from this node is answered: `answers`, `silent`, or `unknown` yet.
    pub(crate) check: String,
}

/// An address that could not be listened on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Blocked {
    /// With its port.
    pub(crate) address: String,
    /// What is in the way.
    pub(crate) why: String,
}

/// The file for kubelet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: String,
    /// The addresses that it names, as this process wrote or found it; none where it has not.
    pub(crate) names: Vec<String>,
    /// Why it could not be written.
    pub(crate) failed: Option<String>,
}

/// A server that is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Upstream {
    /// With its port.
    pub(crate) server: String,
    /// What named it: a file, or `configuration`.
    pub(crate) source: String,
    /// The domains that it is asked for; empty: all names that no other has.
    pub(crate) names: Vec<String>,
    /// `up`, `slow`, `down`, `suspect` or `looping`.
    pub(crate) state: String,
    /// Time since the state began, where that is known.
    pub(crate) since_seconds: Option<u64>,
    /// Where it loops: the address that our probe came home from.
    pub(crate) through: Option<String>,
    /// Time since it answered last.
    pub(crate) answered_seconds: Option<u64>,
    /// Half of its answers took no longer, of the last one to two minutes; none where it gave none.
    pub(crate) median_microseconds: Option<u64>,
    /// 99 of 100 of them.
    pub(crate) p99_microseconds: Option<u64>,
    /// Queries to it in the last one to two minutes, and of them those that it failed or left without an answer.
    pub(crate) asked: u64,
    /// See `asked`.
    pub(crate) failures: u64,
}

/// A server that is not asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Refused {
    /// With its port.
    pub(crate) server: String,
    /// The file that names it, or `configuration`.
    pub(crate) source: String,
    /// The line of that file, from 1.
    pub(crate) line: Option<u64>,
    /// Why it is not asked.
    pub(crate) reason: String,
}

/// What the loop guard holds against an upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Verdict {
    /// Whom it is about.
    pub(crate) server: String,
    /// `udp` or `tcp`.
    pub(crate) transport: String,
    /// The names under this one; `.` for all.
    pub(crate) names: String,
    /// The only type of record that it is about, by its number.
    pub(crate) record_type: Option<u16>,
    /// `loop`: it is not asked; `half_loop`: it is asked last.
    pub(crate) kind: String,
    /// Time since it was given.
    pub(crate) since_seconds: u64,
    /// The address that our probe came home from.
    pub(crate) through: String,
    /// Number of other Onwards that the probe had passed.
    pub(crate) onwards: u64,
    /// Who raised the suspicion: `tag`, `spelling`, `silence`; none where a probe of routine found it.
    pub(crate) witness: Option<String>,
    /// What to do about it, in sentences.
    pub(crate) remedy: String,
}

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cache {
    /// Responses, ended ones included.
    pub(crate) entries: u64,
    /// Bytes that they take.
    pub(crate) bytes: u64,
    /// Bytes that they may take.
    pub(crate) limit_bytes: u64,
    /// Responses that there may be.
    pub(crate) limit_entries: u64,
}

/// What became of queries since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Queries {
    /// Answered from the cache.
    pub(crate) hits: u64,
    /// Answered with what had ended, since no upstream answers.
    pub(crate) stale: u64,
    /// Asked of upstreams.
    pub(crate) misses: u64,
    /// Of the misses, those that ended with SERVFAIL.
    pub(crate) failures: u64,
    /// Answered by Onward itself: refused, malformed, special names.
    pub(crate) local: u64,
    /// Clients that wait now.
    pub(crate) waiting: u64,
}

/// The list of servers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct List {
    /// What gave it; none where nothing did.
    pub(crate) source: Option<String>,
    /// Whether that source names none now, so that these are its last good ones.
    pub(crate) kept: bool,
    /// Time since the list became this one.
    pub(crate) age_seconds: Option<u64>,
    /// What a person should know: what was unwrapped, what is odd, what could not be read.
    pub(crate) notes: Vec<String>,
}

/// The configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Configuration {
    /// Whether it is the one that the files say now.
    pub(crate) in_force: bool,
    /// Time since it was read.
    pub(crate) age_seconds: u64,
}
