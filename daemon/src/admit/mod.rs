//! Who may ask, and what.

pub mod acl;
pub mod marks;
pub mod triage;
