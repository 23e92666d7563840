//! Three readers of queries, held against each other: the hot path's, triage (which the rest goes to) and hickory's.
//! Where two of them read one packet differently, a client can be answered with what it did not ask.

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use onward::internals::admit::triage::{Verdict, triage};
use onward::internals::wire::query::PAYLOAD_MIN;
use onward::internals::wire::{HEADER, Query, flag, rtype};

/// EDNS client subnet (RFC 7871): hickory looks into it and refuses what it cannot read. Onward forwards no options anyway.
const CLIENT_SUBNET: u16 = 8;

/// What a query's reader found: the key of the question, and the payload size of the OPT.
type Reading = (Vec<u8>, Option<u16>);

/// Reads `packet` in all three ways.
pub fn check(packet: &[u8]) {
    agrees_with_hickory(packet);
    agrees_with_triage(packet);
}

/// The hot path takes a packet where hickory reads a plain query, and finds the same in it. Only of what stands inside
/// options each may think as it likes: hickory refuses some that are well-formed, and takes some that are not.
fn agrees_with_hickory(packet: &[u8]) {
    let (ours, theirs) = (read(packet), as_hickory_reads(packet));
    if ours == theirs {
        return;
    }
    let (key, _) = ours.as_ref().or(theirs.as_ref()).expect("one of them read it");
    let bare = without_options(packet, HEADER + key.len() - 1);
    assert!(bare.len() < packet.len(), "ours {ours:02x?}, hickory's {theirs:02x?}");
    assert_eq!(read(&bare), as_hickory_reads(&bare), "ours, hickory's");
}

/// What triage forwards, the hot path reads, and triage leaves as it is; what the hot path reads, triage forwards as the
/// same question, but for options that hickory cannot read.
fn agrees_with_triage(packet: &[u8]) {
    let ours = read(packet);
    match triage(packet) {
        Verdict::Forward(plain) => {
            let again = read(&plain).expect("what is forwarded is plain");
            assert_eq!(&plain[..2], &packet[..2], "the ID");
            assert_eq!((plain[2] ^ packet[2]) & flag::RD, 0, "RD");
            assert_eq!((plain[3] ^ packet[3]) & (flag::AD | flag::CD), 0, "AD, CD");
            if let Some(ours) = ours {
                assert_eq!(ours, again);
                let question = HEADER..HEADER + ours.0.len() - 1;
                assert_eq!(&packet[question.clone()], &plain[question], "the spelling");
            }
            assert_eq!(triage(&plain), Verdict::Forward(plain), "triage of what triage forwarded");
        }
        verdict => assert!(ours.is_none() || has_client_subnet(packet), "{verdict:?}"),
    }
}

fn read(packet: &[u8]) -> Option<Reading> {
    let mut query = Query::default();
    query.read(packet).ok().map(|()| (query.key().to_vec(), query.payload()))
}

fn as_hickory_reads(packet: &[u8]) -> Option<Reading> {
    let mut decoder = BinDecoder::new(packet);
    let message = Message::read(&mut decoder).ok()?;
    let (header, question) = (&message.metadata, message.queries.first()?);
    let is_query = (header.message_type, header.op_code) == (MessageType::Query, OpCode::Query);
    // The response code's upper bits stand in an OPT and mean nothing in a query.
    let odd = header.authoritative || header.truncation || header.recursion_available || packet[3] & flag::RCODE != 0;
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
fn without_options(packet: &[u8], end: usize) -> Vec<u8> {
    let mut bare = packet.to_vec();
    if bare.len() > end + 11 {
        bare.truncate(end + 11);
        bare[end + 9..].copy_from_slice(&[0, 0]);
    }
    bare
}

fn has_client_subnet(packet: &[u8]) -> bool {
    let mut query = Query::default();
    if query.read(packet).is_err() {
        return false;
    }
    let mut options = query.options(packet);
    while let [code_high, code_low, length_high, length_low, rest @ ..] = options {
        if [*code_high, *code_low] == CLIENT_SUBNET.to_be_bytes() {
            return true;
        }
        options = &rest[usize::from(u16::from_be_bytes([*length_high, *length_low]))..];
    }
    false
}
