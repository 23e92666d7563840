//! Asks for a name that nobody has asked for, over UDP and over TCP, and tells whether Onward answered.
//!
//! The name is below `resolver.arpa`, for which only the resolver that is asked may speak (RFC 9462, section 6.1):
//! Onward answers it by itself, in a form of its own, and another program in another one. Where it is asked from is the
//! caller's business: these sockets are in the network namespace of the calling thread.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::respond::LocalResponse;
use crate::respond::local;
use crate::upstream::server::DNS_PORT;

/// Time for an answer over UDP, and the number of times that it is asked: datagrams get lost.
const UDP_TIMEOUT: Duration = Duration::from_millis(700);
const UDP_TRIES: usize = 2;
/// Time for each step of a connection.
const TCP_TIMEOUT: Duration = Duration::from_millis(1500);
/// Maximum length of an answer that is looked at, in bytes.
const LONGEST: usize = 512;
/// Length of a large query, in bytes: what servers send over UDP at most unless told otherwise (DNS Flag Day 2020).
pub(crate) const LARGE: usize = 1232;
/// Code of a response that refuses (RFC 1035, section 4.1.1).
const REFUSED: u8 = 5;

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over UDP.
    Udp,
    /// Over TCP.
    Tcp,
}

/// What became of a large query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Large {
    /// It was answered.
    Answered,
    /// It was not, and a small one was.
    Lost,
    /// Neither was.
    Unknown,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Onward answered.
    Onward,
    /// A program refused to answer, which may be Onward.
    Refused,
    /// Another program answered, with this code.
    Other(u8),
    /// Nothing came in time.
    Silence,
    /// Nothing listens there, or a host on the way says so.
    Closed,
    /// It could not be sent at all.
    NoWay(String),
}

impl Outcome {
    fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Silence,
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                Self::Closed
            }
            _ => Self::NoWay(error.to_string()),
        }
    }
}

/// Asks `server`.
#[must_use]
pub(crate) fn ask(server: IpAddr, transport: Transport) -> Outcome {
    let query = query(rand::random(), rand::random());
    let server = SocketAddr::new(server, DNS_PORT);
    let response = match transport {
        Transport::Udp => over_udp(server, &query),
        Transport::Tcp => over_tcp(server, &query),
    };
    response.map_or_else(|error| Outcome::of_error(&error), |response| judge(&query, &response))
}

/// Whether a query of [`LARGE`] bytes, and one without what makes it large, have any answer over UDP: the second shows
/// that it is the length that the way to the server does not bear.
#[must_use]
pub(crate) fn bears_large(server: IpAddr) -> Large {
    let server = SocketAddr::new(server, DNS_PORT);
    let query = query(rand::random(), rand::random());
    if over_udp(server, &padded(query.clone())).is_ok() {
        return Large::Answered;
    }
    if over_udp(server, &query).is_ok() { Large::Lost } else { Large::Unknown }
}

/// Makes a query [`LARGE`] bytes long, by the EDNS option that is for that (RFC 7830).
fn padded(mut query: Vec<u8>) -> Vec<u8> {
    const OPTION: u16 = 12;
    let padding = LARGE.saturating_sub(query.len() + 11 + 4);
    let length = u16::try_from(padding).unwrap_or(0);
    if let Some(additional) = query.get_mut(11) {
        *additional = 1;
    }
    // The root's name, OPT, the payload that we take, no flags (RFC 6891, section 6.1.2), and the option.
    query.extend([0, 0, 41]);
    query.extend(u16::try_from(LARGE).unwrap_or(u16::MAX).to_be_bytes());
    query.extend([0; 4]);
    query.extend((length + 4).to_be_bytes());
    query.extend(OPTION.to_be_bytes());
    query.extend(length.to_be_bytes());
    query.resize(LARGE, 0);
    query
}

/// A query for a name of its own, of type A: `NONCE.resolver.arpa`.
fn query(id: u16, nonce: u64) -> Vec<u8> {
    let mut query = Vec::with_capacity(64);
    query.extend(id.to_be_bytes());
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]); // recursion desired, one question (RFC 1035, section 4.1.1)
    let label = format!("{nonce:016x}");
    query.push(16);
    query.extend(label.bytes());
    query.extend(b"\x08resolver\x04arpa\0\x00\x01\x00\x01");
    query
}

fn judge(query: &[u8], response: &[u8]) -> Outcome {
    let mut ours = Vec::new();
    let _ = local::write(query, &LocalResponse::NoData(3600), 0, &mut ours);
    match response.get(3).map(|flags| flags & 0x0f) {
        _ if response == ours => Outcome::Onward,
        Some(REFUSED) => Outcome::Refused,
        code => Outcome::Other(code.unwrap_or_default()),
    }
}

fn over_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(UDP_TIMEOUT))?;
    let mut response = [0; LONGEST];
    let mut ended = Err(io::ErrorKind::TimedOut.into());
    for _ in 0..UDP_TRIES {
        socket.send(query)?;
        match socket.recv(&mut response) {
            Ok(length) => return Ok(response.get(..length).unwrap_or_default().to_vec()),
            Err(error) => ended = Err(error),
        }
    }
    ended
}

fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, TCP_TIMEOUT)?;
    stream.set_read_timeout(Some(TCP_TIMEOUT))?;
    stream.set_write_timeout(Some(TCP_TIMEOUT))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut response = vec![0; usize::from(u16::from_be_bytes(length)).min(LONGEST)];
    stream.read_exact(&mut response)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_query_is_one_that_every_reader_of_edns_understands() {
        let large = padded(query(7, 42));
        let message = hickory_proto::op::Message::from_vec(&large).unwrap();
        assert_eq!((large.len(), message.queries.len()), (LARGE, 1));
        assert_eq!(usize::from(message.edns.unwrap().max_payload()), LARGE);
    }

    #[test]
    fn only_onwards_own_answer_is_onwards() {
        let query = query(7, 42);
        let answer = |response: &LocalResponse| {
            let mut bytes = Vec::new();
            local::write(&query, response, 1232, &mut bytes).unwrap();
            judge(&query, &bytes)
        };
        assert_eq!(answer(&LocalResponse::NoData(3600)), Outcome::Onward);
        assert_eq!(answer(&LocalResponse::Refused(None)), Outcome::Refused);
        assert_eq!(answer(&LocalResponse::NxDomain(1)), Outcome::Other(3));
        // NODATA without an SOA, as others have it; an answer to another query; something that is no DNS.
        assert_eq!(judge(&query, &[&query[..2], &[0x81, 0x80], &query[4..]].concat()), Outcome::Other(0));
        let mut other = Vec::new();
        local::write(&super::query(7, 43), &LocalResponse::NoData(3600), 1232, &mut other).unwrap();
        assert_eq!(judge(&query, &other), Outcome::Other(0));
        assert_eq!(judge(&query, b"x"), Outcome::Other(0));
    }
}
