//! Questions to upstreams over TCP: raw bytes out, raw bytes back.
//!
//! Connections are opened when a question needs one, shared by all questions to that server, and closed when idle. hickory
//! frames the messages; IDs and matching are ours (`connection`), since hickory's own exchange decodes each answer and dies
//! on one that it cannot read, with all that is in lookup. Which upstream is asked, and when, is decided elsewhere.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

mod connection;
#[cfg(test)]
mod tests;

use connection::{Attempt, Connection, StreamRequest};

/// Why a question over TCP has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// No connection came about, for any other reason.
    #[error("not reachable over TCP")]
    Unreachable,
    /// The server hung up, also on a second connection.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The deadline passed.
    #[error("no answer in time")]
    Timeout,
    /// All connections to the server are full.
    #[error("too many questions to this server at once")]
    Busy,
    /// What was to be asked is not a query with one question.
    #[error("not a query")]
    NotAQuery,
}

/// The bounds of the connections to each server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at once; a second one is opened only when the first is full (RFC 7766, section 6.2.2).
    pub connections: usize,
    /// Questions in lookup on each connection.
    pub lookups_running: usize,
    /// How long a connection stays open without a question in lookup (RFC 7766, section 6.2.3).
    pub idle: Duration,
    /// How long a connection may take to come about, whatever the deadlines of those who wait for it.
    pub connect: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { connections: 2, lookups_running: 100, idle: Duration::from_secs(10), connect: Duration::from_secs(3) }
    }
}

/// The connections to all servers.
#[derive(Debug)]
pub struct Streams {
    limits: StreamLimits,
    servers: Mutex<HashMap<SocketAddr, Vec<Connection>>>,
}

impl Streams {
    /// No connections yet.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self { limits, servers: Mutex::default() }
    }

    /// Asks `server`, and returns its answer as it came, but for the ID, which is the one of `query` again.
    ///
    /// Where the server hangs up first, the question is asked once more on another connection: servers close idle
    /// connections when they like, and unanswered queries are the client's to retry (RFC 7766, section 6.2.4).
    ///
    /// # Errors
    /// See [`StreamError`]. An answer to another question is no answer, and is still waited past.
    pub async fn ask(&self, server: SocketAddr, query: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, StreamError> {
        let question = StreamRequest::of(query).ok_or(StreamError::NotAQuery)?;
        let started = Instant::now();
        match self.ask_once(server, question.clone(), deadline, None).await {
            Err(StreamError::Closed) if Instant::now() < deadline => {
                self.ask_once(server, question, deadline, Some(started)).await
            }
            result => result,
        }
    }

    async fn ask_once(
        &self,
        server: SocketAddr,
        question: StreamRequest,
        deadline: Instant,
        opened_after: Option<Instant>,
    ) -> Result<Vec<u8>, StreamError> {
        let (reply, answer) = oneshot::channel();
        self.place(server, opened_after, Attempt { question, deadline, reply })?;
        match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StreamError::Closed), // the connection's task has ended
            Err(_) => Err(StreamError::Timeout),
        }
    }

    /// Hands a question to a connection that has room, opening one where there is need and leave.
    fn place(&self, server: SocketAddr, opened_after: Option<Instant>, ask: Attempt) -> Result<(), StreamError> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, connections| {
            connections.retain(|connection| !connection.has_ended());
            !connections.is_empty()
        });
        let connections = servers.entry(server).or_default();
        let young = |connection: &&Connection| opened_after.is_none_or(|after| connection.opened >= after);
        let mut room = connections.iter().filter(young).find_map(Connection::room);
        if room.is_none() && connections.len() < self.limits.connections {
            let connection = Connection::open(server, self.limits);
            room = connection.room();
            connections.push(connection);
        }
        let room = room.or_else(|| connections.iter().find_map(Connection::room)).ok_or(StreamError::Busy)?;
        room.take(ask);
        Ok(())
    }
}
