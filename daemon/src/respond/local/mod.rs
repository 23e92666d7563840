//! The answers that Onward makes itself: errors, refusals, special names, and the end of CoreDNS's loop probe.
//!
//! hickory reads the query and writes the answer, in memory and without a runtime, so that plain threads can call it
//! too. Answers of upstreams never come here; they are passed on as the bytes that came in. What an odd query deserves
//! is decided by `admit::triage`.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};

use hickory_net::xfer::Protocol;
use hickory_proto::op::{Edns, Metadata, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use hickory_server::server::Request;
use hickory_server::zone_handler::MessageResponseBuilder;

use crate::wire::{HEADER, name_end, rtype, u16_at};

#[cfg(test)]
mod tests;

/// The longest answer made here, in bytes: what every client takes, with EDNS or without (RFC 1035, section 4.2.1).
///
/// The longest question (259 bytes) leaves room for an OPT with a text of [`Ede::TEXT_MAX`] bytes, so nothing made here
/// is ever truncated.
pub(crate) const OWN_MAX: usize = 512;

/// QDCOUNT of a query that we answer with its question.
const ONE: [u8; 2] = [0, 1];
/// Type and class behind a question's name.
const TYPE_AND_CLASS: usize = 4;

/// Length of a record's type, class, TTL and length of its data (RFC 1035, section 4.1.3).
const FIXED_PART: usize = 10;

/// Length of an OPT without options (RFC 6891, section 6.1.2).
const OPT_PART: usize = 11;

/// An answer that Onward makes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalResponse {
    /// The query cannot be read.
    FormErr,
    /// The kind of query (opcode) is not ours to serve.
    NotImp,
    /// An EDNS version that nobody here speaks (RFC 6891, section 6.1.3).
    BadVers,
    /// The client may not ask this.
    Refused(Option<Ede>),
    /// The query cannot be answered; the EDE says why.
    ServFail(Ede),
    /// The name does not exist, for this number of seconds.
    NxDomain(u32),
    /// The name has no record of this type, for this number of seconds.
    NoData(u32),
    /// These records of the name that was asked, for this number of seconds. Those that find no room in [`OWN_MAX`]
    /// bytes are left out.
    Records(Vec<RData>, u32),
}

/// An extended DNS error (RFC 8914): why an answer is what it is. Sent only to clients that speak EDNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ede {
    /// From IANA's registry "Extended DNS Error Codes".
    pub code: u16,
    /// For people; cut at [`Ede::TEXT_MAX`] bytes.
    pub text: Cow<'static, str>,
}

impl Ede {
    /// A failure that is remembered (RFC 8914, section 4.14).
    pub const CACHED_ERROR: u16 = 13;
    /// Not ready: no upstream is known, or there is no room (section 4.15).
    pub const NOT_READY: u16 = 14;
    /// The client may not ask (section 4.19).
    pub const PROHIBITED: u16 = 18;
    /// Without recursion desired there is nothing to say (section 4.21).
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// The kind of question is not supported (section 4.22).
    pub const NOT_SUPPORTED: u16 = 21;
    /// No upstream answered (section 4.23).
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// The network is at fault, here: a loop (section 4.24).
    pub const NETWORK_ERROR: u16 = 23;

    /// The longest text sent, in bytes.
    pub const TEXT_MAX: usize = 160;

    /// An extended error with a text for people.
    pub fn new(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into() }
    }

    fn option(&self) -> EdnsOption {
        let mut end = self.text.len().min(Self::TEXT_MAX);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let mut data = self.code.to_be_bytes().to_vec();
        data.extend_from_slice(self.text.get(..end).unwrap_or_default().as_bytes());
        EdnsOption::Unknown(15, data)
    }
}

impl LocalResponse {
    /// The response code, without the upper bits of EDNS.
    pub(crate) fn rcode(&self) -> u8 {
        self.response_code().low()
    }

    fn response_code(&self) -> ResponseCode {
        match self {
            Self::FormErr => ResponseCode::FormErr,
            Self::NotImp => ResponseCode::NotImp,
            Self::BadVers => ResponseCode::BADVERS,
            Self::Refused(_) => ResponseCode::Refused,
            Self::ServFail(_) => ResponseCode::ServFail,
            Self::NxDomain(_) => ResponseCode::NXDomain,
            Self::NoData(_) | Self::Records(..) => ResponseCode::NoError,
        }
    }

    /// The time that a negative response may be kept, in seconds; `None` for others.
    fn negative_ttl(&self) -> Option<u32> {
        match self {
            Self::NxDomain(ttl) | Self::NoData(ttl) => Some(*ttl),
            _ => None,
        }
    }

    /// The records, each with `name`, as far as there is `room` for them in bytes.
    fn records(&self, name: &Name, room: usize) -> Vec<Record> {
        let Self::Records(data, ttl) = self else { return Vec::new() };
        let mut left = room;
        let fits = |data: &&RData| {
            // The name is a pointer to the question's; names in the data are written whole at most.
            let length = 2 + FIXED_PART + data.to_bytes().map_or(room, |bytes| bytes.len());
            left.checked_sub(length).map(|rest| left = rest).is_some()
        };
        data.iter().take_while(fits).map(|data| Record::from_rdata(name.clone(), *ttl, data.clone())).collect()
    }

    /// The extended error that goes along.
    pub(crate) fn ede(&self) -> Option<&Ede> {
        match self {
            Self::Refused(ede) => ede.as_ref(),
            Self::ServFail(ede) => Some(ede),
            _ => None,
        }
    }
}

/// Writes the answer `own` to `query` into `out`, at most [`OWN_MAX`] bytes; `payload` is what we say that we take over
/// UDP.
///
/// The question comes back as it was spelled, where there is one that can be read; an OPT only where the query had one
/// that can be read. Returns `None`, and leaves `out` empty, where silence is due: less than a header came, or a
/// response (answering those would let two servers talk for ever).
#[must_use]
pub(crate) fn write(query: &[u8], own: &LocalResponse, payload: u16, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let request = read(query)?;
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = own.response_code();
    metadata.recursion_available = true;
    let edns = request.edns.as_ref().map(|asked| opt(asked, own.ede(), payload));
    let mut builder = MessageResponseBuilder::from_message_request(&request);
    if let Some(edns) = &edns {
        builder.edns(edns);
    }
    let question = request.queries.queries().first().map(|question| question.original().name().clone());
    // Besides the question, and an OPT without a text: nothing that has records has an EDE.
    let room = OWN_MAX - HEADER - request.queries.as_bytes().len() - OPT_PART;
    let answer = question.map(|name| own.records(&name, room)).unwrap_or_default();
    let soa = own.negative_ttl().map(start_of_authority);
    let mut encoder = BinEncoder::new(out);
    encoder.set_max_size(u16::try_from(OWN_MAX).unwrap_or(u16::MAX));
    let emitted = builder.build(metadata, &answer, [], &soa, []).destructive_emit(&mut encoder);
    if emitted.is_err() {
        out.clear();
        return None;
    }
    Some(())
}

/// As much of the query as can be read: all of it, or header and question, or the header. `None` where silence is due.
fn read(query: &[u8]) -> Option<Request> {
    let header: [u8; HEADER] = *query.first_chunk()?;
    let [id_high, id_low, flags, more, questions @ .., _, _, _, _, _, _] = header;
    if flags & 0x80 != 0 {
        return None;
    }
    if questions == ONE {
        if let Some(request) = parse(query) {
            return Some(request);
        }
        let mut question = vec![id_high, id_low, flags, more, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend_from_slice(query.get(HEADER..)?);
        if let Some(request) = parse(&question) {
            return Some(request);
        }
    }
    if let Some(opt) = find_opt(query) {
        let with_opt = [&[id_high, id_low, flags, more, 0, 0, 0, 0, 0, 0, 0, 1], opt].concat();
        if let Some(request) = request(&with_opt) {
            return Some(request);
        }
    }
    request(&[id_high, id_low, flags, more, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// The OPT record of a query, as it came, however many questions stand before it.
fn find_opt(query: &[u8]) -> Option<&[u8]> {
    let [questions, records @ ..] = [4, 6, 8, 10].map(|at| u16_at(query, at).unwrap_or(0));
    let mut at = HEADER;
    for _ in 0..questions {
        at = name_end(query, at)? + TYPE_AND_CLASS;
    }
    for _ in 0..records.into_iter().map(u32::from).sum() {
        let fixed = name_end(query, at)?;
        let end = fixed + FIXED_PART + usize::from(u16_at(query, fixed + FIXED_PART - 2)?);
        if u16_at(query, fixed)? == rtype::OPT {
            return query.get(at..end);
        }
        at = end;
    }
    None
}

/// The query as hickory reads it, where its one question can be sent back as it came.
///
/// Only for a header that says QDCOUNT = 1: hickory makes room for the number of questions that the header claims.
pub(crate) fn parse(query: &[u8]) -> Option<Request> {
    let request = request(query)?;
    let [question] = request.queries.queries() else { return None };
    let name: usize = question.original().name().iter().map(|label| label.len() + 1).sum();
    // A compressed name in a question points into the header, which is another one in the answer.
    (request.queries.as_bytes().len() == name + 1 + TYPE_AND_CLASS).then_some(request)
}

fn request(query: &[u8]) -> Option<Request> {
    // hickory wants to know who asked; nothing here does.
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    Request::from_bytes(query.to_vec(), nobody, Protocol::Udp).ok()
}

/// The OPT of an answer (RFC 6891, sections 6.2.3 and 7; DO is copied, RFC 3225, section 3).
fn opt(asked: &Edns, ede: Option<&Ede>, payload: u16) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(payload).set_dnssec_ok(asked.flags().dnssec_ok);
    if let Some(ede) = ede {
        edns.options_mut().insert(ede.option());
    }
    edns
}

/// The SOA that says how long a negative response may be kept, in seconds (RFC 2308, section 5).
fn start_of_authority(ttl: u32) -> Record {
    let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, ttl);
    Record::from_rdata(Name::root(), ttl, RData::SOA(soa))
}
