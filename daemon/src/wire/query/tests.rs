use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use proptest::prelude::*;

use super::packets::{cases, packets};
use super::*;

const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03wWw\x07Example\0\0\x01\0\x01";

fn with_opt(do_bit: u8, payload: u16, options: &[u8]) -> Vec<u8> {
    let mut packet = QUESTION.to_vec();
    packet[11] = 1;
    packet.extend([0, 0, 41]);
    packet.extend(payload.to_be_bytes());
    packet.extend([0, 0, do_bit, 0]);
    packet.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    packet.extend(options);
    packet
}

fn read(packet: &[u8]) -> Result<Query, NotPlain> {
    let mut query = Query::default();
    query.read(packet).map(|()| query)
}

#[test]
fn a_plain_question_gives_a_lower_cased_key() {
    let query = read(QUESTION).unwrap();
    assert_eq!(query.key(), b"\0\x03www\x07example\0\0\x01\0\x01");
    assert_eq!((query.qtype(), query.question_end(), query.payload()), (1, QUESTION.len(), None));
    assert!(query.wants_recursion() && !query.wants_authentic());
    assert_eq!(shown(query.name()), "www.example.");
}

#[test]
fn do_and_cd_are_part_of_the_key_and_unknown_options_are_plain() {
    let mut packet = with_opt(0x80, 4096, b"\0\x0a\0\x08cookie!!");
    packet[3] = flag::CD;
    let query = read(&packet).unwrap();
    assert_eq!(query.key()[0], 0x90);
    assert_eq!(query.payload(), Some(4096));
    assert_eq!(query.options(&packet), b"\0\x0a\0\x08cookie!!");
    assert!(query.wants_dnssec() && query.wants_authentic());
    assert_eq!(read(&with_opt(0, 100, b"")).unwrap().payload(), Some(512));
}

#[test]
fn a_question_that_hops_have_sent_back_with_do_or_cd_is_found_by_its_key() {
    let bits = |query: &Query| query.keys_that_ask_less().map(|key| key[0]).collect::<Vec<_>>();
    let mut packet = with_opt(0x80, 1232, b"");
    assert_eq!(bits(&read(&packet).unwrap()), [0, flag::DO]);
    packet[3] = flag::CD;
    let query = read(&packet).unwrap();
    assert_eq!(bits(&query), [0, flag::CD, flag::DO, flag::DO | flag::CD]);
    assert!(query.keys_that_ask_less().all(|key| key[1..] == query.key()[1..]));
    assert_eq!(bits(&read(QUESTION).unwrap()), [0]);
}

#[test]
fn what_is_not_plain_is_left_to_triage() {
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("header only", QUESTION[..12].to_vec()),
        ("cut in the name", QUESTION[..20].to_vec()),
        ("cut in the class", QUESTION[..QUESTION.len() - 1].to_vec()),
        ("something behind", [QUESTION, b"x"].concat()),
        ("OPT cut", with_opt(0, 1232, b"")[..QUESTION.len() + 5].to_vec()),
    ];
    for (name, at, value) in [
        ("response", 2, 0x81),
        ("NOTIFY", 2, 0x21),
        ("two questions", 5, 2),
        ("an answer record", 7, 1),
        ("compression in the question", 12, 0xc0),
        ("reserved label", 12, 0x40),
        ("AXFR", QUESTION.len() - 3, 252),
        ("OPT as a type", QUESTION.len() - 3, 41),
    ] {
        let mut packet = QUESTION.to_vec();
        packet[at] = value;
        cases.push((name, packet));
    }
    let mut version = with_opt(0, 1232, b"");
    version[QUESTION.len() + 6] = 1;
    cases.push(("EDNS version 1", version));
    for (name, packet) in cases {
        assert!(read(&packet).is_err(), "{name}");
    }
}

#[test]
fn a_name_of_255_bytes_is_plain_and_one_of_256_is_not() {
    let long = |last: u8| {
        let mut packet = QUESTION[..12].to_vec();
        for length in [63, 63, 63, last] {
            packet.push(length);
            packet.extend(vec![b'A'; length.into()]);
        }
        packet.extend([0, 0, 1, 0, 1]);
        packet
    };
    assert!(read(&long(61)).is_ok());
    assert!(read(&long(62)).is_err());
}

/// The key and the payload size of a packet that hickory reads as a plain query.
fn as_hickory_reads(packet: &[u8]) -> Option<(Vec<u8>, Option<u16>)> {
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
        name.push(u8::try_from(label.len()).unwrap());
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
fn bare(packet: &[u8], end: usize) -> Vec<u8> {
    let mut bare = packet.to_vec();
    if bare.len() > end {
        bare.truncate(end + 11);
        bare[end + 9..].copy_from_slice(&[0, 0]);
    }
    bare
}

proptest! {
    #![proptest_config(cases(50_000))]

    /// The same verdict, the same key. Only of what stands inside options each may think as it likes: hickory refuses some
    /// that are well-formed, and takes some that are not; we forward none.
    #[test]
    fn the_hot_parser_agrees_with_hickory(packet in packets()) {
        let ours = |packet: &[u8]| read(packet).ok().map(|query| (query.key().to_vec(), query.payload()));
        let (mut our, mut their) = (ours(&packet), as_hickory_reads(&packet));
        if our != their {
            let (key, _) = our.as_ref().or(their.as_ref()).unwrap();
            let bare = bare(&packet, HEADER + key.len() - 1);
            prop_assert!(bare.len() < packet.len(), "ours {:?}, theirs {:?}", our, their);
            (our, their) = (ours(&bare), as_hickory_reads(&bare));
        }
        prop_assert_eq!(our, their);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&packet);
    }
}
