//! What a core is told by other threads, and what it wants sent.

use std::sync::Arc;
use std::time::Instant;

use crate::exchange::pool::Socket;
use crate::exchange::{AttemptId, LookupRequest};
use crate::upstream::{Upstream, UpstreamId, UpstreamSet};
use crate::waiters::ReplyTo;
use crate::wire::QuestionKey;

/// What another thread decided or found out. For what is rare: a query that came over UDP stays with its worker.
#[derive(Debug, Clone)]
pub enum Event {
    /// Start this lookup: its query came over TCP.
    LookUp(LookupRequest),
    /// Start it when it has been held, if a client still waits for it.
    Hold(LookupRequest),
    /// Send this response when it has been held: it answers a probe of ours come home.
    HoldResponse(ReplyTo, Vec<u8>),
    /// A query of ours, which the lookup of this key sent, came back through this upstream; the client that brought it
    /// waits until the time given.
    Returned(QuestionKey, UpstreamId, Instant),
    /// A client waits for this key for whom one upstream is not enough.
    Widen(QuestionKey),
    /// The guard has given other verdicts, or has another key.
    Guidance,
    /// The allow-list is another.
    AllowList,
    /// These are the upstreams now.
    Upstreams(Arc<UpstreamSet>),
    /// Addresses or routes changed: open new sockets.
    RenewSockets,
}

/// What is to be sent, opened or closed. The bytes to send stand in the buffer that was given to
/// [`super::Forwarder::poll_transmit`].
#[derive(Debug)]
pub enum Transmit {
    /// Open a socket, connected to the upstream. Where that fails, [`super::Forwarder::handle_refused`] says so.
    Open(Socket, Arc<Upstream>),
    /// Send the bytes over the socket.
    Send(Socket),
    /// Close a socket; nothing is awaited from it.
    Close(Socket),
    /// Send the bytes over a stream, and wait for the response until the time given;
    /// [`super::Forwarder::handle_stream`] brings what came of it.
    Stream(AttemptId, Arc<Upstream>, Instant),
    /// Send the bytes to a client.
    Respond(ReplyTo),
    /// Tell the service that an upstream went down, or is back: [`super::Forwarder::report`] says which.
    HealthChanged,
    /// Tell all other workers.
    Tell(Event),
}
