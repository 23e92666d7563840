use super::*;

/// `wWw.ExAmple.`, type A, class IN.
const QUESTION: &[u8] = b"\x03wWw\x07ExAmple\x00\x00\x01\x00\x01";
const OPT: &[u8] = &[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0];
/// A record `example.` A 192.0.2.1.
const RECORD: &[u8] = b"\x07example\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\xc0\x00\x02\x01";

fn packet(flags: [u8; 2], counts: [u8; 4], body: &[&[u8]]) -> Vec<u8> {
    let [questions, answers, authorities, additionals] = counts;
    let mut packet = vec![0xab, 0xcd, flags[0], flags[1], 0, questions, 0, answers, 0, authorities, 0, additionals];
    body.iter().for_each(|part| packet.extend_from_slice(part));
    packet
}

fn asking_for(record_type: u8) -> Vec<u8> {
    let mut question = QUESTION.to_vec();
    let at = question.len() - 3;
    question[at] = record_type;
    question
}

fn refused(packet: &[u8], why: &str) {
    let Verdict::LocalResponse(LocalResponse::Refused(Some(ede))) = triage(packet) else {
        panic!("{:?}", triage(packet))
    };
    assert_eq!(ede.code, 21);
    assert!(ede.text.contains(why), "{}", ede.text);
}

#[test]
fn responses_and_less_than_a_header_are_dropped() {
    assert_eq!(triage(&[]), Verdict::Drop);
    assert_eq!(triage(&packet([1, 0], [1, 0, 0, 0], &[])[..11]), Verdict::Drop);
    assert_eq!(triage(&packet([0x81, 0x80], [1, 0, 0, 0], &[QUESTION])), Verdict::Drop);
    assert_eq!(triage(&packet([0xff, 0xff], [9, 9, 9, 9], &[b"junk"])), Verdict::Drop);
}

#[test]
fn other_opcodes_are_not_implemented_however_they_look() {
    for opcode in 1..16u8 {
        assert_eq!(
            triage(&packet([opcode << 3, 0], [1, 0, 0, 0], &[QUESTION])),
            Verdict::LocalResponse(LocalResponse::NotImp)
        );
        assert_eq!(
            triage(&packet([opcode << 3, 0], [0, 2, 7, 1], &[b"junk"])),
            Verdict::LocalResponse(LocalResponse::NotImp)
        );
    }
}

#[test]
fn malformed_queries_get_formerr() {
    let mut compressed_opt_owner = b"\xc0\x0c".to_vec();
    compressed_opt_owner.extend_from_slice(&OPT[1..]);
    for (what, packet) in [
        ("no question", packet([1, 0], [0, 0, 0, 0], &[])),
        ("two questions", packet([1, 0], [2, 0, 0, 0], &[QUESTION, QUESTION])),
        ("65535 questions claimed", {
            let mut many = packet([1, 0], [1, 0, 0, 0], &[QUESTION]);
            many[4..6].copy_from_slice(&[0xff, 0xff]);
            many
        }),
        ("a question cut short", packet([1, 0], [1, 0, 0, 0], &[&QUESTION[..9]])),
        ("a compressed question", packet([1, 0], [1, 0, 0, 0], &[&[0xc0, 6, 0, 1, 0, 1]])),
        ("a question that points to itself", packet([1, 0], [1, 0, 0, 0], &[&[0xc0, 12, 0, 1, 0, 1]])),
        ("a reserved kind of label", packet([1, 0], [1, 0, 0, 0], &[&[0x41, 0, 0, 1, 0, 1]])),
        ("two OPTs", packet([1, 0], [1, 0, 0, 2], &[QUESTION, OPT, OPT])),
        ("an OPT cut short", packet([1, 0], [1, 0, 0, 1], &[QUESTION, &OPT[..8]])),
        ("an OPT whose owner is not the root", packet([1, 0], [1, 0, 0, 1], &[QUESTION, &compressed_opt_owner])),
        ("an OPT among the answers", packet([1, 0], [1, 1, 0, 0], &[QUESTION, OPT])),
        ("an option cut short", packet([1, 0], [1, 0, 0, 1], &[QUESTION, &OPT[..10], &[4, 0, 10, 0, 9]])),
        ("an answer in a query", packet([1, 0], [1, 1, 0, 0], &[QUESTION, RECORD])),
        ("an authority in a query", packet([1, 0], [1, 0, 1, 0], &[QUESTION, RECORD])),
        ("records claimed, none there", packet([1, 0], [1, 0, 0, 3], &[QUESTION])),
        ("OPT as the type asked for", packet([1, 0], [1, 0, 0, 0], &[&asking_for(41)])),
    ] {
        assert_eq!(triage(&packet), Verdict::LocalResponse(LocalResponse::FormErr), "{what}");
    }
}

#[test]
fn an_unknown_edns_version_gets_badvers() {
    let version_1 = &[0, 0, 41, 0x10, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(
        triage(&packet([1, 0], [1, 0, 0, 1], &[QUESTION, version_1])),
        Verdict::LocalResponse(LocalResponse::BadVers)
    );
}

#[test]
fn zone_transfers_are_refused() {
    refused(&packet([0, 0], [1, 0, 0, 0], &[&asking_for(252)]), "zone transfers");
    // An IXFR carries the SOA that the client has (RFC 1995, section 3).
    refused(&packet([0, 0], [1, 0, 1, 0], &[&asking_for(251), RECORD]), "zone transfers");
}

#[test]
fn signed_queries_are_refused() {
    // Owner, type, class ANY, TTL 0, length; then hmac-sha256, time, fudge, MAC, original ID, error, other data.
    let tsig = b"\x03key\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x1f\x0bhmac-sha256\x00\0\0\0\0\0\x01\x01\x2c\0\x02ab\xab\xcd\0\0\0\0";
    let sig0 = &[0, 0, 24, 0, 255, 0, 0, 0, 0, 0, 1, 0];
    for signature in [&tsig[..], sig0] {
        refused(&packet([1, 0], [1, 0, 0, 1], &[QUESTION, signature]), "signed");
        refused(&packet([1, 0], [1, 0, 0, 2], &[QUESTION, OPT, signature]), "signed");
    }
}

#[test]
fn what_may_be_forwarded_is_made_plain() {
    let plain = packet([1, 0], [1, 0, 0, 0], &[QUESTION]);
    let plain_opt = packet([1, 0x30], [1, 0, 0, 1], &[QUESTION, OPT]);
    for (what, odd, expected) in [
        ("plain already", plain.clone(), &plain),
        ("trailing bytes", packet([1, 0], [1, 0, 0, 0], &[QUESTION, b"trailing"]), &plain),
        ("AA, TC, RA, Z and a response code", packet([0x07, 0xcf], [1, 0, 0, 0], &[QUESTION]), &plain),
        ("a record beside the question", packet([1, 0], [1, 0, 0, 1], &[QUESTION, RECORD]), &plain),
        ("a record before the OPT", packet([1, 0x30], [1, 0, 0, 2], &[QUESTION, RECORD, OPT]), &plain_opt),
        ("a record after the OPT", packet([1, 0x30], [1, 0, 0, 2], &[QUESTION, OPT, RECORD]), &plain_opt),
        ("no RD", packet([0, 0], [1, 0, 0, 0], &[QUESTION, b"!"]), &packet([0, 0], [1, 0, 0, 0], &[QUESTION])),
    ] {
        assert_eq!(triage(&odd), Verdict::Forward(expected.clone()), "{what}");
    }
}

#[test]
fn options_survive_and_a_tiny_payload_counts_as_512() {
    let options = &[0x80, 1, 0, 1, 7, 0, 10, 0, 0]; // a local option of one byte, then an empty cookie
    let tiny = &[0, 0, 41, 0, 100, 0xee, 0, 0, 0, 0, 9];
    let opt = &[0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 9];
    let asked = packet([1, 0], [1, 0, 0, 2], &[QUESTION, tiny, options, RECORD]);
    assert_eq!(triage(&asked), Verdict::Forward(packet([1, 0], [1, 0, 0, 1], &[QUESTION, opt, options])));
}

proptest::proptest! {
    #[test]
    fn what_is_forwarded_is_forwarded_unchanged_the_next_time(
        tail in proptest::collection::vec(0u8.., 0..80),
        flags in 0u8..8,
        additionals in 0u8..4,
    ) {
        if let Verdict::Forward(once) = triage(&packet([flags, 0], [1, 0, 0, additionals], &[QUESTION, &tail])) {
            proptest::prop_assert_eq!(triage(&once), Verdict::Forward(once));
        }
    }

    #[test]
    fn no_bytes_whatever_make_it_fail(bytes in proptest::collection::vec(0u8.., 0..200)) {
        let silent = bytes.len() < 12 || bytes[2] & 0x80 != 0;
        proptest::prop_assert_eq!(triage(&bytes) == Verdict::Drop, silent);
    }
}
