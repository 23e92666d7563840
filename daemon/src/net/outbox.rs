//! Answers that are due to clients over UDP, sent several at once.
//!
//! What they are is decided elsewhere; one worker has one outbox, and flushes it before it waits for anything.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use nix::sys::socket::SockaddrStorage;

use super::batch::Outgoing;

/// Answers that leave through one socket.
#[derive(Default)]
pub(crate) struct Outbox {
    socket: Option<Arc<UdpSocket>>,
    outgoing: Outgoing<SockaddrStorage>,
}

impl Outbox {
    /// Shows `write` a buffer; where it returns true, what it has written is sent to `client` through `socket`: with
    /// the next [`Self::flush`] at the latest.
    pub(crate) fn push(
        &mut self,
        socket: &Arc<UdpSocket>,
        client: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        let is_same = self.socket.as_ref().is_some_and(|due| Arc::ptr_eq(due, socket));
        if !is_same || self.outgoing.is_full() {
            self.flush();
            self.socket = Some(Arc::clone(socket));
        }
        self.outgoing.push(client.into(), write);
    }

    /// Sends what is due.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.outgoing.send(&socket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_through_their_own_socket_however_many_there_are() {
        let sockets = [(); 2].map(|()| Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap()));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let mut outbox = Outbox::default();
        let from = |n: u8| &sockets[usize::from(n / 20) % 2];
        for n in 0..60 {
            outbox.push(from(n), client.local_addr().unwrap(), |out| {
                out.clear();
                out.push(n);
                n % 10 != 9
            });
        }
        outbox.flush();
        let mut buffer = [0; 16];
        for n in (0..60).filter(|n| n % 10 != 9) {
            let (length, sender) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], sender), (&[n][..], from(n).local_addr().unwrap()));
        }
    }
}
