//! Whether an address answers from this node, over UDP and over TCP.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde::Serialize;

use crate::clock;
use crate::service::check::QUERY;
use crate::upstream::server::DNS_PORT;

/// Time until a query counts as unanswered; within the node an answer takes microseconds.
const PATIENCE: Duration = Duration::from_millis(500);
/// Maximum number of queries over UDP, since a busy machine may be late.
const TRIES: usize = 2;

/// Whether an address answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reach {
    pub(super) address: IpAddr,
    pub(super) udp: bool,
    pub(super) tcp: bool,
}

/// Asks each address, all at the same time.
pub(super) fn ask_all(addresses: &[IpAddr]) -> Vec<Reach> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = addresses.iter().map(|address| scope.spawn(|| ask(*address))).collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

fn ask(address: IpAddr) -> Reach {
    let to = SocketAddr::new(address, DNS_PORT);
    Reach { address, udp: (0..TRIES).any(|_| over_udp(to).is_ok()), tcp: over_tcp(to).is_ok() }
}

fn over_udp(to: SocketAddr) -> io::Result<()> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    let query = query();
    socket.send(&query)?;
    let until = clock::now() + PATIENCE;
    let mut response = [0; 512];
    loop {
        let left = until.saturating_duration_since(clock::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut response)?;
        if response.get(..length).is_some_and(|response| is_response(response, &query)) {
            return Ok(());
        }
    }
}

fn over_tcp(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let query = query();
    let length = u16::try_from(query.len()).unwrap_or(0);
    stream.write_all(&[&length.to_be_bytes()[..], &query].concat())?;
    let mut head = [0; 14];
    stream.read_exact(&mut head)?;
    let is_ours = is_response(head.get(2..).unwrap_or_default(), &query);
    is_ours.then_some(()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The query with an ID of its own.
fn query() -> [u8; QUERY.len()] {
    let mut query = QUERY;
    if let Some(id) = query.first_chunk_mut::<2>() {
        *id = rand::random();
    }
    query
}

fn is_response(response: &[u8], query: &[u8]) -> bool {
    response.len() >= 12 && response.get(..2) == query.get(..2)
}
