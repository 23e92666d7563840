//! Where a response goes: names only. What they stand for, the shells know (`crate::server`), so that who decides about
//! a query holds no socket and no task.

use std::net::SocketAddr;

/// Names an address that queries come in on. Each worker has a socket of its own there, under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u32);

/// Names one query that came over a stream and waits for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(pub u64);

/// The way back to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyTo {
    /// A datagram from the listener that the query came in on, so that it leaves from the address that was asked.
    Udp(ListenerId, SocketAddr),
    /// To the task that serves the client's connection.
    Stream(ClientId),
}
