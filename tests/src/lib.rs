//! The harness of Onward's tests against real programs: hosts made of network namespaces, the servers that run in
//! them, a DNS client that shows every byte, and upstreams that follow a script. `README.md` has the overview.

pub mod api_server;
pub mod certificates;
pub mod dns;
pub mod flood;
pub mod garbage;
pub mod hops;
pub mod host;
pub mod http;
pub mod lab;
pub mod load;
pub mod messages;
pub mod netns;
pub mod node;
pub mod onward;
pub mod peers;
pub mod process;
pub mod query;
pub mod realistic;
pub mod relay;
pub mod servers;
pub mod tap;
pub mod tcp;
pub mod threads;
pub mod upstream;
pub mod validating;
pub mod wait;
pub mod wire;
pub mod zones;

/// Whether a test that makes network namespaces can run here.
///
/// Without root it is skipped, and says so; in CI and under `tests/run` nothing is skipped.
///
/// # Panics
/// In CI (`CI` is set) and under `tests/run` (`ONWARD_TESTS` is set), when this is not root.
#[must_use]
pub fn can_run() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    let must = std::env::var_os("CI").is_some() || std::env::var_os("ONWARD_TESTS").is_some();
    assert!(root || !must, "this test makes network namespaces: run it as root");
    if !root {
        println!("skipped: this test makes network namespaces; run it as root, best by tests/run");
    }
    root
}
