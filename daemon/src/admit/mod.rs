//! Who may ask, and what.

pub(crate) mod acl;
pub(crate) mod special_names;
pub(crate) mod triage;
