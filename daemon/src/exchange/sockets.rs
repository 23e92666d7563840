//! The UDP sockets to upstreams: opens, sends, receives, closes what the engine's tokens stand for. No decisions.
//!
//! Each is connected to its upstream, so the kernel drops what others send and tells of ports that are closed. The
//! kernel chooses the port, so what the administrator reserved (`ip_local_reserved_ports`) is kept clear; ports that a
//! tunnel will want to bind later are given back, since a connected socket would stand in the way of that.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use foldhash::fast::RandomState;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use socket2::{Domain, Protocol, Type};

use super::pool::Socket;
use crate::upstream::{Upstream, UpstreamId};

/// Room for what comes in while the process stalls, in bytes; the kernel's default takes 256 datagrams.
const RECEIVE_BUFFER: usize = 1 << 20;
/// How often another port is tried when one is reserved.
const TRIES: usize = 16;

/// The open sockets.
#[derive(Debug)]
pub(crate) struct Sockets {
    open: HashMap<Socket, (UpstreamId, UdpSocket), RandomState>,
    reserved: Vec<u16>,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It left, or was lost on the way as datagrams may be.
    Away,
    /// Nobody will ever answer on this socket: the port is closed or the network unreachable.
    Refused(UpstreamId),
}

impl Sockets {
    /// None open; `reserved` are the ports that are not to be used.
    #[must_use]
    pub(crate) fn new(reserved: Vec<u16>) -> Self {
        Self { open: HashMap::default(), reserved }
    }

    /// Opens a socket to `upstream`, whose events `epoll` tells with the token's number.
    ///
    /// # Errors
    /// Where the system has no socket to give, the interface of its scope is not there, there is no route, or the
    /// upstream is not to be asked in plain text.
    pub(crate) fn open(&mut self, socket: Socket, upstream: &Upstream, epoll: &Epoll) -> io::Result<()> {
        let plain = upstream.endpoint.plain();
        let to = plain.ok_or_else(|| io::Error::other("never to be asked in plain text"))?.socket_address()?;
        let mut opened = connected(to)?;
        for _ in 0..TRIES {
            if !self.reserved.contains(&opened.local_addr()?.port()) {
                break;
            }
            // The next is opened before this one is closed, so that it is another.
            opened = connected(to)?;
        }
        epoll.add(opened.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, socket.0))?;
        self.open.insert(socket, (upstream.id, opened));
        Ok(())
    }

    /// Sends a message.
    pub(crate) fn send(&self, socket: Socket, message: &[u8]) -> Sent {
        let Some((number, open)) = self.open.get(&socket) else { return Sent::Away };
        match open.send(message) {
            Ok(_) => Sent::Away,
            Err(error) if is_lasting(&error) => Sent::Refused(*number),
            Err(_) => Sent::Away, // no room in the kernel: lost, and sent again when it is late
        }
    }

    /// Receives one message into `buffer`; `None` when there is no more.
    pub(crate) fn receive(&self, socket: Socket, buffer: &mut [u8]) -> Option<(UpstreamId, Result<usize, Refused>)> {
        let (number, open) = self.open.get(&socket)?;
        match open.recv(buffer) {
            Ok(length) => Some((*number, Ok(length))),
            Err(error) if is_lasting(&error) => Some((*number, Err(Refused))),
            Err(_) => None,
        }
    }

    /// Closes a socket; the kernel takes it out of the epoll by itself.
    pub(crate) fn close(&mut self, socket: Socket) {
        self.open.remove(&socket);
    }
}

/// Nobody listens at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = socket2::Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // What the kernel grants is enough to go on; the listeners' sockets tell when it is less.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&any.into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// ICMP said that nobody is there, or the kernel knows no way. Anything else may be different in a moment.
fn is_lasting(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nix::sys::epoll::EpollCreateFlags;

    use super::*;

    fn upstream(address: SocketAddr) -> Upstream {
        Upstream { id: UpstreamId(3), endpoint: address.into(), source: Arc::from("test") }
    }

    #[test]
    fn a_closed_port_is_told_and_an_open_one_answers() {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sockets = Sockets::new(vec![]);
        sockets.open(Socket(1), &upstream(server.local_addr().unwrap()), &epoll).unwrap();
        assert_eq!(sockets.send(Socket(1), b"ask"), Sent::Away);
        let mut buffer = [0; 16];
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..length], from).unwrap();
        let mut events = [EpollEvent::empty(); 4];
        assert_eq!(epoll.wait(&mut events, 1000_u16).unwrap(), 1);
        assert_eq!(events[0].data(), 1);
        assert_eq!(sockets.receive(Socket(1), &mut buffer), Some((UpstreamId(3), Ok(3))));
        assert_eq!(sockets.receive(Socket(1), &mut buffer), None);
        drop(server);
        assert_eq!(sockets.send(Socket(1), b"ask"), Sent::Away);
        epoll.wait(&mut events, 1000_u16).unwrap();
        assert_eq!(sockets.receive(Socket(1), &mut buffer), Some((UpstreamId(3), Err(Refused))));
        sockets.close(Socket(1));
        assert!(sockets.open.is_empty());
    }

    #[test]
    fn reserved_ports_are_given_back() {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        // All even ports: nearly every first choice of some is given back.
        let mut sockets = Sockets::new((0..=u16::MAX).step_by(2).collect());
        for n in 0..20 {
            sockets.open(Socket(n), &upstream(server.local_addr().unwrap()), &epoll).unwrap();
        }
        let odd = sockets.open.values().filter(|(_, socket)| socket.local_addr().unwrap().port() % 2 == 1).count();
        assert_eq!(odd, 20);
    }
}
