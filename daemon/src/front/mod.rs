//! Where queries come in and answers go out.

pub mod bind;
pub mod port_holder;
