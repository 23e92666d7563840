//! Receives and sends datagrams in batches, without allocating and without knowing what is in them.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvfrom, recvmmsg, sendmmsg, sendto,
};

/// Datagrams in a batch at most.
pub(super) const BATCH: usize = 16;
/// The longest query that is read whole; longer ones are cut, and then are no plain queries.
const QUERY_MAX: usize = 4096;
/// Number of headers passed to sendmmsg for that number of datagrams or fewer, and to recvmmsg after a call that
/// brought fewer: each header passed takes a little work, used or not.
const HALF: usize = BATCH / 2;

/// Socket addresses of one family, or of any.
pub(crate) trait Family: SockaddrLike + Copy {
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

/// Whether to wait where nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// For the first datagram, as long as the socket's timeout says.
    One,
}

impl Patience {
    fn flags(self) -> MsgFlags {
        match self {
            Self::None => MsgFlags::MSG_DONTWAIT,
            Self::One => MsgFlags::MSG_WAITFORONE,
        }
    }
}

/// Takes the datagrams of a batch.
pub(crate) trait Sink<F> {
    /// A batch has come.
    fn begin(&mut self);
    /// This datagram is in it, from this sender.
    fn datagram(&mut self, datagram: &[u8], from: F);
}

/// Datagrams that came in.
pub(crate) struct Incoming<F: Family> {
    buffers: [Box<[u8; QUERY_MAX]>; BATCH],
    headers: MultiHeaders<F>,
    /// The last batch was more than half a batch.
    many: bool,
}

/// Datagrams that are to go out.
pub(crate) struct Outgoing<F> {
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
            headers: MultiHeaders::preallocate(BATCH, None),
            many: true,
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
    /// Receives what is there, or what comes as `patience` has it, into `sink`. Returns the number of datagrams, and
    /// whether there may be more.
    #[inline]
    pub(crate) fn receive(&mut self, socket: &UdpSocket, patience: Patience, sink: &mut impl Sink<F>) -> (usize, bool) {
        if self.many {
            self.receive_into::<BATCH>(socket, patience, sink)
        } else {
            self.receive_into::<HALF>(socket, patience, sink)
        }
    }

    /// Receives one datagram that is there: where no second is to be expected, the call without headers, and without a
    /// look for that second, takes less.
    #[inline]
    pub(crate) fn receive_one(&mut self, socket: &UdpSocket, sink: &mut impl Sink<F>) -> usize {
        let Some(buffer) = self.buffers.first_mut() else { return 0 };
        // Without MSG_DONTWAIT, which nix has no way to say here: for a socket that may wait, epoll itself looks at the
        // checksum of what is there, and the socket's timeout is an end to it all the same.
        let Ok((length, Some(sender))) = recvfrom::<F>(socket.as_raw_fd(), &mut buffer[..]) else { return 0 };
        sink.begin();
        sink.datagram(buffer.get(..length).unwrap_or_default(), sender);
        1
    }

    #[inline]
    fn receive_into<const N: usize>(
        &mut self,
        socket: &UdpSocket,
        patience: Patience,
        sink: &mut impl Sink<F>,
    ) -> (usize, bool) {
        let Some(buffers) = self.buffers.first_chunk_mut::<N>() else { return (0, false) };
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(&mut buffer[..])]);
        let received = recvmmsg(socket.as_raw_fd(), &mut self.headers, &mut slices, patience.flags(), None);
        let Ok(messages) = received else { return (0, false) };
        sink.begin();
        let mut count = 0;
        for message in messages {
            count += 1;
            if let (Some(datagram), Some(sender)) = (message.iovs().next(), message.address) {
                sink.datagram(datagram, sender);
            }
        }
        self.many = count >= HALF;
        (count, count == N)
    }
}

impl<F: SockaddrLike + Copy> Outgoing<F> {
    /// Shows `write` a buffer; where it returns true, what it has written goes to `receiver` with the next
    /// [`Self::send`]. There is room for sixteen of them; what is more is lost, as datagrams may be.
    #[inline]
    pub(crate) fn push(&mut self, receiver: F, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let count = self.count;
        if let (Some(buffer), Some(place)) = (self.buffers.get_mut(count), self.receivers.get_mut(count))
            && write(buffer)
        {
            *place = Some(receiver);
            self.count += 1;
        }
    }

    /// Whether there is no room for another.
    pub(crate) fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// Sends what is there. A datagram that the kernel does not take is lost, as datagrams may be.
    #[inline]
    pub(crate) fn send(&mut self, socket: &UdpSocket) {
        match std::mem::take(&mut self.count) {
            0 => {}
            1 => self.send_one(socket),
            count @ ..=HALF => self.send_from::<HALF>(count, socket),
            count => self.send_from::<BATCH>(count, socket),
        }
    }

    /// Sends the first datagram: one by itself takes less by a call that has no headers to be read and written.
    fn send_one(&self, socket: &UdpSocket) {
        if let (Some(buffer), Some(Some(receiver))) = (self.buffers.first(), self.receivers.first()) {
            let _ = sendto(socket.as_raw_fd(), buffer, receiver, MsgFlags::MSG_DONTWAIT);
        }
    }

    #[inline]
    fn send_from<const N: usize>(&mut self, count: usize, socket: &UdpSocket) {
        let Some(buffers) = self.buffers.first_chunk::<N>() else { return };
        let slices = buffers.each_ref().map(|buffer| [IoSlice::new(buffer)]);
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
    use std::time::Duration;

    use super::*;

    fn sockets() -> (UdpSocket, UdpSocket) {
        let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        client.connect(server.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (server, client)
    }

    /// Answers every second datagram with its first ten bytes, where there is room.
    struct Half<'o>(Option<&'o mut Outgoing<SockaddrIn>>, SocketAddr);

    impl Sink<SockaddrIn> for Half<'_> {
        fn begin(&mut self) {}

        fn datagram(&mut self, bytes: &[u8], from: SockaddrIn) {
            assert_eq!(from.address(), self.1);
            if let Some(outgoing) = &mut self.0 {
                outgoing.push(from, |out| {
                    out.clear();
                    out.extend(&bytes[..10]);
                    bytes[0].is_multiple_of(2)
                });
            }
        }
    }

    fn count(
        incoming: &mut Incoming<SockaddrIn>,
        (server, client): (&UdpSocket, &UdpSocket),
        patience: Patience,
    ) -> (usize, bool) {
        incoming.receive(server, patience, &mut Half(None, client.local_addr().unwrap()))
    }

    #[test]
    fn a_batch_comes_in_and_every_second_datagram_is_answered() {
        let (server, client) = sockets();
        let (mut incoming, mut outgoing) = (Incoming::<SockaddrIn>::default(), Outgoing::<SockaddrIn>::default());
        assert_eq!(count(&mut incoming, (&server, &client), Patience::None), (0, false));
        incoming.many = true;
        (0..20_u8).for_each(|n| assert_eq!(client.send(&[n; 30]).unwrap(), 30));
        let mut half = Half(Some(&mut outgoing), client.local_addr().unwrap());
        assert_eq!(incoming.receive(&server, Patience::None, &mut half), (BATCH, true));
        outgoing.send(&server);
        assert_eq!(count(&mut incoming, (&server, &client), Patience::None), (4, false));
        let mut buffer = [0; 64];
        for n in (0..16).step_by(2) {
            assert_eq!(client.recv(&mut buffer).unwrap(), 10);
            assert_eq!(buffer[0], n);
        }
    }

    #[test]
    fn one_that_waits_takes_what_came_and_waits_no_longer_than_the_socket() {
        let (server, client) = sockets();
        server.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut incoming = Incoming::default();
        assert_eq!(count(&mut incoming, (&server, &client), Patience::One), (0, false));
        assert_eq!(client.send(b"ask").unwrap(), 3);
        assert_eq!(count(&mut incoming, (&server, &client), Patience::One), (1, false));
    }

    #[test]
    fn one_by_itself_is_taken_and_the_next_stays() {
        let (server, client) = sockets();
        server.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut incoming = Incoming::<SockaddrIn>::default();
        let mut half = Half(None, client.local_addr().unwrap());
        assert_eq!(incoming.receive_one(&server, &mut half), 0);
        (0..2).for_each(|n| assert_eq!(client.send(&[n; 30]).unwrap(), 30));
        assert_eq!(incoming.receive_one(&server, &mut half), 1);
        assert_eq!(count(&mut incoming, (&server, &client), Patience::None), (1, false));
    }

    #[test]
    fn room_follows_what_comes() {
        let (server, client) = sockets();
        let mut incoming = Incoming::default();
        for (sent, seen) in [(14, vec![14]), (17, vec![16, 1]), (14, vec![8, 6]), (3, vec![3])] {
            (0..sent).for_each(|n| assert_eq!(client.send(&[n]).unwrap(), 1));
            let mut counts = Vec::new();
            loop {
                let (taken, more) = count(&mut incoming, (&server, &client), Patience::None);
                counts.push(taken);
                if !more {
                    break;
                }
            }
            assert_eq!(counts, seen, "of {sent}");
        }
    }
}
