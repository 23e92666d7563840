//! What people are told of listeners, and the file for kubelet.

use std::net::SocketAddr;

use super::listening::Changes;

/// Tells what is listened on, and what no longer.
pub(super) fn listening(changes: &Changes) {
    for (address, reason) in &changes.opened {
        log::info!(address:%; "listening on {address} (UDP and TCP), {reason}");
    }
    for address in &changes.kept {
        log::warn!(
            address:%;
            "{address} is no longer this node's address by the rules; pods that know it are answered as long as it exists"
        );
    }
    for address in &changes.closed {
        log::warn!(address:%; "{address} has gone from this node; pods that know it must be made anew");
    }
}

/// TEMP
#[derive(Default)]
pub(super) struct File;
impl File {
    pub(super) fn write(
        &mut self,
        _s: &crate::config::ResolvConf,
        _c: &crate::address::Chosen,
        _a: &[String],
        _b: &[String],
    ) -> bool {
        true
    }
}
const _: Option<SocketAddr> = None;
