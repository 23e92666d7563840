//! Asking upstream servers.

pub mod server;

pub use server::Server;
