//! Answers to clients: what was learnt, dressed for the one who asks ([`dress`]), and what Onward says itself ([`own`]).
//!
//! Nothing here sends; the fronts do.

pub mod dress;

pub use dress::{Age, Wants, dress};
