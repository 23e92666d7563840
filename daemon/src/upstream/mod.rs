//! Asking upstream servers.

pub mod server;
pub mod set;

pub use server::Server;
pub use set::{Number, Set, Transport, Upstream};
