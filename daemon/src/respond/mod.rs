//! Responses to clients: cached ones, written for the client that asks ([`cached`]), and Onward's own ([`local`]).
//!
//! Nothing here sends; the fronts do.

pub mod cached;
pub mod local;

pub use cached::{Age, ResponseParams, write_cached};
pub use local::{Ede, LocalResponse};
