//! What clients and servers over TCP share: messages with their length in front (RFC 1035, section 4.2.2), and
//! accepting connections until it is time to stop.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use crate::query::length;
use crate::threads::Stop;

/// How often a listener is looked at.
const TICK: Duration = Duration::from_millis(10);

/// A message with its length in front.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&length(message)[..], message].concat()
}

/// The next message; none where the connection ends or is silent for too long.
pub fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// Reads what has come, and forgets it.
///
/// # Panics
/// If the system refuses to make the stream one that does not block, or to take that back.
pub fn drop_readable(stream: &mut TcpStream) {
    stream.set_nonblocking(true).expect("a stream that does not block");
    while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
    stream.set_nonblocking(false).expect("a stream that blocks");
}

/// Hands each connection to `serve`, as one whose reads block for `patience` at most.
///
/// # Panics
/// If the system refuses that.
pub fn accept(listener: &TcpListener, patience: Duration, stop: &Stop, mut serve: impl FnMut(TcpStream, SocketAddr)) {
    listener.set_nonblocking(true).expect("a listener that does not block");
    while !stop.told() {
        match listener.accept() {
            Ok((stream, peer)) => {
                let blocks = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(patience)));
                blocks.expect("a stream that blocks");
                serve(stream, peer);
            }
            Err(_) => sleep(TICK),
        }
    }
}
