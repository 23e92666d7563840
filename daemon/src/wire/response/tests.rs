use super::*;

const QUESTION: &[u8] = b"\x01a\x07example\0\0\x01\0\x01";
const END: usize = HEADER + 15;

/// A message of answer records, authority records and an OPT, each given as (type, TTL, data).
fn message(code: u8, answers: &[(u16, u32, &[u8])], authority: &[(u16, u32, &[u8])], opt: Option<&[u8]>) -> Vec<u8> {
    let count = |n: usize| u8::try_from(n).unwrap();
    let mut m = vec![0, 1, 0x81, 0x80 | code, 0, 1, 0, count(answers.len()), 0, count(authority.len()), 0, 0];
    m.extend(QUESTION);
    for (rtype, ttl, data) in answers.iter().chain(authority) {
        m.extend([0xc0, 12]);
        m.extend(rtype.to_be_bytes());
        m.extend([0, 1]);
        m.extend(ttl.to_be_bytes());
        m.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        m.extend(*data);
    }
    if let Some(options) = opt {
        m[11] = 1;
        m.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
        m.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        m.extend(options);
    }
    m
}

const SOA: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 60];

#[test]
fn the_least_ttl_is_the_lifetime_and_the_opt_is_cut() {
    let m = message(0, &[(1, 300, &[1, 2, 3, 4]), (1, 200, &[1, 2, 3, 5])], &[], Some(&[]));
    let answer = Response::read(&m, END).unwrap();
    assert_eq!(
        (answer.lifetime(), answer.counts(), answer.records().map(<[u8]>::len)),
        (Some(200), [2, 0, 0], [32, 0])
    );
    assert!(answer.has_edns() && !answer.is_negative());
    assert_eq!(answer.ttls(), [6, 22]);
}

#[test]
fn a_negative_answer_lives_as_its_soa_says() {
    let m = message(3, &[], &[(rtype::SOA, 900, SOA)], None);
    assert_eq!(Response::read(&m, END).unwrap().lifetime(), Some(60));
    let m = message(0, &[(rtype::CNAME, 30, b"\0")], &[(rtype::SOA, 900, SOA)], None);
    let nodata = Response::read(&m, END).unwrap();
    assert!(nodata.is_negative());
    assert_eq!(nodata.lifetime(), Some(30));
    assert_eq!(Response::read(&message(3, &[], &[], None), END).unwrap().lifetime(), None);
}

#[test]
fn ttl_zero_and_ttl_with_the_top_bit_are_not_kept() {
    for ttl in [0, 0x8000_0000] {
        let m = message(0, &[(1, ttl, &[1, 2, 3, 4])], &[], None);
        assert_eq!(Response::read(&m, END).unwrap().lifetime(), None);
    }
}

#[test]
fn extended_errors_are_found_and_a_cut_option_does_no_harm() {
    let m = message(2, &[], &[], Some(&[0, 15, 0, 4, 0, 6, b'n', b'o', 0, 10, 0, 99, 1]));
    let answer = Response::read(&m, END).unwrap();
    assert_eq!(answer.extended_errors().collect::<Vec<_>>(), [6]);
    assert_eq!(answer.extended_error_options().next(), Some(&[0, 15, 0, 4, 0, 6, b'n', b'o'][..]));
}

#[test]
fn a_record_that_runs_over_the_end_is_refused() {
    let mut m = message(0, &[(1, 300, &[1, 2, 3, 4])], &[], None);
    m.pop();
    assert_eq!(Response::read(&m, END), None);
}

#[test]
fn the_header_of_a_truncated_response_or_an_error_holds_though_its_records_do_not() {
    for (code, cut, read) in [(0, flag::TC, true), (3, flag::TC, true), (2, 0, true), (5, 0, true), (3, 0, false)] {
        let mut m = message(code, &[(1, 300, &[1, 2, 3, 4])], &[], None);
        m[2] |= cut;
        m.pop();
        let response = Response::read(&m, END).map(|response| (response.rcode(), response.counts()));
        assert_eq!(response, read.then_some((code.into(), [0; 3])), "{code} {cut}");
    }
}

/// An OPT with these upper bits of the response code, as a record.
fn opt(high_rcode: u8) -> Vec<u8> {
    vec![0, 0, 41, 4, 208, high_rcode, 0, 0, 0, 0, 0]
}

#[test]
fn an_opt_outside_of_the_additional_section_or_a_second_one_is_no_response() {
    for section in [7, 9] {
        let mut m = message(0, &[], &[], None);
        m[section] = 1;
        m.extend(opt(0));
        assert_eq!(Response::read(&m, END), None);
    }
    let mut m = message(0, &[], &[], Some(&[]));
    m[11] = 2;
    m.extend(opt(0));
    assert_eq!(Response::read(&m, END), None);
}

#[test]
fn address_records_behind_an_opt_are_kept_and_signatures_are_not() {
    let mut m = message(0, &[(33, 300, b"\0\0\0\0\0\x35\xc0\x0c")], &[], Some(&[]));
    m[11] = 4;
    m.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\x01\x02\x03\x04");
    m.extend(b"\x01b\xc0\x0e\0\x1c\0\x01\0\0\0\x3c\0\x10");
    m.extend([9; 16]);
    let whole = m.len();
    m.extend([0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 1, 7]); // TSIG
    let response = Response::read(&m, END).unwrap();
    let before = 20;
    assert_eq!(response.counts(), [1, 0, 2]);
    assert_eq!(response.records().map(<[u8]>::len), [before, whole - END - before - 11]);
    assert_eq!(response.ttls(), [6, 26, 44], "where they stand without the OPT");
    assert_eq!(response.lifetime(), None, "it has no record of the type asked, and no SOA");
}

#[test]
fn a_record_behind_an_opt_that_points_behind_it_is_left_out() {
    let mut m = message(0, &[(1, 300, &[1, 2, 3, 4])], &[], Some(&[]));
    m[11] = 3;
    let first = u8::try_from(m.len()).unwrap();
    m.extend(b"\x01c\x01d\0\0\x01\0\x01\0\0\0\x1e\0\x04\x01\x02\x03\x04");
    m.extend([0xc0, first, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 1, 2, 3, 5]);
    assert_eq!(Response::read(&m, END).unwrap().counts(), [1, 0, 1]);
}

#[test]
fn an_extended_response_code_is_a_failure_and_never_told_by_its_lower_bits() {
    for (low, high, code) in [(0, 1, 16), (3, 1, 19), (5, 0, 5)] {
        let mut m = message(low, &[], &[], None);
        m[11] = 1;
        m.extend(opt(high));
        let response = Response::read(&m, END).unwrap();
        assert_eq!((response.rcode(), response.is_negative(), response.is_error()), (code, false, true));
        assert_eq!(response.flags()[1] & flag::RCODE, if high == 0 { 5 } else { rcode::SERVFAIL });
    }
}

#[test]
fn names_spelled_out_are_found() {
    let mut m = message(0, &[], &[], None);
    m[7] = 1;
    m.extend(b"\x01A\x07ExAmPle\0\0\x01\0\x01\0\0\0\x05\0\x04\x01\x02\x03\x04");
    let answer = Response::read(&m, END).unwrap();
    let spelled: Vec<_> = answer.spelled().map(|name| (name.start, name.end)).collect();
    assert_eq!(spelled, [(0, 11)]);
}
