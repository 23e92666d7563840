use proptest::prelude::*;

mod hickory;

use super::packets::{cases, packets};
use super::*;
use hickory::{as_hickory_reads, without_options};

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

proptest! {
    #![proptest_config(cases(50_000))]

    /// The same verdict, the same key. Only of what stands inside options each may think as it likes: hickory refuses
    /// some that are well-formed, and takes some that are not; we forward none.
    #[test]
    fn the_hot_parser_agrees_with_hickory(packet in packets()) {
        let ours = |packet: &[u8]| read(packet).ok().map(|query| (query.key().to_vec(), query.payload()));
        let (mut our, mut their) = (ours(&packet), as_hickory_reads(&packet));
        if our != their {
            let (key, _) = our.as_ref().or(their.as_ref()).unwrap();
            let bare = without_options(&packet, HEADER + key.len() - 1);
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
