//! Which servers there are to ask: sources are read, stubs unwrapped, candidates vetted, and one source's list chosen.
//!
//! The way through this folder: [`programs`] reads facts (with [`reader`], [`resolv_conf`]); without any further I/O
//! `unwrap` says what is behind a stub, [`sources`] what each source gives, `governance` which of them the node itself
//! asks; [`vet`] refuses with a reason, [`survey`] puts all of it together, [`preference`] chooses. Beside it:
//! [`kubelet`] (what the cluster uses, which no upstream may be), [`last_good`] (the list on disk), [`watch`] (tells of
//! changes).

mod governance;
pub(crate) mod kubelet;
pub(crate) mod last_good;
pub(crate) mod listed;
pub(crate) mod preference;
pub(crate) mod programs;
pub(crate) mod reader;
mod reading;
pub(crate) mod resolv_conf;
pub(crate) mod root;
mod routes;
mod source_name;
pub(crate) mod sources;
pub(crate) mod survey;
mod unwrap;
pub(crate) mod vet;
pub(crate) mod watch;

#[cfg(test)]
mod tests;

pub(crate) use governance::{Governor, governor};
pub(crate) use root::Root;
pub(crate) use routes::RouteSettings;
pub(crate) use source_name::SourceName;
pub(crate) use survey::{Candidate, Found, Inputs, Memory, Use, look, look_again, paths};
