//! DNS queries as bytes, with every bit in the hand of the test.

/// Record types by number (RFC 1035, 3596, 4034, 6844, 9460).
pub mod types {
    #![allow(missing_docs, reason = "each name is the record type itself")]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const DNSKEY: u16 = 48;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const CAA: u16 = 257;
    /// One of the range for private use (RFC 6895 section 3.1).
    pub const PRIVATE: u16 = 65280;
}

/// Bits of the second 16-bit word of the header (RFC 1035 section 4.1.1, RFC 4035 section 3.2).
pub mod flags {
    #![allow(missing_docs, reason = "each name is the bit itself")]
    pub const QR: u16 = 0x8000;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const RA: u16 = 0x0080;
    pub const AD: u16 = 0x0020;
    pub const CD: u16 = 0x0010;
}

/// The OPT record of a query (RFC 6891 section 6.1).
#[derive(Clone, Debug)]
struct Edns {
    payload: u16,
    version: u8,
    dnssec_ok: bool,
    options: Vec<u8>,
}

/// A query that is being put together: one question, RD set, no EDNS, unless told otherwise.
#[derive(Clone, Debug)]
pub struct Query {
    id: u16,
    flags: u16,
    name: String,
    kind: u16,
    class: u16,
    edns: Option<Edns>,
}

impl Query {
    /// A question for `name`, spelled as it stands there, without a final dot or with one.
    #[must_use]
    pub fn new(name: &str, kind: u16) -> Self {
        Self { id: 0x1234, flags: flags::RD, name: name.trim_end_matches('.').to_owned(), kind, class: 1, edns: None }
    }

    /// With this ID.
    #[must_use]
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// With these header bits (and no others).
    #[must_use]
    pub fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    /// With this class.
    #[must_use]
    pub fn class(mut self, class: u16) -> Self {
        self.class = class;
        self
    }

    /// With EDNS version 0 and this payload size.
    #[must_use]
    pub fn edns(mut self, payload: u16) -> Self {
        self.edns = Some(Edns { payload, version: 0, dnssec_ok: false, options: Vec::new() });
        self
    }

    /// With EDNS of this version.
    #[must_use]
    pub fn edns_version(mut self, version: u8) -> Self {
        self = self.edns(1232);
        self.with_edns(|edns| edns.version = version)
    }

    /// With DO (RFC 3225), and so with EDNS.
    #[must_use]
    pub fn dnssec_ok(mut self) -> Self {
        if self.edns.is_none() {
            self = self.edns(1232);
        }
        self.with_edns(|edns| edns.dnssec_ok = true)
    }

    /// With one more EDNS option.
    #[must_use]
    pub fn option(mut self, code: u16, data: &[u8]) -> Self {
        if self.edns.is_none() {
            self = self.edns(1232);
        }
        self.with_edns(|edns| {
            edns.options.extend(code.to_be_bytes());
            edns.options.extend(length(data));
            edns.options.extend(data);
        })
    }

    fn with_edns(mut self, change: impl FnOnce(&mut Edns)) -> Self {
        if let Some(edns) = &mut self.edns {
            change(edns);
        }
        self
    }

    /// The message.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for word in [self.id, self.flags, 1, 0, 0, u16::from(self.edns.is_some())] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(name(&self.name));
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(self.class.to_be_bytes());
        if let Some(edns) = &self.edns {
            bytes.push(0);
            bytes.extend(types::OPT.to_be_bytes());
            bytes.extend(edns.payload.to_be_bytes());
            bytes.extend([0, edns.version, u8::from(edns.dnssec_ok) << 7, 0]);
            bytes.extend(length(&edns.options));
            bytes.extend(&edns.options);
        }
        bytes
    }
}

/// A name in wire format, uncompressed.
///
/// # Panics
/// If a label is longer than 63 bytes.
#[must_use]
pub fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        let length = u8::try_from(label.len()).ok().filter(|length| *length < 64).expect("a label of at most 63 bytes");
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A length as two bytes.
///
/// # Panics
/// If it does not fit.
#[must_use]
pub fn length(data: &[u8]) -> [u8; 2] {
    u16::try_from(data.len()).expect("shorter than 64 KiB").to_be_bytes()
}
