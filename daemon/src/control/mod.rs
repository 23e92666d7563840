//! How a person, or another program, asks a running Onward: Varlink (<https://varlink.org>) over a socket in the file
//! system. Calls and replies are JSON objects, each followed by a zero byte; the interface describes itself, so that
//! `varlinkctl introspect` shows it.
//!
//! [`message`] is what goes over the socket, [`interface`] which calls there are, [`server`] carries them for
//! [`Desk`], who answers (the service does), [`client`] is how our own commands ask. [`status`] and the others beside
//! it are the shapes of replies.
//!
//! By hand, since the crates for it have faults that would be ours: one closes the connection at a call that it does
//! not know, and has one client wait for another.

pub(crate) mod client;
mod connection;
pub(crate) mod explain;
pub(crate) mod interface;
mod message;
pub(crate) mod monitor;
pub(crate) mod server;
pub(crate) mod status;

use std::sync::Arc;

use explain::{Explanation, Question};
use monitor::{Filter, Watching};
use status::Status;

/// Who answers what is asked.
pub(crate) trait Desk: Send + Sync + 'static {
    /// Returns how things are; none where the service has just begun.
    fn status(&self) -> impl Future<Output = Option<Arc<Status>>> + Send;

    /// Returns what would become of a query; none where the service has just begun.
    fn explain(&self, question: Question) -> impl Future<Output = Option<Explanation>> + Send;

    /// Has the upstreams asked now, whatever is in the cache; their response is remembered. Returns whether that begins
    /// now: the same may be being asked already.
    fn ask(&self, question: Question) -> bool;

    /// Begins to watch what happens.
    fn watch(&self, filter: Filter) -> impl Watching + 'static;

    /// Forgets what is in the cache. Returns the number of responses that were forgotten.
    fn flush(&self, names: Names) -> impl Future<Output = usize> + Send;
}

/// Which names are meant; lower-cased wire form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// Each name.
    All,
    /// This one.
    One(Vec<u8>),
    /// This one and all below it.
    Under(Vec<u8>),
}

impl Names {
    /// Whether `name` is one of them.
    pub(crate) fn have(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == name,
            Self::Under(suffix) => crate::wire::name::is_within(name, suffix),
        }
    }
}

#[cfg(test)]
mod tests;
