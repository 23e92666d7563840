//! Answers to clients: what was learnt, dressed for the one who asks ([`mod@dress`]), and what Onward says itself ([`own`]).
//!
//! Nothing here sends; the fronts do.

pub mod dress;
pub mod own;

pub use dress::{Age, Wants, dress};
pub use own::{Ede, Own};
