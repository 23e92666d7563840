//! The hot path's parser and triage, held against each other: two readers of one protocol must not disagree.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::Query;

/// EDNS client subnet (RFC 7871): hickory looks into it and refuses what it cannot read; we forward no options anyway.
const CLIENT_SUBNET: u16 = 8;

fn read(packet: &[u8]) -> Option<Query> {
    let mut query = Query::default();
    query.read(packet).ok().map(|()| query)
}

fn has_client_subnet(mut options: &[u8]) -> bool {
    while let [code_high, code_low, length_high, length_low, rest @ ..] = options {
        if [*code_high, *code_low] == CLIENT_SUBNET.to_be_bytes() {
            return true;
        }
        options = &rest[usize::from(u16::from_be_bytes([*length_high, *length_low]))..];
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50_000))]

    /// What triage forwards is plain, says the same as before, and stays as it is if it is looked at again.
    #[test]
    fn what_triage_forwards_is_read_as_plain(packet in packets()) {
        if let Verdict::Forward(plain) = triage(&packet) {
            let query = read(&plain);
            prop_assert!(query.is_some(), "forwarded, but not plain: {:02x?}", plain);
            prop_assert_eq!(&plain[..2], &packet[..2]);
            prop_assert_eq!((plain[2] ^ packet[2]) & 0x01, 0, "RD");
            prop_assert_eq!((plain[3] ^ packet[3]) & 0x30, 0, "AD, CD");
            prop_assert_eq!(triage(&plain), Verdict::Forward(plain));
        }
    }

    /// What the hot path reads, triage would forward as the same question, but for options that hickory cannot read.
    #[test]
    fn what_is_read_as_plain_triage_would_forward(packet in packets()) {
        if let Some(query) = read(&packet) {
            match triage(&packet) {
                Verdict::Forward(plain) => {
                    let again = read(&plain).unwrap();
                    prop_assert_eq!(query.key(), again.key());
                    prop_assert_eq!(query.payload(), again.payload());
                    let question = 12..query.question_end();
                    prop_assert_eq!(&packet[question.clone()], &plain[question], "its spelling");
                }
                verdict => prop_assert!(has_client_subnet(query.options(&packet)), "{:?}", verdict),
            }
        }
    }
}

/// Queries of every sort, most of them good, some with a few bytes changed, cut or added.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let behind =
        prop_oneof![4 => Just(Behind::Nothing), 4 => opt(), 1 => Just(Behind::Record), 1 => Just(Behind::Junk)];
    let changes = prop_oneof![2 => Just(vec![]), 1 => vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)];
    (any::<u16>(), flags(), question(), behind, changes, 0..20_usize).prop_map(
        |(id, flags, question, behind, changes, cut)| {
            let mut packet = id.to_be_bytes().to_vec();
            packet.extend(flags);
            packet.extend([0, 1, 0, 0, 0, 0, 0, u8::from(matches!(behind, Behind::Opt(_) | Behind::Record))]);
            packet.extend(question);
            match behind {
                Behind::Nothing => {}
                Behind::Opt(bytes) => packet.extend(bytes),
                Behind::Record => packet.extend(b"\x01a\0\0\x01\0\x01\0\0\0\x05\0\x04\xc0\0\x02\x01"),
                Behind::Junk => packet.extend(b"junk"),
            }
            for (at, value) in changes {
                let at = at.index(packet.len());
                packet[at] = value;
            }
            packet.truncate(if cut < 3 { packet.len() - cut } else { packet.len() });
            packet
        },
    )
}

#[derive(Debug, Clone)]
enum Behind {
    Nothing,
    Opt(Vec<u8>),
    Record,
    Junk,
}

fn flags() -> impl Strategy<Value = [u8; 2]> {
    let usual = prop_oneof![Just([1, 0]), Just([1, 0x20]), Just([1, 0x10]), Just([0, 0x30])];
    prop_oneof![9 => usual, 1 => any::<[u8; 2]>()]
}

fn question() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof![20 => vec(any::<u8>(), 1..12), 1 => Just(vec![b'x'; 63])];
    let types = prop_oneof![8 => Just(1_u16), 8 => 1..70_u16, 2 => 245..258_u16, 1 => any::<u16>()];
    let classes = prop_oneof![9 => Just(1_u16), 1 => any::<u16>()];
    (vec(label, 0..6), types, classes).prop_map(|(labels, qtype, class)| {
        let mut question = vec![];
        for label in labels {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend(label);
        }
        question.push(0);
        question.extend(qtype.to_be_bytes());
        question.extend(class.to_be_bytes());
        question
    })
}

fn opt() -> impl Strategy<Value = Behind> {
    let codes = prop_oneof![Just(CLIENT_SUBNET), Just(10), Just(12), Just(15), 0..20_u16, Just(65_001), any::<u16>()];
    let options = prop_oneof![2 => Just(vec![]), 1 => vec((codes, vec(any::<u8>(), 0..10)), 1..4)];
    let version = prop_oneof![9 => Just(0), 1 => any::<u8>()];
    (any::<u16>(), any::<u8>(), version, any::<[u8; 2]>(), options).prop_map(
        |(payload, high_rcode, version, flags, options)| {
            let mut data = vec![];
            for (code, bytes) in options {
                data.extend(code.to_be_bytes());
                data.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
                data.extend(bytes);
            }
            let mut opt = vec![0, 0, 41];
            opt.extend(payload.to_be_bytes());
            opt.extend([high_rcode, version]);
            opt.extend(flags);
            opt.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            opt.extend(data);
            Behind::Opt(opt)
        },
    )
}
