//! Who may ask, and what.

pub mod acl;
pub mod special_names;
pub mod triage;
