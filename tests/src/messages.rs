//! The messages of servers that are like real ones, byte by byte: referrals, headers alone, what was cut in the middle,
//! and OPT records in odd places. `realistic.rs` says when which is sent.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::dns::{Answer, Stream};
use crate::query::{flags, name, types};
use crate::upstream::{Seen, Transport, record};

/// How long a server waits for another that it asks.
const PATIENCE: Duration = Duration::from_secs(4);

/// An OPT record without options (RFC 6891, section 6.1.2).
pub const OPT: [u8; 11] = [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0];

/// The same message with an OPT record at its end, if the query has one.
#[must_use]
pub fn with_opt(seen: &Seen, mut message: Vec<u8>) -> Vec<u8> {
    if seen.has_opt() {
        message[11] += 1;
        message.extend(OPT);
    }
    message
}

/// NXDOMAIN or, with code 0, "no such type", with the root's SOA.
#[must_use]
pub fn negative(seen: &Seen, code: u16, ttl: u32) -> Vec<u8> {
    let mut soa = [name("ns.test.example"), name("hostmaster.test.example")].concat();
    for number in [1, 3600, 600, 86_400, ttl] {
        soa.extend(u32::to_be_bytes(number));
    }
    [seen.header(code, [0, 1, 0]), record(&[0], types::SOA, ttl, &soa)].concat()
}

/// The same message with RA=0 and AA=0.
#[must_use]
pub fn without_recursion(mut message: Vec<u8>) -> Vec<u8> {
    message[2] &= !flags::AA.to_be_bytes()[0];
    message[3] &= !flags::RA.to_be_bytes()[1];
    message
}

/// A referral to a server of `zone`, with its address.
#[must_use]
pub fn referral(seen: &Seen, zone: &str) -> Vec<u8> {
    let server = name("ns.elsewhere.example");
    let delegation = record(&name(zone), types::NS, 300, &server);
    let glue = record(&server, types::A, 300, &[203, 0, 113, 53]);
    without_recursion([seen.header(0, [0, 1, 1]), delegation, glue].concat())
}

/// A header without a question.
#[must_use]
pub fn header_only(seen: &Seen, code: u16) -> Vec<u8> {
    let mut message = seen.code(code);
    message.truncate(12);
    message[5] = 0;
    message
}

/// Cuts a message in the middle of its last record and says so (TC); its counts stay.
pub fn cut_in_a_record(message: &mut Vec<u8>) {
    message[2] |= flags::TC.to_be_bytes()[0];
    if let Some(last) = Answer(message.clone()).records().last() {
        message.truncate(last.offset + 5);
    }
}

/// Spells the question's name so.
pub fn spell(message: &mut [u8], spelling: &str) {
    let name = name(spelling);
    if message[5] > 0 {
        message[12..12 + name.len()].copy_from_slice(&name);
    }
}

/// Sets the TTL of each record of the answer section.
pub fn set_ttls(message: &mut [u8], ttl: u32) {
    let answer = Answer(message.to_vec());
    for record in answer.answers() {
        // The fixed part that begins with the type is ten bytes long, the TTL its fifth to eighth (RFC 1035, section
        // 4.1.3).
        let end = record.offset + encoded(message, record.offset) + 4;
        message[end..end + 4].copy_from_slice(&ttl.to_be_bytes());
    }
}

/// How long the name at `offset` is, as it is encoded.
fn encoded(message: &[u8], offset: usize) -> usize {
    let mut at = offset;
    loop {
        match message[at] {
            0 => return at + 1 - offset,
            0xc0.. => return at + 2 - offset,
            length => at += usize::from(length) + 1,
        }
    }
}

/// Moves the OPT record to the end of the answer section. The message has no other record behind that section.
pub fn opt_among_answers(message: &mut [u8]) {
    if message[11] == 1 && message[9] == 0 {
        message[7] += 1;
        message[11] = 0;
    }
}

/// Adds an address record behind the OPT record.
pub fn record_behind_opt(message: &mut Vec<u8>) {
    if message[11] == 1 {
        message[11] = 2;
        message.extend(record(&name("behind.example"), types::A, 300, &[192, 0, 2, 200]));
    }
}

/// No record but OPT, with the upper bits of this response code; the lower four are in the header.
#[must_use]
pub fn extended_code(seen: &Seen, code: u16) -> Vec<u8> {
    let mut opt = OPT;
    opt[5] = (code >> 4).to_be_bytes()[1];
    [seen.header(code & 0xf, [0, 0, 1]), opt.to_vec()].concat()
}

/// What another server says to the same question, asked over the same transport with the same bytes, if it is not
/// silent.
#[must_use]
pub fn asked_of(seen: &Seen, server: SocketAddr, enter: &impl Fn()) -> Option<Vec<u8>> {
    enter();
    match seen.transport {
        Transport::Udp => over_udp(&seen.query.0, server),
        Transport::Tcp => over_tcp(&seen.query.0, server),
    }
}

fn over_udp(query: &[u8], server: SocketAddr) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(server).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.send(query).ok()?;
    crate::dns::receive(&socket).map(|answer| answer.0)
}

fn over_tcp(query: &[u8], server: SocketAddr) -> Option<Vec<u8>> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut stream = Stream(stream);
    stream.send(query);
    stream.receive().map(|answer| answer.0)
}
