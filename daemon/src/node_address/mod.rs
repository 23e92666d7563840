//! Which addresses are the node's: the kernel's tables, the choice among them, and the bell that rings when they
//! change.
//!
//! [`netlink`] reads [`Tables`], [`mod@choose`] decides without I/O by the rules of [`eligible`], [`bell`] says when to
//! read them again. [`dedicated`] is about addresses that are put on the node for Onward.

pub(crate) mod bell;
pub(crate) mod choose;
pub(crate) mod dedicated;
pub(crate) mod eligible;
pub(crate) mod messages;
pub(crate) mod netlink;
mod node;
pub(crate) mod table;

pub(crate) use bell::Bell;
pub(crate) use choose::{Awaited, Chosen, NoAddress, Wanted, choose};
pub use table::Tables;

#[cfg(test)]
mod handed_out_tests;
#[cfg(test)]
mod namespace_tests;
#[cfg(test)]
pub(crate) mod tests;
