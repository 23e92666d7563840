//! The test network: a node, the network behind it where the upstream servers are, and a pod.
//!
//! ```text
//! pod 10.244.0.10 ── veth ── 10.244.0.1 node 10.99.0.1 ── veth ── 10.99.0.53, .54, .55 upstream
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::can_run;
use crate::dns::Client;
use crate::host::Host;
use crate::netns::cable;

/// The node's own address, where Onward listens.
pub const NODE: &str = "10.99.0.1";
/// The same, as a value.
pub const NODE_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// Addresses of the upstream network.
pub const UPSTREAMS: [&str; 3] = ["10.99.0.53", "10.99.0.54", "10.99.0.55"];
/// An address of the upstream network where no program listens.
pub const CLOSED: &str = "10.99.0.99";

/// The three hosts.
#[derive(Debug)]
pub struct Lab {
    /// The pod, whose default route is the node.
    pub pod: Host,
    /// The node.
    pub node: Host,
    /// Where the upstream servers run.
    pub upstream: Host,
}

impl Lab {
    /// Makes the hosts and joins them; nothing where tests cannot run (`can_run`).
    #[must_use]
    pub fn new() -> Option<Self> {
        if !can_run() {
            return None;
        }
        let lab = Self { pod: Host::new("pod"), node: Host::new("node"), upstream: Host::new("upstream") };
        cable(lab.node.net(), "eth0", lab.upstream.net(), "eth0");
        cable(lab.node.net(), "pod0", lab.pod.net(), "eth0");
        for address in UPSTREAMS.into_iter().chain([CLOSED]) {
            lab.upstream.net().address("eth0", &format!("{address}/24"));
        }
        lab.node.net().address("eth0", &format!("{NODE}/24"));
        lab.node.net().ip(&format!("route add default via {}", UPSTREAMS[0]));
        lab.node.net().address("pod0", "10.244.0.1/24");
        lab.pod.net().address("eth0", "10.244.0.10/24");
        lab.pod.net().ip("route add default via 10.244.0.1");
        lab.node.write("/etc/resolv.conf", "");
        Some(lab)
    }

    /// A client in the pod that asks Onward.
    #[must_use]
    pub fn client(&self) -> Client<'_> {
        Client::new(self.pod.net(), NODE_IP)
    }

    /// The socket address of an upstream.
    ///
    /// # Panics
    /// If there is none of this number.
    #[must_use]
    pub fn upstream_address(number: usize) -> SocketAddr {
        SocketAddr::new(UPSTREAMS[number].parse().expect("an address"), 53)
    }
}
