//! hickory as the judge of our reader of queries. The fuzz target `query` has this file, too.

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::{HEADER, PAYLOAD_MIN, flag, rtype};

/// The key of the question, and the payload size of the OPT, of a packet that hickory reads as a plain query.
pub(super) fn as_hickory_reads(packet: &[u8]) -> Option<(Vec<u8>, Option<u16>)> {
    let mut decoder = BinDecoder::new(packet);
    let message = Message::read(&mut decoder).ok()?;
    let (asked, question) = (&message.metadata, message.queries.first()?);
    let is_query = (asked.message_type, asked.op_code) == (MessageType::Query, OpCode::Query);
    // The response code with its upper bits, which an OPT holds, means nothing in a query.
    let odd = asked.authoritative || asked.truncation || asked.recursion_available || packet[3] & flag::RCODE != 0;
    let records = [&message.answers, &message.authorities, &message.additionals];
    let alone = message.queries.len() == 1 && records.iter().all(|records| records.is_empty());
    let transfer = matches!(u16::from(question.query_type()), rtype::OPT | rtype::IXFR | rtype::AXFR);
    if !is_query || odd || !alone || transfer || message.signature.is_some() || !decoder.is_empty() {
        return None;
    }
    let mut name = vec![];
    for label in question.name().iter() {
        name.push(u8::try_from(label.len()).expect("a label has at most 63 bytes"));
        name.extend(label);
    }
    name.push(0);
    let dnssec = match &message.edns {
        // Its owner is the root, as it stands there and not by a pointer to it.
        Some(edns) if edns.version() == 0 && packet.get(HEADER + name.len() + 4) == Some(&0) => edns.flags().dnssec_ok,
        Some(_) => return None,
        None => false,
    };
    packet[HEADER..].starts_with(&name).then_some(())?; // not compressed
    let mut key = vec![packet[3] & flag::CD | if dnssec { flag::DO } else { 0 }];
    key.extend(name.to_ascii_lowercase());
    key.extend(u16::from(question.query_type()).to_be_bytes());
    key.extend(u16::from(question.query_class()).to_be_bytes());
    Some((key, message.edns.map(|edns| edns.max_payload().max(PAYLOAD_MIN))))
}

/// The packet without what stands inside the OPT behind its question, which ends at `end`.
pub(super) fn without_options(packet: &[u8], end: usize) -> Vec<u8> {
    let mut bare = packet.to_vec();
    if bare.len() > end + 11 {
        bare.truncate(end + 11);
        bare[end + 9..].copy_from_slice(&[0, 0]);
    }
    bare
}
