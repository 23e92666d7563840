//! What was unfinished when the process was told to end, as bytes in memory that outlives it: queries over UDP whose
//! clients wait for a response, and what was on its way over the connections of clients. The next process takes all of
//! it as if it had just come.
//!
//! It is JSON. What is cut, damaged or of another version is put aside as a whole: a client that asks again costs less
//! than a query that nobody sent.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::memory;

/// The version of the form: a process that knows another one takes nothing from it.
const FORMAT: u32 = 1;
/// Bytes that are read at most: more than all waiters can have asked.
const MOST: u64 = 64 << 20;
/// What the kernel calls the memory.
const NAME: &CStr = c"onward-unfinished";

/// See the module.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    format: u32,
    queries: Vec<Query>,
    connections: Vec<Connection>,
}

/// A query that came in a datagram, and waits for its response.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Query {
    /// The address of the listener.
    pub(crate) listener: SocketAddr,
    /// Who asked.
    pub(crate) client: SocketAddr,
    /// What came.
    pub(crate) message: Vec<u8>,
    /// When the client gives up, as time since the machine was booted, which is the same for all processes. An older
    /// version says nothing of it.
    #[serde(default)]
    pub(crate) deadline: Option<Duration>,
}

/// What was on its way over a connection of a client, whose socket is kept beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// The address of the listener.
    pub(crate) listener: SocketAddr,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// The client.
    pub(crate) peer: SocketAddr,
    /// What came and is not answered.
    pub(crate) unread: Vec<u8>,
    /// What is to be sent.
    pub(crate) unsent: Vec<u8>,
}

impl Unfinished {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { format: FORMAT, queries: Vec::new(), connections: Vec::new() }
    }

    /// Adds a connection.
    pub(crate) fn add_connection(&mut self, connection: Connection) {
        self.connections.push(connection);
    }

    /// Takes out the connections that clients have to `listener`.
    pub(crate) fn take_connections(&mut self, listener: SocketAddr) -> Vec<Connection> {
        self.connections.extract_if(.., |connection| connection.listener == listener).collect()
    }

    /// Adds a query.
    pub(crate) fn add_query(&mut self, query: Query) {
        self.queries.push(query);
    }

    /// Takes out the queries that came to `listener`.
    pub(crate) fn take_queries(&mut self, listener: SocketAddr) -> Vec<Query> {
        self.queries.extract_if(.., |query| query.listener == listener).collect()
    }

    /// The number of queries over UDP, and of connections.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.queries.len(), self.connections.len())
    }

    /// Writes all to memory of its own.
    ///
    /// # Errors
    /// Where the system has no memory or descriptor to give.
    pub(crate) fn write(&self) -> io::Result<OwnedFd> {
        memory::write(NAME, &serde_json::to_vec(self)?)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// Why it is not to be used, for people.
    pub(crate) fn read(file: &File) -> Result<Self, String> {
        let text = memory::read(file, MOST)?;
        let unfinished: Self = serde_json::from_slice(&text).map_err(|error| format!("another version's ({error})"))?;
        match unfinished.format {
            FORMAT => Ok(unfinished),
            other => Err(format!("its format is {other}, not {FORMAT}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::memory::tests::{raw, spoilt};
    use super::*;

    fn waiting(listener: &str, client: &str, message: &[u8]) -> Query {
        let deadline = Some(Duration::from_millis(7_001_800));
        let [listener, client] = [listener, client].map(|address| address.parse().unwrap());
        Query { listener, client, message: message.to_vec(), deadline }
    }

    fn unfinished() -> Unfinished {
        let mut unfinished = Unfinished::new();
        unfinished.add_query(waiting("10.0.0.1:53", "10.0.0.9:4000", b"one"));
        unfinished.add_query(waiting("[fd00::1]:53", "[fe80::1%3]:4000", b"two"));
        unfinished.add_connection(Connection {
            listener: "0.0.0.0:53".parse().unwrap(),
            local: "10.0.0.1:53".parse().unwrap(),
            peer: "10.0.0.9:4001".parse().unwrap(),
            unread: b"three".to_vec(),
            unsent: Vec::new(),
        });
        unfinished
    }

    #[test]
    fn what_is_left_is_found_by_its_listener_once() {
        let mut read = Unfinished::read(&File::from(unfinished().write().unwrap())).unwrap();
        assert_eq!(read, unfinished());
        let listener = "[fd00::1]:53".parse().unwrap();
        assert_eq!(read.take_queries(listener), [waiting("[fd00::1]:53", "[fe80::1%3]:4000", b"two")]);
        assert_eq!((read.take_queries(listener), read.len()), (Vec::new(), (1, 1)));
        assert_eq!(read.take_connections(listener), []);
        assert_eq!(read.take_connections("0.0.0.0:53".parse().unwrap()), unfinished().connections);
    }

    #[test]
    fn what_is_cut_or_damaged_anywhere_is_put_aside() {
        let whole = raw(&File::from(unfinished().write().unwrap()));
        assert!(spoilt(&whole).iter().all(|file| Unfinished::read(file).is_err()));
    }

    #[test]
    fn a_version_that_knew_no_deadlines_is_understood() {
        let text = br#"{"format": 1, "connections": [],
            "queries": [{"listener": "10.0.0.1:53", "client": "10.0.0.9:4000", "message": [111]}]}"#;
        let mut read = Unfinished::read(&File::from(memory::write(NAME, text).unwrap())).unwrap();
        let expected = Query { deadline: None, ..waiting("10.0.0.1:53", "10.0.0.9:4000", b"o") };
        assert_eq!(read.take_queries("10.0.0.1:53".parse().unwrap()), [expected]);
    }

    #[test]
    fn what_another_version_left_is_put_aside() {
        let other = Unfinished { format: FORMAT + 1, ..unfinished() };
        let read = Unfinished::read(&File::from(other.write().unwrap()));
        assert_eq!(read, Err("its format is 2, not 1".to_owned()));
        let odd = File::from(memory::write(NAME, b"{\"format\": 1}").unwrap());
        assert!(Unfinished::read(&odd).unwrap_err().starts_with("another version's"));
    }
}
