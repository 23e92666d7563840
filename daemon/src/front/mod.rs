//! Where queries come in and answers go out.
pub mod bind;
pub mod inbox;
pub mod port_holder;
pub mod queries;
pub mod tcp;
pub mod udp;
