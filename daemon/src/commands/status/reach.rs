//! Whether Onward answers at an address, asked from this node, over UDP and over TCP.

use std::net::IpAddr;

use serde::Serialize;

use crate::integrate::nonce::{Outcome, Transport, ask};

/// Whether it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reach {
    pub(super) address: IpAddr,
    pub(super) udp: bool,
    pub(super) tcp: bool,
}

impl Reach {
    /// Says over what the address, which `file` names, does not answer; nothing where it does.
    pub(super) fn trouble(&self, file: &str) -> Option<String> {
        let over = match (self.udp, self.tcp) {
            (true, true) => return None,
            (false, true) => "over UDP",
            (true, false) => "over TCP",
            (false, false) => "over UDP and TCP",
        };
        Some(format!("{}, which {file} names, does not answer this command {over}", self.address))
    }
}

/// Asks each address, all at the same time.
pub(super) fn ask_all(addresses: &[IpAddr]) -> Vec<Reach> {
    let is_reached = |address, transport| ask(address, transport) == Outcome::Onward;
    std::thread::scope(|scope| {
        let each = addresses.iter().copied().map(|address| {
            scope.spawn(move || Reach {
                address,
                udp: is_reached(address, Transport::Udp),
                tcp: is_reached(address, Transport::Tcp),
            })
        });
        let asked: Vec<_> = each.collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}
