//! The file that kubelet reads: what can be set of it ([`settings`]), what stands in it ([`mod@render`]), and how it gets to
//! disk ([`mod@write`]).

pub mod render;
pub mod settings;
mod words;
pub mod write;

pub use render::{Content, Found, NoServers, Note, Rendered, render};
pub use settings::{Domain, Policy, ResolverOption, Settings};
pub use write::{WriteError, Written, write};

#[cfg(test)]
mod tests;
