//! Opens the sockets of one listen address: a TCP listener, and a UDP socket for each worker. Those that an earlier
//! process left open are taken first.
//!
//! TCP comes first and without `SO_REUSEPORT`: with that option alone a second Onward of the same user would bind in
//! silence and take half of the questions. Serving the sockets, and whether an address should be listened on at all, is
//! for others.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::port_holder::{self, Holder, Layer};

/// The receive buffer that each UDP socket asks for, in bytes: about a second of questions that arrive while none is
/// read.
pub(crate) const RECEIVE_BUFFER: usize = 4 << 20;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often another port is tried where the kernel picked one for TCP that UDP has in use.
const PORT_TRIES: u32 = 16;
/// How long a worker may wait at one socket while others may have something for it. The kernel rounds up to its own
/// tick.
const WAIT: Duration = Duration::from_millis(1);

/// The sockets of one listen address that an earlier process left open, as far as they are there.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The TCP listener.
    pub tcp: Option<TcpListener>,
    /// Sockets over UDP, one for each worker of that process.
    pub udp: Vec<UdpSocket>,
}

/// The sockets of one listen address, not blocking.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The address, with the port that was picked if 0 was asked for.
    pub address: SocketAddr,
    /// The TCP listener.
    pub tcp: TcpListener,
    /// One socket a worker, and those that an earlier process had beyond that; the kernel spreads clients over them.
    pub udp: Vec<UdpSocket>,
    /// The smallest receive buffer that the kernel granted to one of them, in bytes; less than [`RECEIVE_BUFFER`] where
    /// `net.core.rmem_max` is lower and we lack `CAP_NET_ADMIN`.
    pub receive_buffer: usize,
    /// Whether the TCP listener was kept, and the number of UDP sockets that were; these come first.
    kept: (bool, usize),
}

impl Bound {
    /// Returns the sockets that were opened now, rather than kept.
    pub(crate) fn opened(&self) -> Vec<BorrowedFd<'_>> {
        let (has_kept_tcp, kept_udp) = self.kept;
        let tcp = (!has_kept_tcp).then(|| self.tcp.as_fd());
        tcp.into_iter().chain(self.udp.iter().skip(kept_udp).map(AsFd::as_fd)).collect()
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Another program listens there.
    #[error(
        "cannot listen on {address} ({layer}): {}; stop it, or have it listen on other addresses only{}, or give Onward \
         another address with `--listen ADDRESS`",
        port_holder::describe(holders),
        port_holder::advice(holders)
    )]
    Taken {
        /// The address asked for.
        address: SocketAddr,
        /// Over which protocol.
        layer: Layer,
        /// Who listens there, as far as could be found out.
        holders: Vec<Holder>,
    },
    /// Ports below 1024 need a privilege.
    #[error(
        "no permission to listen on {address} ({layer}): ports below {} are for root; run as root, or give the service \
         `AmbientCapabilities=CAP_NET_BIND_SERVICE`, or try it on another port with `--listen {}:5353 --resolv-conf PATH`",
        first_free_port(),
        host(*address)
    )]
    NotPermitted {
        /// The address asked for.
        address: SocketAddr,
        /// Over which protocol.
        layer: Layer,
    },
    /// Anything else.
    #[error("cannot listen on {address} ({layer}): {source}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// Over which protocol.
        layer: Layer,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Opens the sockets of `address`, one over UDP for each of `workers`, at least one; of those only what is not among
/// `kept`. With port 0 the kernel picks the port for TCP, and UDP follows. The address need not exist yet
/// (`IP_FREEBIND`).
///
/// # Errors
/// Where the port is taken, privilege is lacking, or the kernel refuses for another reason.
pub(crate) fn bind(address: SocketAddr, workers: usize, mut kept: Kept) -> Result<Bound, BindError> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_once(address, workers, std::mem::take(&mut kept)) {
            Err(BindError::Taken { layer: Layer::Udp, .. }) if tries > 0 => {}
            result => return result,
        }
    }
}

fn bind_once(asked: SocketAddr, workers: usize, kept: Kept) -> Result<Bound, BindError> {
    let was_kept = (kept.tcp.is_some(), kept.udp.len());
    let tcp = match kept.tcp {
        Some(listener) => listener.set_nonblocking(true).map(|()| listener),
        None => open_tcp(asked),
    };
    let tcp = tcp.map_err(|error| explain(asked, Layer::Tcp, error))?;
    let port = tcp.local_addr().map_err(|error| explain(asked, Layer::Tcp, error))?.port();
    let mut address = asked;
    address.set_port(port);

    let mut udp = kept.udp;
    let mut receive_buffer = usize::MAX;
    let refused = |error| explain(address, Layer::Udp, error);
    for socket in &udp {
        receive_buffer = receive_buffer.min(prepare_udp(&SockRef::from(socket)).map_err(refused)?);
    }
    while udp.len() < workers.max(1) {
        let (socket, granted) = open_udp(address).map_err(refused)?;
        receive_buffer = receive_buffer.min(granted);
        udp.push(socket);
    }
    Ok(Bound { address, tcp, udp, receive_buffer, kept: was_kept })
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    // Closed connections of the last run keep the port for a minute; a listener of another program is still refused.
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open_udp(address: SocketAddr) -> io::Result<(UdpSocket, usize)> {
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    socket.set_reuse_port(true)?;
    let granted = prepare_udp(&socket)?;
    socket.bind(&SockAddr::from(address))?;
    Ok((socket.into(), granted))
}

/// Sets what workers expect of a socket. Returns the receive buffer that the kernel grants, in bytes.
fn prepare_udp(socket: &Socket) -> io::Result<usize> {
    // Beyond `net.core.rmem_max` with CAP_NET_ADMIN, else up to it.
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    // The kernel doubles what it grants, for its own bookkeeping, and tells the doubled number (socket(7)).
    let granted = socket.recv_buffer_size()? / 2;
    // A worker that stays with a busy socket waits there, for a moment; all else asks not to wait (MSG_DONTWAIT).
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(WAIT))?;
    Ok(granted)
}

/// What both kinds of sockets share.
fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    Ok(socket)
}

fn explain(address: SocketAddr, layer: Layer, source: io::Error) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { address, layer, holders: port_holder::find(address, layer) },
        io::ErrorKind::PermissionDenied => BindError::NotPermitted { address, layer },
        _ => BindError::Other { address, layer, source },
    }
}

/// The first port that needs no privilege, `net.ipv4.ip_unprivileged_port_start`.
fn first_free_port() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

/// The address without its port, as it stands before one.
fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn tcp_and_every_udp_socket_are_on_the_port_that_was_picked() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let bound = bind(address.parse().unwrap(), 3, Kept::default()).unwrap();
            assert_ne!(bound.address.port(), 0);
            assert_eq!(bound.tcp.local_addr().unwrap(), bound.address);
            assert_eq!(bound.udp.len(), 3);
            assert!(bound.udp.iter().all(|socket| socket.local_addr().unwrap() == bound.address));
            let nothing_yet = bound.udp[0].recv(&mut [0]).unwrap_err().kind();
            assert_eq!(nothing_yet, io::ErrorKind::WouldBlock);
            assert!(bound.receive_buffer > 0);
        }
    }

    #[test]
    fn a_second_onward_of_the_same_user_fails_and_says_who_holds_the_port() {
        let first = bind(loopback(), 2, Kept::default()).unwrap();
        let error = bind(first.address, 2, Kept::default()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(&error, BindError::Taken { layer: Layer::Tcp, .. }), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains("--listen"), "{text}");
    }

    #[test]
    fn a_port_that_udp_alone_has_in_use_is_refused_and_let_go_again() {
        let held = UdpSocket::bind(loopback()).unwrap();
        let address = held.local_addr().unwrap();
        let error = bind(address, 1, Kept::default()).unwrap_err();
        assert!(matches!(error, BindError::Taken { layer: Layer::Udp, .. }), "{error}");
        drop(held);
        assert_eq!(bind(address, 1, Kept::default()).unwrap().address, address);
    }

    #[test]
    fn an_address_that_does_not_exist_yet_can_be_bound() {
        for address in ["192.0.2.1:0", "[2001:db8::1]:0"] {
            assert_ne!(bind(address.parse().unwrap(), 1, Kept::default()).unwrap().address.port(), 0);
        }
    }

    #[test]
    fn what_an_earlier_process_kept_is_taken_and_only_what_is_missing_is_opened() {
        let Bound { address, tcp, udp, .. } = bind(loopback(), 2, Kept::default()).unwrap();
        let ports = |bound: &Bound| bound.udp.iter().map(|socket| socket.local_addr().unwrap()).collect::<Vec<_>>();
        let more = bind(address, 3, Kept { tcp: Some(tcp), udp }).unwrap();
        assert_eq!((ports(&more), more.opened().len()), (vec![address; 3], 1), "more workers");
        let Bound { tcp, udp, .. } = more;
        let fewer = bind(address, 1, Kept { tcp: Some(tcp), udp }).unwrap();
        assert_eq!((ports(&fewer), fewer.opened().len()), (vec![address; 3], 0), "fewer workers");
        // As where the store had no room for all.
        let Bound { tcp, .. } = fewer;
        let half = bind(address, 2, Kept { tcp: Some(tcp), udp: Vec::new() }).unwrap();
        assert_eq!((ports(&half), half.opened().len()), (vec![address; 2], 2), "a half");
        let Bound { tcp, udp, .. } = half;
        drop(tcp);
        let other_half = bind(address, 2, Kept { tcp: None, udp }).unwrap();
        assert_eq!((ports(&other_half), other_half.opened().len()), (vec![address; 2], 1), "the other half");
    }

    #[test]
    fn lacking_privilege_is_explained() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let text = explain("[fd00::5]:53".parse().unwrap(), Layer::Tcp, denied()).to_string();
        for part in ["root", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "--listen [fd00::5]:5353 --resolv-conf PATH"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
