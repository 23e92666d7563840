//! Asking upstream servers.

pub mod check;
pub mod engine;
pub mod health;
pub mod pool;
pub mod question;
pub mod server;
pub mod set;
pub mod sockets;
pub mod stream;

pub use server::Server;
pub use set::{Number, Set, Transport, Upstream};
pub use stream::{StreamError, StreamLimits, Streams};
