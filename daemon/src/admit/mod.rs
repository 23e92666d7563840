//! Who may ask, and what.

pub mod acl;
pub mod triage;
