//! Which servers there are to ask: sources are read, stubs unwrapped, candidates vetted, and one source's list chosen.
//!
//! The way through this folder: [`sources`] (with [`unwrap`], [`resolv_conf`], [`entry`]) list servers, [`vet`] refuses
//! with a reason, [`survey`] puts both together, [`preference`] chooses. Beside it: [`kubelet`] (what the cluster uses,
//! which no upstream may be), [`last_good`] (the list on disk), [`watch`] (a bell that rings on changes).

pub mod entry;
pub mod resolv_conf;
pub mod root;
pub mod sources;
mod unwrap;
pub mod vet;
