//! Which servers there are to ask.

pub mod resolv_conf;
pub mod root;
