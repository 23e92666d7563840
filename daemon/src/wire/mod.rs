//! DNS messages as bytes: reading a plain question, walking an answer's records. Nothing here knows of sockets or time.
//!
//! [`query`] is the hot path's parser: it knows the plain case only, and says so of everything else. [`response`] reads
//! what upstreams send. Both are bounds-checked walks over the bytes as they came; neither allocates for what it only
//! looks at.

pub(crate) mod name;
pub(crate) mod query;
pub(crate) mod response;
pub(crate) mod words;

pub use query::{Query, QuestionKey};
pub use response::Response;

/// Length of a message's header (RFC 1035, section 4.1.1).
pub const HEADER: usize = 12;

/// Response codes (RFC 1035, section 4.1.1; RFC 6895, section 2.3) that decide something here.
pub mod rcode {
    /// No error.
    pub const NOERROR: u8 = 0;
    /// The query could not be read.
    pub const FORMERR: u8 = 1;
    /// The server failed.
    pub const SERVFAIL: u8 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u8 = 3;
    /// The kind of query is not supported.
    pub const NOTIMP: u8 = 4;
    /// The server does not want to answer.
    pub const REFUSED: u8 = 5;
}

/// Record types (IANA, "Resource Record TYPEs") that decide something here.
pub mod rtype {
    /// Address (RFC 1035).
    pub const A: u16 = 1;
    /// Name server (RFC 1035).
    pub const NS: u16 = 2;
    /// Alias (RFC 1035).
    pub const CNAME: u16 = 5;
    /// Start of authority (RFC 1035): how long a negative answer may be kept.
    pub const SOA: u16 = 6;
    /// A name that an address has, in reverse zones.
    pub const PTR: u16 = 12;
    /// Host information (RFC 1035): CoreDNS's loop probe.
    pub const HINFO: u16 = 13;
    /// IPv6 address (RFC 3596).
    pub const AAAA: u16 = 28;
    /// EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// Delegation signer (RFC 4034): whether a zone is signed.
    pub const DS: u16 = 43;
    /// Key of a zone (RFC 4034).
    pub const DNSKEY: u16 = 48;
    /// Incremental zone transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// Zone transfer (RFC 5936).
    pub const AXFR: u16 = 252;
    /// All records (RFC 8482).
    pub const ANY: u16 = 255;
}

/// Bits of the third and fourth byte of a header (RFC 1035, section 4.1.1; RFC 4035, section 3).
pub mod flag {
    /// Third byte: this is a response.
    pub const QR: u8 = 0x80;
    /// Third byte: the kind of query; 0 is an ordinary one.
    pub const OPCODE: u8 = 0x78;
    /// Third byte: an authoritative answer.
    pub const AA: u8 = 0x04;
    /// Third byte: truncated.
    pub const TC: u8 = 0x02;
    /// Third byte: recursion is wanted.
    pub const RD: u8 = 0x01;
    /// Fourth byte: recursion is available.
    pub const RA: u8 = 0x80;
    /// Fourth byte: the data is authentic.
    pub const AD: u8 = 0x20;
    /// Fourth byte: checking is disabled.
    pub const CD: u8 = 0x10;
    /// Fourth byte: the response code.
    pub const RCODE: u8 = 0x0f;
    /// The byte of an OPT record's TTL that holds DO (RFC 3225, section 3).
    pub const DO: u8 = 0x80;
}

/// The two bytes at `at` as a number.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// The four bytes at `at` as a number.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// The TTL in these four bytes, in seconds; one with the top bit set counts as zero (RFC 2181, section 8).
#[must_use]
pub fn ttl(field: [u8; 4]) -> u32 {
    let ttl = u32::from_be_bytes(field);
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

/// Where the name that starts at `at` ends: behind its root label or its first compression pointer (RFC 1035, section
/// 4.1.4).
#[must_use]
pub fn name_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            192..=255 => return (at + 1 < bytes.len()).then_some(at + 2),
            64..=191 => return None, // reserved (RFC 6891, section 5)
        }
    }
}
