//! Answers on their way back.

pub mod own;

pub use own::{Ede, Own};
