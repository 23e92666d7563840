//! Which servers there are to ask: sources are read, stubs unwrapped, candidates vetted, and one source's list chosen.
//!
//! The way through this folder: [`programs`] reads facts (with [`reader`], [`resolv_conf`]); without any further I/O
//! `unwrap` says what is behind a stub, [`sources`] what each source gives, `governance` which of them the node itself
//! asks; [`vet`] refuses with a reason, [`survey`] puts all of it together, [`preference`] chooses. Beside it: [`kubelet`]
//! (what the cluster uses, which no upstream may be), [`last_good`] (the list on disk), [`watch`] (tells of changes).

mod governance;
pub mod kubelet;
pub mod last_good;
pub mod listed;
pub mod preference;
pub mod programs;
pub mod reader;
mod reading;
pub mod resolv_conf;
pub mod root;
mod source_name;
pub mod sources;
pub mod survey;
mod unwrap;
pub mod vet;
pub mod watch;

#[cfg(test)]
mod tests;

pub use root::Root;
pub use source_name::SourceName;
pub use survey::{Candidate, Found, Inputs, Memory, Use, look, look_again, paths};
