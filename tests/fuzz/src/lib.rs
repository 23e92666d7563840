//! What must hold of Onward's readers for any bytes whatever. Each module is one target: it reads the bytes and panics
//! where a promise is broken. `run` drives them with libFuzzer; `tests/corpora.rs` plays the kept inputs in plain
//! tests.

pub mod core;
pub mod kubelet;
pub mod netlink;
pub mod query;
pub mod resolv_conf;
pub mod response;
pub mod tag;
pub mod wire;

mod script;
mod world;

/// A target: its name, which is also the folder of its corpus, and its check.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("core", core::check),
    ("kubelet", kubelet::check),
    ("netlink", netlink::check),
    ("query", query::check),
    ("resolv_conf", resolv_conf::check),
    ("response", response::check),
    ("tag", tag::check),
    ("wire", wire::check),
];
