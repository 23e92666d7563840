//! What to do with a packet that is not a plain query: the one place that knows the odd rest of the protocol.
//!
//! hickory reads the packet. A packet that may be forwarded all the same is written again as a plain query, so that all
//! that is behind this knows plain queries only. Who may ask is not decided here, nor is RD=0.

use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use hickory_server::server::Request;

use crate::respond::local::parse;
use crate::respond::{Ede, LocalResponse};
use crate::wire::HEADER;

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;

/// What is to be done with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Say nothing.
    Drop,
    /// Answer it ourselves.
    LocalResponse(LocalResponse),
    /// Forward it: the same query, plain. ID, RD, AD and CD are kept, the question as spelled, and the OPT with its
    /// options; other bits, other records and trailing bytes are gone.
    Forward(Vec<u8>),
}

/// Decides on a packet from a client.
#[must_use]
pub fn triage(packet: &[u8]) -> Verdict {
    let Some(&[_, _, flags, _, q1, q2, a1, a2, n1, n2, _, _]) = packet.first_chunk::<HEADER>() else {
        return Verdict::Drop;
    };
    if flags & 0x80 != 0 {
        return Verdict::Drop; // a response
    }
    if flags & 0x78 != 0 {
        return Verdict::LocalResponse(LocalResponse::NotImp); // NOTIFY, UPDATE, and others that are not QUERY
    }
    // RFC 9619, section 4: a QUERY has one question.
    let (questions, answers, authorities) = ([q1, q2], [a1, a2], [n1, n2]);
    if questions != [0, 1] {
        return Verdict::LocalResponse(LocalResponse::FormErr);
    }
    let Some(request) = parse(packet) else {
        return Verdict::LocalResponse(LocalResponse::FormErr);
    };
    if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Verdict::LocalResponse(LocalResponse::BadVers); // RFC 6891, section 6.1.3
    }
    if let Some(own) = not_for_us(&request) {
        return Verdict::LocalResponse(own);
    }
    if answers != [0, 0] || authorities != [0, 0] {
        return Verdict::LocalResponse(LocalResponse::FormErr);
    }
    plain(&request).map_or(Verdict::LocalResponse(LocalResponse::FormErr), Verdict::Forward)
}

/// Questions that a cache cannot forward: transfers, and those whose signature would not survive it.
fn not_for_us(request: &Request) -> Option<LocalResponse> {
    let refused = |text| Some(LocalResponse::Refused(Some(Ede::new(Ede::NOT_SUPPORTED, text))));
    for question in request.queries.queries() {
        match question.query_type() {
            RecordType::AXFR | RecordType::IXFR => return refused("zone transfers are not forwarded"),
            RecordType::OPT => return Some(LocalResponse::FormErr), // no record of a name (RFC 6891, section 6.1.1)
            _ => {}
        }
    }
    let signed = |record_type| matches!(record_type, RecordType::TSIG | RecordType::SIG);
    if request.signature.is_some() || request.additionals.iter().any(|record| signed(record.record_type())) {
        return refused("signed queries (TSIG, SIG(0)) are not forwarded");
    }
    None
}

/// Header, question and OPT, and nothing else.
fn plain(request: &Request) -> Option<Vec<u8>> {
    let asked = &request.metadata;
    let mut bytes = asked.id.to_be_bytes().to_vec();
    bytes.push(u8::from(asked.recursion_desired));
    bytes.push(u8::from(asked.authentic_data) << 5 | u8::from(asked.checking_disabled) << 4);
    bytes.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(request.edns.is_some())]);
    bytes.extend_from_slice(request.queries.as_bytes());
    if let Some(edns) = &request.edns {
        let mut edns = edns.clone();
        edns.set_rcode_high(0); // means nothing in a query
        let mut opt = Vec::new();
        edns.emit(&mut BinEncoder::new(&mut opt)).ok()?;
        bytes.extend_from_slice(&opt);
    }
    Some(bytes)
}
