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
/// Room is made for so many datagrams more than came the last time: each takes a little work, also where none comes.
const FEW: usize = 4;

/// Socket addresses of one family, or of any.
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

/// Datagrams that came in.
pub(super) struct Incoming<F: Family> {
    buffers: [Box<[u8; QUERY_MAX]>; BATCH],
    lengths: [usize; BATCH],
    senders: [Option<F>; BATCH],
    headers: MultiHeaders<F>,
    room: usize,
}

/// Datagrams that are to go out.
pub struct Outgoing<F> {
    buffers: [Vec<u8>; BATCH],
    receivers: [Option<F>; BATCH],
    count: usize,
    headers: MultiHeaders<F>,
}

impl<F: Family> Default for Incoming<F> {
    /// All buffers, once. Memory that is not written to costs nothing.
    fn default() -> Self {
        Self {
            buffers: std::array::from_fn(|_| Box::new([0; QUERY_MAX])),
            lengths: [0; BATCH],
            senders: [None; BATCH],
            headers: MultiHeaders::preallocate(BATCH, None),
            room: BATCH,
        }
    }
}

impl<F: SockaddrLike + Copy> Default for Outgoing<F> {
    /// Buffers grow with the first answers that are written to them.
    fn default() -> Self {
        Self {
            buffers: std::array::from_fn(|_| Vec::new()),
            receivers: [None; BATCH],
            count: 0,
            headers: MultiHeaders::preallocate(BATCH, None),
        }
    }
}

impl<F: Family> Incoming<F> {
    /// Receives what is there, without waiting; returns how many datagrams came, and whether there may be more.
    #[inline]
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> (usize, bool) {
        let room = self.room;
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(&mut buffer[..])]);
        let slices = slices.iter_mut().take(room);
        let received = recvmmsg(socket.as_raw_fd(), &mut self.headers, slices, MsgFlags::MSG_DONTWAIT, None);
        let Ok(messages) = received else { return (0, false) };
        let mut count = 0;
        for (message, (length, sender)) in messages.zip(self.lengths.iter_mut().zip(&mut self.senders)) {
            (*length, *sender) = (message.bytes, message.address);
            count += 1;
        }
        self.room = (count + FEW).min(BATCH);
        (count, count == room)
    }

    /// The first `count` datagrams that came, each with its sender.
    #[inline]
    pub(super) fn datagrams(&self, count: usize) -> impl Iterator<Item = (&[u8], F)> {
        let datagrams = self.buffers.iter().zip(&self.lengths).zip(&self.senders).take(count);
        datagrams.filter_map(|((buffer, length), sender)| Some((buffer.get(..*length)?, (*sender)?)))
    }
}

impl<F: SockaddrLike + Copy> Outgoing<F> {
    /// Shows `write` a buffer; where it returns true, what it has written goes to `receiver` with the next
    /// [`Self::send`]. There is room for sixteen of them; what is more is lost, as datagrams may be.
    #[inline]
    pub fn push(&mut self, receiver: F, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let count = self.count;
        if let (Some(buffer), Some(place)) = (self.buffers.get_mut(count), self.receivers.get_mut(count))
            && write(buffer)
        {
            *place = Some(receiver);
            self.count += 1;
        }
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// Sends what is there. A datagram that the kernel does not take is lost, as datagrams may be.
    #[inline]
    pub fn send(&mut self, socket: &UdpSocket) {
        let count = std::mem::take(&mut self.count);
        if count == 0 {
            return;
        }
        let slices = self.buffers.each_ref().map(|buffer| [IoSlice::new(buffer)]);
        let mut sent = 0;
        while sent < count {
            let (Some(slices), Some(receivers)) = (slices.get(sent..count), self.receivers.get(sent..count)) else {
                return;
            };
            let none: [ControlMessage<'_>; 0] = [];
            let result =
                sendmmsg(socket.as_raw_fd(), &mut self.headers, slices, receivers, none, MsgFlags::MSG_DONTWAIT);
            sent += result.map_or(1, |results| results.count().max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_in_and_every_second_datagram_is_answered() {
        let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let (mut incoming, mut outgoing) = (Incoming::<SockaddrIn>::default(), Outgoing::<SockaddrIn>::default());
        assert_eq!(incoming.receive(&server), (0, false));
        for n in 0..20_u8 {
            client.send_to(&[n; 30], server.local_addr().unwrap()).unwrap();
        }
        assert_eq!(incoming.receive(&server), (BATCH, true));
        for (number, (bytes, from)) in incoming.datagrams(BATCH).enumerate() {
            assert_eq!(from.address(), client.local_addr().unwrap());
            outgoing.push(from, |out| {
                out.clear();
                out.extend(&bytes[..10]);
                number % 2 == 0
            });
        }
        outgoing.send(&server);
        assert_eq!(incoming.receive(&server), (4, false));
        let mut buffer = [0; 64];
        for n in (0..16).step_by(2) {
            assert_eq!(client.recv(&mut buffer).unwrap(), 10);
            assert_eq!(buffer[0], n);
        }
    }

    #[test]
    fn room_follows_what_comes() {
        let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut incoming = Incoming::<SockaddrIn>::default();
        for (sent, seen) in [(1, vec![1]), (6, vec![5, 1]), (14, vec![5, 9, 0]), (3, vec![3])] {
            (0..sent).for_each(|n| assert_eq!(client.send_to(&[n], server.local_addr().unwrap()).unwrap(), 1));
            let mut counts = Vec::new();
            loop {
                let (count, more) = incoming.receive(&server);
                counts.push(count);
                if !more {
                    break;
                }
            }
            assert_eq!(counts, seen, "of {sent}");
        }
    }
}
