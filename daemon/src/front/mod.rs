//! Where queries come in and answers go out.
pub mod inbox;
pub mod queries;
pub mod tcp;
pub mod udp;
