//! Who may ask, and what.

pub(crate) mod acl;
pub(crate) mod local_names;
pub(crate) mod triage;
