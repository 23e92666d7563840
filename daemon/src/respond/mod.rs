//! Responses to clients: cached ones, written for the client that asks ([`cached`]), and Onward's own ([`local`]).
//!
//! Nothing here sends; the fronts do.

pub(crate) mod cached;
pub(crate) mod local;

pub use cached::{Age, ResponseParams, write_cached};
pub(crate) use local::{Ede, LocalResponse};
