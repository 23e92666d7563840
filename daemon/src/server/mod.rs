//! Where queries come in and responses go out: the shells around [`crate::forwarder`].
//!
//! A [`worker`] serves UDP and asks upstreams, over the sockets of its `listeners` by `batches`; [`tcp`] serves client
//! connections, and [`queries`] is what becomes of their queries. [`mailbox`] carries events from other threads to a
//! worker, [`notice`] news of a worker to the service, and [`clients`] a worker's responses to the connections.

use std::time::Duration;

mod batches;
pub(crate) mod clients;
mod listeners;
pub(crate) mod mailbox;
pub(crate) mod notice;
pub(crate) mod queries;
pub(crate) mod tcp;
pub(crate) mod worker;

/// Maximum time that is given to what is in flight when the process ends. Clients are answered as ever meanwhile.
pub(crate) const DRAIN: Duration = Duration::from_secs(1);
