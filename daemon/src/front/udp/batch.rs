//! Receives and sends datagrams in batches, without allocating and without knowing what is in them.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, sendmmsg,
};

/// Datagrams in a batch at most.
pub(super) const BATCH: usize = 16;
/// The longest query that is read whole; longer ones are cut, and then are no plain queries.
const QUERY_MAX: usize = 4096;

/// Socket addresses of one family.
pub(super) trait Family: SockaddrLike + Copy {
    /// As std has it.
    fn address(self) -> SocketAddr;
}

impl Family for SockaddrIn {
    #[inline]
    fn address(self) -> SocketAddr {
        SocketAddrV4::from(self).into()
    }
}

impl Family for SockaddrIn6 {
    #[inline]
    fn address(self) -> SocketAddr {
        SocketAddrV6::from(self).into()
    }
}

/// Buffers for a batch in and a batch out.
pub(super) struct Batch<F: Family> {
    incoming: Box<[[u8; QUERY_MAX]; BATCH]>,
    lengths: [usize; BATCH],
    senders: [Option<F>; BATCH],
    outgoing: [Vec<u8>; BATCH],
    receivers: [Option<F>; BATCH],
    answers: usize,
    receive_headers: MultiHeaders<F>,
    send_headers: MultiHeaders<F>,
}

impl<F: Family> Batch<F> {
    /// All buffers, once.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            incoming: Box::new([[0; QUERY_MAX]; BATCH]),
            lengths: [0; BATCH],
            senders: [None; BATCH],
            outgoing: std::array::from_fn(|_| Vec::with_capacity(QUERY_MAX)),
            receivers: [None; BATCH],
            answers: 0,
            receive_headers: MultiHeaders::preallocate(BATCH, None),
            send_headers: MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// Receives what is there, without waiting; returns how many datagrams came.
    #[inline]
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> usize {
        let mut slices = self.incoming.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let received =
            recvmmsg(socket.as_raw_fd(), &mut self.receive_headers, &mut slices, MsgFlags::MSG_DONTWAIT, None);
        let Ok(messages) = received else { return 0 };
        let mut count = 0;
        for (message, (length, sender)) in messages.zip(self.lengths.iter_mut().zip(&mut self.senders)) {
            (*length, *sender) = (message.bytes, message.address);
            count += 1;
        }
        count
    }

    /// Shows each of the first `count` datagrams that came to `answer`, with its sender and a buffer; where that returns
    /// true, what is in the buffer is kept for [`Self::send`].
    #[inline]
    pub(super) fn answer(&mut self, count: usize, mut answer: impl FnMut(&[u8], SocketAddr, &mut Vec<u8>) -> bool) {
        let mut free = self.outgoing.iter_mut().zip(&mut self.receivers);
        let Some((mut out, mut receiver)) = free.next() else { return };
        for ((buffer, length), sender) in self.incoming.iter().zip(&self.lengths).zip(&self.senders).take(count) {
            let (Some(datagram), Some(sender)) = (buffer.get(..*length), *sender) else { continue };
            if answer(datagram, sender.address(), out) {
                *receiver = Some(sender);
                self.answers += 1;
                let Some(next) = free.next() else { return };
                (out, receiver) = next;
            }
        }
    }

    /// Sends the answers that were kept. One that the kernel does not take is lost, as datagrams may be.
    #[inline]
    pub(super) fn send(&mut self, socket: &UdpSocket) {
        let count = std::mem::take(&mut self.answers);
        let slices = self.outgoing.each_ref().map(|buffer| [IoSlice::new(buffer)]);
        let mut sent = 0;
        while sent < count {
            let (Some(slices), Some(receivers)) = (slices.get(sent..count), self.receivers.get(sent..count)) else {
                return;
            };
            let none: [ControlMessage<'_>; 0] = [];
            let result =
                sendmmsg(socket.as_raw_fd(), &mut self.send_headers, slices, receivers, none, MsgFlags::MSG_DONTWAIT);
            sent += result.map_or(1, |results| results.count().max(1));
        }
    }
}

impl<F: Family> Default for Batch<F> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_in_and_every_second_datagram_is_answered() {
        let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let mut batch = Batch::<SockaddrIn>::new();
        assert_eq!(batch.receive(&server), 0);
        for n in 0..20_u8 {
            client.send_to(&[n; 30], server.local_addr().unwrap()).unwrap();
        }
        assert_eq!(batch.receive(&server), BATCH);
        let mut seen = 0;
        batch.answer(BATCH, |bytes, from, out| {
            assert_eq!(from, client.local_addr().unwrap());
            out.clear();
            out.extend(&bytes[..10]);
            seen += 1;
            seen % 2 == 1
        });
        batch.send(&server);
        assert_eq!(batch.receive(&server), 4);
        let mut buffer = [0; 64];
        for n in (0..16).step_by(2) {
            assert_eq!(client.recv(&mut buffer).unwrap(), 10);
            assert_eq!(buffer[0], n);
        }
    }
}
