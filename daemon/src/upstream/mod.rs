//! What an upstream is: its endpoint, its identity across sets, and the set in use with its routes.
//!
//! A model only: `exchange` asks upstreams, `guard` judges them, `discovery` finds them.

pub mod endpoint;
pub mod server;
pub mod set;

pub use endpoint::{Endpoint, Security};
pub use server::Server;
pub use set::{Route, Transport, Upstream, UpstreamId, UpstreamSet};
