//! Which addresses are the node's: the kernel's tables, the choice among them, and the bell that rings when they change.
//!
//! [`netlink`] reads [`Tables`], [`mod@choose`] decides without I/O by the rules of [`eligible`], [`bell`] says when to read anew.

pub mod bell;
pub mod choose;
pub mod eligible;
mod messages;
pub mod netlink;
mod node;
pub mod table;

pub use bell::Bell;
pub use choose::{Awaited, Chosen, NoAddress, Wanted, choose};
pub use table::Tables;

#[cfg(test)]
mod handed_out_tests;
#[cfg(test)]
mod namespace_tests;
#[cfg(test)]
mod tests;
