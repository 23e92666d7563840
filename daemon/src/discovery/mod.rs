//! Which servers there are to ask: sources are read, stubs unwrapped, candidates vetted, and one source's list chosen.
//!
//! The way through this folder: [`sources`] (with `unwrap`, [`resolv_conf`], [`entry`]) list servers, [`vet`] refuses
//! with a reason, [`survey`] puts both together, [`preference`] chooses. Beside it: [`kubelet`] (what the cluster uses,
//! which no upstream may be), [`last_good`] (the list on disk), [`watch`] (a bell that rings on changes).

pub mod entry;
pub mod kubelet;
pub mod last_good;
pub mod preference;
pub mod resolv_conf;
pub mod root;
pub mod sources;
pub mod survey;
mod unwrap;
pub mod vet;
pub mod watch;

#[cfg(test)]
mod tests;

pub use preference::Preference;
pub use root::Root;
pub use sources::SourceName;
pub use survey::{Candidate, Found, Inputs, Verdict, look, look_again, paths};
