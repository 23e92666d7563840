//! Asking upstream servers.

pub mod server;
pub mod set;
pub mod stream;

pub use server::Server;
pub use set::{Number, Set, Transport, Upstream};
pub use stream::{StreamError, StreamLimits, Streams};
