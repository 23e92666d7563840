//! Where queries come in and responses go out.
//!
//! A [`worker`] serves UDP and asks upstreams, [`tcp`] serves client connections; both take queries through `forwarder`.
//! [`mailbox`] carries events from other threads to a worker, [`notice`] what a worker knows to the service, [`queries`] is what the TCP side does with a query.

pub mod mailbox;
pub mod notice;
pub mod queries;
mod serving;
pub mod tcp;
pub mod worker;
