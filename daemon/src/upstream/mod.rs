//! What an upstream is: its endpoint, its identity across sets, and the set in use with its routes.
//!
//! A model only: `exchange` asks upstreams, `guard` judges them, `discovery` finds them.

pub(crate) mod endpoint;
pub(crate) mod server;
pub(crate) mod set;
mod suffix;

pub(crate) use endpoint::Endpoint;
pub(crate) use endpoint::Security;
pub use server::Server;
pub(crate) use set::{Route, Upstream, Worth};
pub use set::{Transport, UpstreamId, UpstreamSet};
pub(crate) use suffix::Suffix;
