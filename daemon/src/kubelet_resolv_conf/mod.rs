//! The file that kubelet reads: what can be set of it ([`settings`]), what stands in it ([`mod@render`]), and how it
//! gets to disk ([`mod@write`]).

pub(crate) mod render;
pub(crate) mod settings;
mod words;
pub(crate) mod write;

pub(crate) use render::{Content, Found, Naming, Note, is_of_node, render};
pub(crate) use settings::{Domain, Policy, Settings};
pub(crate) use write::{Written, read, write};

#[cfg(test)]
mod tests;
