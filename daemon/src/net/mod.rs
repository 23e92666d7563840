//! Sockets and batches of datagrams. Nothing here knows DNS.
//!
//! [`bind`] opens the sockets on which queries come in, [`port_holder`] tells who has the port when that fails, [`batch`]
//! receives and sends many datagrams with one system call, and [`outbox`] collects datagrams that leave through one socket.

pub mod batch;
pub mod bind;
pub mod outbox;
pub mod port_holder;
