//! Three readers of queries, held against each other: the hot path's, triage (which the rest goes to) and hickory's.
//! Where two of them read one packet differently, a client can be answered with what it did not ask.

#[path = "../../../daemon/src/wire/query/tests/hickory.rs"]
mod hickory;

use hickory::{as_hickory_reads, without_options};
use onward::internals::admit::triage::{Verdict, triage};
use onward::internals::wire::query::PAYLOAD_MIN;
use onward::internals::wire::{HEADER, Query, flag, rtype};

/// EDNS client subnet (RFC 7871): hickory looks into it and refuses what it cannot read. Onward forwards no options
/// anyway.
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

/// What triage forwards, the hot path reads, and triage leaves as it is; what the hot path reads, triage forwards as
/// the same question, but for options that hickory cannot read.
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
