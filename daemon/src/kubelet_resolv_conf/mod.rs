//! The file that kubelet reads: what stands in it ([`mod@render`]) and how it gets to disk ([`mod@write`]).

pub mod render;
mod words;
pub mod write;

pub use render::{Content, NoServers, Note, Policy, Rendered, render};
pub use write::{WriteError, Written, write};

#[cfg(test)]
mod tests;
