use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::EdnsCode;

use super::*;

/// `wWw.ExAmple.`, type A, class IN.
const QUESTION: &[u8] = b"\x03wWw\x07ExAmple\x00\x00\x01\x00\x01";
/// What we say that we take.
const PAYLOAD: u16 = 0x0700;
/// An OPT of version 0 with DO and a payload of 4096.
const OPT_DO: &[u8] = &[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0];

fn packet(flags: [u8; 2], counts: [u8; 4], body: &[&[u8]]) -> Vec<u8> {
    let [questions, answers, authorities, additionals] = counts;
    let mut packet = vec![0xab, 0xcd, flags[0], flags[1], 0, questions, 0, answers, 0, authorities, 0, additionals];
    body.iter().for_each(|part| packet.extend_from_slice(part));
    packet
}

fn query() -> Vec<u8> {
    packet([1, 0], [1, 0, 0, 0], &[QUESTION])
}

fn query_with_opt() -> Vec<u8> {
    packet([1, 0x10], [1, 0, 0, 1], &[QUESTION, OPT_DO])
}

fn answered(query: &[u8], own: &LocalResponse) -> Vec<u8> {
    let mut out = vec![1, 2, 3];
    write(query, own, PAYLOAD, &mut out).expect("an answer");
    out
}

fn servfail(text: &'static str) -> LocalResponse {
    LocalResponse::ServFail(Ede::new(Ede::NETWORK_ERROR, text))
}

#[test]
fn the_question_comes_back_as_spelled_and_nothing_else() {
    let out = answered(&query(), &LocalResponse::Refused(None));
    // QR, RD copied; RA, REFUSED; no AA.
    assert_eq!(out, packet([0x81, 0x85], [1, 0, 0, 0], &[QUESTION]));
}

#[test]
fn rd_and_cd_are_copied_and_ad_is_not() {
    let out = answered(&packet([0, 0x30], [1, 0, 0, 0], &[QUESTION]), &LocalResponse::NotImp);
    assert_eq!(out[2..4], [0x80, 0x94]);
}

#[test]
fn the_opcode_is_copied() {
    let out = answered(&packet([0x20, 0], [1, 0, 0, 0], &[QUESTION]), &LocalResponse::NotImp);
    assert_eq!(out[2..4], [0xa0, 0x84]);
}

#[test]
fn an_opt_comes_back_with_our_payload_do_and_the_reason() {
    let out = answered(&query_with_opt(), &servfail("10.0.0.2 asks us back"));
    let text = b"10.0.0.2 asks us back";
    let mut opt = vec![0, 0, 41, 7, 0, 0, 0, 0x80, 0, 0, 4 + 2 + 21, 0, 15, 0, 2 + 21, 0, 23];
    opt.extend_from_slice(text);
    assert_eq!(out, packet([0x81, 0x92], [1, 0, 0, 1], &[QUESTION, &opt]));
}

#[test]
fn without_an_opt_in_the_query_there_is_none_in_the_answer() {
    let out = answered(&query(), &servfail("nothing"));
    assert_eq!(out, packet([0x81, 0x82], [1, 0, 0, 0], &[QUESTION]));
}

#[test]
fn badvers_splits_its_code_over_header_and_opt() {
    let version_7 = &[0, 0, 41, 0x10, 0, 0, 7, 0, 0, 0, 0];
    let out = answered(&packet([1, 0], [1, 0, 0, 1], &[QUESTION, version_7]), &LocalResponse::BadVers);
    let opt = &[0, 0, 41, 7, 0, 1, 0, 0, 0, 0, 0];
    assert_eq!(out, packet([0x81, 0x80], [1, 0, 0, 1], &[QUESTION, opt]));
}

#[test]
fn the_loop_probe_gets_nxdomain_for_a_second() {
    let probe = b"\x0a1234567890\x0a0987654321\x00\x00\x0d\x00\x01";
    let message =
        Message::from_vec(&answered(&packet([1, 0], [1, 0, 0, 0], &[probe]), &LocalResponse::NxDomain(1))).unwrap();
    assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
    let [soa] = &message.authorities[..] else { panic!("one record: {:?}", message.authorities) };
    assert_eq!(soa.ttl, 1);
    let RData::SOA(data) = &soa.data else { panic!("{soa:?}") };
    assert_eq!(data.minimum, 1);
}

#[test]
fn responses_and_less_than_a_header_get_silence() {
    let response = packet([0x80, 0], [1, 0, 0, 0], &[QUESTION]);
    for silent in [&response[..], &[], &query()[..11]] {
        let mut out = vec![1, 2, 3];
        assert_eq!(write(silent, &LocalResponse::FormErr, PAYLOAD, &mut out), None);
        assert!(out.is_empty());
    }
}

#[test]
fn a_query_with_broken_records_gets_its_question_back() {
    let two_opts = packet([1, 0], [1, 0, 0, 2], &[QUESTION, OPT_DO, OPT_DO]);
    let cut_opt = packet([1, 0], [1, 0, 0, 1], &[QUESTION, &OPT_DO[..9]]);
    let missing = packet([1, 0], [1, 0, 0, 1], &[QUESTION]);
    for broken in [two_opts, cut_opt, missing] {
        assert_eq!(answered(&broken, &LocalResponse::FormErr), packet([0x81, 0x81], [1, 0, 0, 0], &[QUESTION]));
    }
}

#[test]
fn a_question_that_cannot_be_read_is_left_out() {
    let header_only = packet([0x81, 0x81], [0, 0, 0, 0], &[]);
    let cut = packet([1, 0], [1, 0, 0, 0], &[&QUESTION[..8]]);
    let none = packet([1, 0], [0, 0, 0, 0], &[]);
    let two = packet([1, 0], [2, 0, 0, 0], &[QUESTION, QUESTION]);
    // The name is a pointer into the header, to the two zero bytes of ANCOUNT.
    let pointer = packet([1, 0], [1, 0, 0, 0], &[&[0xc0, 6, 0, 1, 0, 1]]);
    let mut claims_many = none.clone();
    claims_many[4..6].copy_from_slice(&[0xff, 0xff]);
    for odd in [cut, none, two, pointer, claims_many] {
        assert_eq!(answered(&odd, &LocalResponse::FormErr), header_only, "{odd:?}");
    }
}

#[test]
fn an_opt_comes_back_whatever_the_number_of_questions() {
    let opt = &[0, 0, 41, 7, 0, 0, 0, 0x80, 0, 0, 0];
    let expected = packet([0x81, 0x81], [0, 0, 0, 1], &[opt]);
    let none = packet([1, 0], [0, 0, 0, 1], &[OPT_DO]);
    let two = packet([1, 0], [2, 0, 0, 1], &[QUESTION, QUESTION, OPT_DO]);
    let behind = packet([1, 0], [0, 1, 0, 1], &[b"\0\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01", OPT_DO]);
    for odd in [none, two, behind] {
        assert_eq!(answered(&odd, &LocalResponse::FormErr), expected, "{odd:?}");
    }
}

#[test]
fn nodata_may_be_kept_for_an_hour() {
    let message = Message::from_vec(&answered(&query_with_opt(), &LocalResponse::NoData(3600))).unwrap();
    assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::NoError, 0));
    let [soa] = &message.authorities[..] else { panic!("one record: {:?}", message.authorities) };
    assert_eq!(soa.ttl, 3600);
}

#[test]
fn the_longest_question_and_the_longest_reason_fit() {
    let label: Vec<u8> = [&[63u8][..], &[b'a'; 63]].concat();
    let short: Vec<u8> = [&[61u8][..], &[b'a'; 61]].concat();
    let question = [&label[..], &label, &label, &short, &[0, 0, 1, 0, 1]].concat();
    assert_eq!(question.len(), 255 + 4);
    let text = "ä".repeat(300);
    let own = LocalResponse::ServFail(Ede::new(Ede::NOT_READY, text));
    let out = answered(&packet([1, 0], [1, 0, 0, 1], &[&question, OPT_DO]), &own);
    assert!(out.len() <= OWN_MAX, "{}", out.len());
    let message = Message::from_vec(&out).unwrap();
    assert!(!message.metadata.truncation);
    let edns = message.edns.expect("an OPT");
    let Some(EdnsOption::Unknown(15, data)) = edns.option(EdnsCode::from(15)) else { panic!("{edns:?}") };
    assert_eq!(data[2..], *"ä".repeat(80).as_bytes());
    let nx = answered(&packet([1, 0], [1, 0, 0, 1], &[&question, OPT_DO]), &LocalResponse::NxDomain(1));
    assert!(nx.len() <= OWN_MAX && !Message::from_vec(&nx).unwrap().metadata.truncation);
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_answered_shortly_with_its_id_or_not_at_all(bytes in proptest::collection::vec(0u8.., 0..600)) {
        let mut out = Vec::new();
        let answered = write(&bytes, &LocalResponse::FormErr, PAYLOAD, &mut out).is_some();
        proptest::prop_assert_eq!(answered, bytes.len() >= 12 && bytes[2] & 0x80 == 0);
        if answered {
            proptest::prop_assert!(out.len() <= OWN_MAX);
            proptest::prop_assert_eq!(&out[..2], &bytes[..2]);
            proptest::prop_assert!(out[2] & 0x80 != 0);
        }
    }
}
