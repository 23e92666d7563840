//! A DNS client that shows what came back to the last byte. It reads only what tests ask for, and its reader shares
//! nothing with Onward's own.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::netns::Namespace;
use crate::query::{Query, flags, types};
use crate::{tcp, wait};

/// Longer than any client of Onward's needs to wait.
const PATIENCE: Duration = Duration::from_secs(4);

/// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9).
pub mod rcode {
    #![allow(missing_docs, reason = "each name is the response code itself")]
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const BADVERS: u16 = 16;
}

/// One who asks `server` from inside a namespace.
#[derive(Debug)]
pub struct Client<'a> {
    namespace: &'a Namespace,
    server: SocketAddr,
}

impl<'a> Client<'a> {
    /// A client in `namespace` of the server at `server`, port 53.
    #[must_use]
    pub fn new(namespace: &'a Namespace, server: IpAddr) -> Self {
        Self { namespace, server: SocketAddr::new(server, 53) }
    }

    /// A client of another port.
    #[must_use]
    pub fn at(namespace: &'a Namespace, server: SocketAddr) -> Self {
        Self { namespace, server }
    }

    /// A socket that talks to the server alone.
    ///
    /// # Panics
    /// If the namespace has no way to it.
    #[must_use]
    pub fn socket(&self) -> UdpSocket {
        let any: SocketAddr = if self.server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("an address");
        let socket = self.namespace.udp(any);
        socket.connect(self.server).expect("a route to the server");
        socket.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        socket
    }

    /// Asks over UDP and gives the first datagram that comes back, if one comes within 4 s.
    #[must_use]
    pub fn try_udp(&self, query: &Query) -> Option<Answer> {
        self.exchange(&query.bytes(), PATIENCE)
    }

    /// Sends any bytes over UDP; what comes back within `patience`.
    ///
    /// # Panics
    /// If nothing can be sent.
    #[must_use]
    pub fn exchange(&self, bytes: &[u8], patience: Duration) -> Option<Answer> {
        let socket = self.socket();
        socket.set_read_timeout(Some(patience)).expect("set a timeout");
        socket.send(bytes).expect("send");
        receive(&socket)
    }

    /// Asks over UDP.
    ///
    /// # Panics
    /// If no answer comes within 4 s.
    #[must_use]
    pub fn udp(&self, query: &Query) -> Answer {
        self.try_udp(query).unwrap_or_else(|| panic!("no answer of {} to {query:?}", self.server))
    }

    /// Opens a TCP connection to the server.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn connect(&self) -> Stream {
        let stream = self.namespace.connect(self.server).unwrap_or_else(|error| panic!("tcp {}: {error}", self.server));
        stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        Stream(stream)
    }

    /// Asks over a TCP connection of its own.
    ///
    /// # Panics
    /// If no answer comes within 4 s.
    #[must_use]
    pub fn tcp(&self, query: &Query) -> Answer {
        let mut stream = self.connect();
        stream.send(&query.bytes());
        stream.receive().unwrap_or_else(|| panic!("no answer of {} over TCP to {query:?}", self.server))
    }

    /// The IPv4 addresses of a name, asked as a libc would.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Vec<Ipv4Addr> {
        self.try_udp(&Query::new(name, types::A)).map(|answer| answer.addresses()).unwrap_or_default()
    }
}

/// The next datagram of a socket, if one comes before its timeout.
#[must_use]
pub fn receive(socket: &UdpSocket) -> Option<Answer> {
    let mut buffer = vec![0; 65_535];
    let length = wait::uninterrupted(|| socket.recv(&mut buffer)).ok()?;
    buffer.truncate(length);
    Some(Answer(buffer))
}

/// A TCP connection to a server.
#[derive(Debug)]
pub struct Stream(pub TcpStream);

impl Stream {
    /// Sends a message with its length in front.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn send(&mut self, message: &[u8]) {
        self.0.write_all(&tcp::framed(message)).expect("write to the server");
    }

    /// The next message, unless the connection ends or is silent for 4 s.
    pub fn receive(&mut self) -> Option<Answer> {
        tcp::read(&mut self.0).map(Answer)
    }
}

/// A record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner, as spelled, without a final dot.
    pub name: String,
    /// The record type.
    pub kind: u16,
    /// The class; in OPT the payload size.
    pub class: u16,
    /// The TTL; in OPT the extended response code, version and flags.
    pub ttl: u32,
    /// The data, as it came.
    pub data: Vec<u8>,
    /// Where the record begins in the message.
    pub offset: usize,
}

/// A message that came back.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(pub Vec<u8>);

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:02x?}", self.0)
    }
}

impl Answer {
    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    /// The ID.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.word(0)
    }

    /// Whether a header bit is set.
    #[must_use]
    pub fn has(&self, flag: u16) -> bool {
        self.word(2) & flag != 0
    }

    /// The response code, with the upper bits that OPT carries.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        let upper = self.opt().map_or(0, |opt| u16::from(opt.ttl.to_be_bytes()[0]));
        upper << 4 | self.word(2) & 0xf
    }

    /// The question, bytes as they came.
    #[must_use]
    pub fn question(&self) -> &[u8] {
        let end = if self.word(4) == 0 { 12 } else { self.name(12).1 + 4 };
        &self.0[12..end]
    }

    /// The name of the question, as spelled.
    #[must_use]
    pub fn asked(&self) -> String {
        self.name(12).0
    }

    /// The type of the question.
    #[must_use]
    pub fn asked_type(&self) -> u16 {
        self.word(self.name(12).1)
    }

    /// The records of the answer section.
    #[must_use]
    pub fn answers(&self) -> Vec<Record> {
        self.records().into_iter().take(usize::from(self.word(6))).collect()
    }

    /// The records of the authority section.
    #[must_use]
    pub fn authority(&self) -> Vec<Record> {
        self.records().into_iter().skip(usize::from(self.word(6))).take(usize::from(self.word(8))).collect()
    }

    /// The OPT record.
    #[must_use]
    pub fn opt(&self) -> Option<Record> {
        self.records().into_iter().find(|record| record.kind == types::OPT)
    }

    /// The options of the OPT record: code and data.
    #[must_use]
    pub fn options(&self) -> Vec<(u16, Vec<u8>)> {
        let data = self.opt().map(|opt| opt.data).unwrap_or_default();
        let mut options = Vec::new();
        let mut rest = data.as_slice();
        while let [a, b, c, d, tail @ ..] = rest {
            let (value, next) = tail.split_at(usize::from(u16::from_be_bytes([*c, *d])));
            options.push((u16::from_be_bytes([*a, *b]), value.to_vec()));
            rest = next;
        }
        options
    }

    /// The codes of the extended DNS errors (RFC 8914).
    #[must_use]
    pub fn extended_errors(&self) -> Vec<u16> {
        let errors = self.options().into_iter().filter(|(code, _)| *code == 15);
        errors.map(|(_, data)| u16::from_be_bytes([data[0], data[1]])).collect()
    }

    /// The texts of the extended DNS errors.
    #[must_use]
    pub fn extended_texts(&self) -> Vec<String> {
        let errors = self.options().into_iter().filter(|(code, _)| *code == 15);
        errors.map(|(_, data)| String::from_utf8_lossy(&data[2..]).into_owned()).collect()
    }

    /// All that must be the same behind a forwarder: question, answer and authority, and what else is not OPT.
    ///
    /// A forwarder writes its own OPT; servers put theirs last, so what stands before it is compared byte for byte.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.0[12..self.opt().map_or(self.0.len(), |opt| opt.offset)]
    }

    /// The IPv4 addresses in the answer section.
    #[must_use]
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        let answers = self.answers();
        let addresses = answers.iter().filter(|record| record.kind == types::A);
        addresses.filter_map(|record| <[u8; 4]>::try_from(record.data.as_slice()).ok()).map(Ipv4Addr::from).collect()
    }

    /// The texts of TXT records, each joined.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let answers = self.answers();
        answers.iter().filter(|record| record.kind == types::TXT).map(|record| text(&record.data)).collect()
    }

    /// All records, in the order in which they stand.
    ///
    /// # Panics
    /// On a message that is cut short or whose names do not end: an answer of Onward never is.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        assert!(self.has(flags::QR), "a query where an answer is due: {self:?}");
        let mut at = 12;
        for _ in 0..self.word(4) {
            at = self.name(at).1 + 4;
        }
        let count = self.word(6) + self.word(8) + self.word(10);
        (0..count).map(|_| self.record(&mut at)).collect()
    }

    fn record(&self, at: &mut usize) -> Record {
        let offset = *at;
        let (name, end) = self.name(offset);
        let ttl = u32::from(self.word(end + 4)) << 16 | u32::from(self.word(end + 6));
        let data_at = end + 10;
        *at = data_at + usize::from(self.word(end + 8));
        let data = self.0[data_at..*at].to_vec();
        Record { name, kind: self.word(end), class: self.word(end + 2), ttl, data, offset }
    }

    /// The name at an offset, and the offset behind it.
    fn name(&self, start: usize) -> (String, usize) {
        let (mut labels, mut at, mut end, mut hops) = (Vec::new(), start, None, 0);
        loop {
            let length = self.0[at];
            if length >= 0xc0 {
                end.get_or_insert(at + 2);
                at = usize::from(self.word(at) & 0x3fff);
                hops += 1;
                assert!(hops < 128, "a name without an end: {self:?}");
            } else if length == 0 {
                return (labels.join("."), end.unwrap_or(at + 1));
            } else {
                let label = &self.0[at + 1..=at + usize::from(length)];
                labels.push(String::from_utf8_lossy(label).into_owned());
                at += usize::from(length) + 1;
            }
        }
    }
}

/// The strings of a TXT record, joined.
fn text(data: &[u8]) -> String {
    let mut joined = Vec::new();
    let mut rest = data;
    while let [length, tail @ ..] = rest {
        let (part, next) = tail.split_at(usize::from(*length));
        joined.extend(part);
        rest = next;
    }
    String::from_utf8_lossy(&joined).into_owned()
}
