//! Onward as it runs on a host, found out from outside: what it says, what it writes, what it answers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::dns::Client;
use crate::host::Host;
use crate::lab::{Lab, NODE};
use crate::process::Process;
use crate::query::{Query, types};
use crate::{peers, wait};

/// Where it reads its configuration.
pub const CONFIGURATION: &str = "/etc/onward/onward.toml";
/// Where it writes the file for kubelet.
pub const RESOLV_CONF: &str = "/run/onward/resolv.conf";

/// How long Onward may take until it serves.
const START: Duration = wait::seconds(10);

/// Starts `onward run` with these arguments, and does not wait for anything.
#[must_use]
pub fn spawn(host: &Host, arguments: &[&str]) -> Process {
    let binary = peers::onward().display().to_string();
    let mut words = vec![binary.as_str(), "run"];
    words.extend(arguments);
    host.start(&words)
}

/// Starts `onward run` and waits until it answers on `address` and has written its file.
#[must_use]
pub fn start(host: &Host, address: &str, arguments: &[&str]) -> Process {
    let mut process = spawn(host, arguments);
    let address = SocketAddr::new(address.parse().expect("an address"), 53);
    wait_until_serving(host, address, &mut process);
    wait_for_file(host, &mut process);
    process
}

/// Starts Onward on the lab's node, with these upstreams, in this order.
#[must_use]
pub fn with_upstreams(lab: &Lab, upstreams: &[&str]) -> Process {
    let mut arguments = vec!["--listen", NODE];
    for upstream in upstreams {
        arguments.extend(["--upstream", upstream]);
    }
    start(&lab.node, NODE, &arguments)
}

/// Waits until Onward answers on `address`; a query without RD is never forwarded, so nothing upstream sees it.
///
/// # Panics
/// If it ends, or does not answer in time.
pub fn wait_until_serving(host: &Host, address: SocketAddr, process: &mut Process) {
    let client = Client::at(host.net(), address);
    let query = Query::new("ready.test", types::A).flags(0).bytes();
    let found = wait::until(START, || {
        let ended = process.ended();
        assert!(ended.is_none(), "onward ended with {ended:?}:\n{}", process.output());
        client.exchange(&query, wait::millis(100))
    });
    assert!(found.is_some(), "onward does not answer on {address}:\n{}", process.output());
}

/// Waits for the file that kubelet reads.
///
/// # Panics
/// If it is not written in time.
pub fn wait_for_file(host: &Host, process: &mut Process) {
    let found = wait::until(START, || host.path(RESOLV_CONF).exists().then_some(()));
    assert!(found.is_some(), "onward wrote no {RESOLV_CONF}:\n{}", process.output());
}

/// Runs `onward` with these arguments to its end: its exit code, and all that it said.
///
/// # Panics
/// If it does not end within 10 s.
#[must_use]
pub fn run_to_end(host: &Host, arguments: &[&str]) -> (Option<i32>, String) {
    let binary = peers::onward().display().to_string();
    let mut words = vec![binary.as_str()];
    words.extend(arguments);
    let mut process = host.start(&words);
    let status = process.wait(wait::seconds(10));
    (status.code(), process.output())
}
