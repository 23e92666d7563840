//! Where queries come in and answers go out.
pub mod tcp;
