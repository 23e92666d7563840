//! Where queries come in and responses go out: the shells around [`crate::forwarder`].
//!
//! A [`worker`] serves UDP and asks upstreams, over the sockets of its `listeners` by `batches`; [`tcp`] serves client
//! connections, and [`queries`] is what becomes of their queries. [`mailbox`] carries events from other threads to a worker,
//! [`notice`] news of a worker to the service, and [`clients`] a worker's responses to the connections.

mod batches;
pub mod clients;
mod listeners;
pub mod mailbox;
pub mod notice;
pub mod queries;
pub mod tcp;
pub mod worker;
