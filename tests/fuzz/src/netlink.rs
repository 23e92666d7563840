//! The readers of what the kernel says of links, addresses and routes: lengths within lengths.

use onward::internals::node_address::messages::{address, link, routes};

/// Reads `payload` as each of the three kinds of message.
pub fn check(payload: &[u8]) {
    if let Some(link) = link(payload) {
        assert!(link.name.len() <= 3 * payload.len(), "a name is of the message's bytes");
    }
    let _ = address(payload);
    assert!(routes(payload).len() <= payload.len());
}
