//! The hot path's parser and triage, held against each other: two readers of one protocol must not disagree.

use proptest::prelude::*;

use super::*;
use crate::wire::Query;
use crate::wire::query::packets::{CLIENT_SUBNET, cases, packets};

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
    #![proptest_config(cases(50_000))]

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
