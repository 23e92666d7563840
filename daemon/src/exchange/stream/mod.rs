//! Queries to upstreams over TCP, and over TLS within TCP: raw bytes out, raw bytes back.
//!
//! Each endpoint has a queue of queries (`queue`) and a few connections that take queries from it (`connection`). A
//! connection is opened when the queue needs one and closed when it is idle. hickory frames the messages; IDs and
//! matching are ours, since hickory's own exchange decodes each response and dies on one that it cannot read, with all
//! queries in flight. Which upstream is asked, and when, is decided elsewhere.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

mod connection;
mod distrust;
mod padding;
mod queue;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
#[cfg(test)]
mod tls_tests;

pub(crate) use distrust::Distrust;
use queue::{Attempt, Queue, StreamRequest};

use crate::guard::{AskOverTls, PROBE_PATIENCE};
use crate::upstream::Endpoint;
use connection::Target;
use tls::Tls;

/// Why a query over a stream has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// No connection came about, for any other reason.
    #[error("not reachable over a stream")]
    Unreachable,
    /// The server's certificate is refused.
    #[error("its certificate is refused: {0}")]
    Untrusted(Distrust),
    /// The server closed connections before it answered the query: several in which it answered others, or two in which
    /// it answered none.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The deadline passed.
    #[error("no answer in time")]
    Timeout,
    /// The server's queue is full.
    #[error("too many queries to this server at once")]
    Busy,
    /// The message is not a query with one question.
    #[error("not a query")]
    NotAQuery,
}

/// The bounds of the connections to each server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamLimits {
    /// Maximum number of connections to a server that keeps them open; a second one is opened only when the first is
    /// full (RFC 7766, section 6.2.2).
    pub connections: usize,
    /// Maximum number of connections to a server that closes each after a few responses.
    pub short_connections: usize,
    /// Maximum number of unanswered queries on each connection.
    pub in_flight: usize,
    /// Maximum number of queries that wait for room on a connection.
    pub queued: usize,
    /// Time until a connection without an unanswered query is closed (RFC 7766, section 6.2.3).
    pub idle: Duration,
    /// The same of a connection with TLS, which costs more to open (RFC 7858, section 3.4).
    pub encrypted_idle: Duration,
    /// Time after which a connection has broken that takes nothing that is sent over it (`TCP_USER_TIMEOUT`, tcp(7)).
    pub stuck: Duration,
    /// Silence after which queries that were sent while others were unanswered count as dropped; it is longer for a
    /// server that is slow.
    pub silence: Duration,
    /// Maximum time for a connection to come about, whatever the deadlines of the queries that wait for it.
    pub connect: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections: 2,
            short_connections: 16,
            in_flight: 100,
            queued: 8192,
            idle: Duration::from_secs(10),
            encrypted_idle: Duration::from_secs(30),
            stuck: Duration::from_secs(3),
            silence: Duration::from_millis(300),
            connect: Duration::from_secs(3),
        }
    }
}

/// Returns streams to upstreams that trust whom the settings say; none is open yet.
pub(crate) fn start(settings: &tls::Settings) -> Arc<Streams> {
    let streams = Streams::new(StreamLimits::default());
    streams.tls.configure(settings.ca_file.as_deref());
    Arc::new(streams)
}

/// How the guard's probes go to encrypted upstreams: over the connections that queries take, too.
pub(crate) fn for_probes(streams: &Arc<Streams>) -> AskOverTls {
    let streams = Arc::clone(streams);
    Arc::new(move |endpoint, message| {
        let streams = Arc::clone(&streams);
        Box::pin(async move { streams.ask(endpoint, message, Instant::now() + PROBE_PATIENCE).await.ok() })
    })
}

/// The connections to all servers.
#[derive(Debug)]
pub(crate) struct Streams {
    limits: StreamLimits,
    tls: Arc<Tls>,
    queues: Mutex<HashMap<Target, Arc<Queue>>>,
}

impl Streams {
    /// No connections yet.
    #[must_use]
    pub(crate) fn new(limits: StreamLimits) -> Self {
        Self { limits, tls: Arc::default(), queues: Mutex::default() }
    }

    /// What is trusted, for whoever configures it.
    #[must_use]
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Asks `endpoint`, and returns its response as it came, but for the ID, which is the one of `query` again.
    ///
    /// A query that was not answered when the server closed the connection is sent again on another one, as long as
    /// time is left: servers close connections when they like, and unanswered queries are the client's to retry (RFC
    /// 7766, section 6.2.4).
    ///
    /// # Errors
    /// See [`StreamError`]. A response to another question is ignored.
    pub(crate) async fn ask(
        &self,
        endpoint: Endpoint,
        query: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, StreamError> {
        let request = StreamRequest::of(query).ok_or(StreamError::NotAQuery)?;
        // Fails where its interface is gone.
        let address = endpoint.server.socket_address().map_err(|_| StreamError::Unreachable)?;
        let (reply, response) = oneshot::channel();
        Queue::push(&self.queue(Target { endpoint, address }), Attempt::new(request, deadline, reply))?;
        match timeout_at(deadline, response).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StreamError::Closed), // the runtime ends
            Err(_) => Err(StreamError::Timeout),
        }
    }

    /// The queue of `target`; queues of those without a connection are forgotten.
    fn queue(&self, target: Target) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|known, queue| *known == target || queue.is_in_use());
        let new = |target: &Target| Arc::new(Queue::new(target.clone(), self.limits, Arc::clone(&self.tls)));
        match queues.entry(target) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(place) => {
                let queue = new(place.key());
                Arc::clone(place.insert(queue))
            }
        }
    }
}
