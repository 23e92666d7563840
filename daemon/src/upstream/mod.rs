//! What an upstream is: its address, its identity across sets, and the ordered set in use.
//!
//! A model only: `exchange` asks upstreams, `guard` judges them, `discovery` finds them.

pub mod server;
pub mod set;

pub use server::Server;
pub use set::{Transport, Upstream, UpstreamId, UpstreamSet};
