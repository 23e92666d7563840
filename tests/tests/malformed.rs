//! What is not a proper query: refused politely where the RFCs ask for it, met with silence where an answer could do
//! harm, and never the end of the program.

use onward_tests::dns::{Answer, rcode};
use onward_tests::garbage::Garbage;
use onward_tests::lab::{Lab, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, flags, types};
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, wait};

/// How long silence is listened to.
const SILENCE: std::time::Duration = wait::millis(300);

fn setup() -> Option<(Lab, Scripted, Process)> {
    let lab = Lab::new()?;
    let script = |seen: &Seen| Reply::now(seen.address([192, 0, 2, 1], 60));
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    Some((lab, upstream, onward))
}

fn send(lab: &Lab, bytes: &[u8]) -> Option<Answer> {
    lab.client().exchange(bytes, SILENCE)
}

/// The header with other counts, and the question behind it.
fn with_counts(counts: [u8; 4]) -> Vec<u8> {
    let mut bytes = Query::new("odd.test", types::A).bytes();
    counts.iter().enumerate().for_each(|(index, count)| bytes[5 + 2 * index] = *count);
    bytes
}

#[test]
fn responses_are_never_answered() {
    let Some((lab, upstream, _onward)) = setup() else { return };
    for code in 0..=5 {
        let bytes = Query::new("response.test", types::A).flags(flags::QR | flags::RD | code).bytes();
        assert_eq!(send(&lab, &bytes), None);
    }
    let zone_update = Query::new("response.test", types::SOA).flags(flags::QR | 5 << 11).bytes();
    assert_eq!(send(&lab, &zone_update), None);
    assert_eq!(upstream.count("response.test"), 0);
}

#[test]
fn other_operations_are_not_implemented() {
    let Some((lab, _upstream, _onward)) = setup() else { return };
    // IQUERY, STATUS, NOTIFY, UPDATE, DSO, and one without a name.
    for operation in [1, 2, 4, 5, 6, 15] {
        let query = Query::new("operation.test", types::SOA).flags(operation << 11);
        let answer = send(&lab, &query.bytes()).unwrap_or_else(|| panic!("an answer to operation {operation}"));
        assert_eq!(answer.0[3] & 0xf, 4, "NOTIMP to operation {operation}: {answer:?}");
        assert_eq!(answer.id(), 0x1234);
        assert_eq!(answer.0[2] >> 3 & 0xf, u8::try_from(operation).unwrap(), "the operation is copied");
    }
}

#[test]
fn malformed_queries_get_formerr() {
    let Some((lab, _upstream, _onward)) = setup() else { return };
    let whole = Query::new("malformed.test", types::A).bytes();
    let mut two_opts = Query::new("malformed.test", types::A).edns(1232).bytes();
    let opt = two_opts[two_opts.len() - 11..].to_vec();
    two_opts.extend(opt);
    two_opts[11] = 2;
    let cases: [(&str, Vec<u8>); 5] = [
        ("two questions", with_counts([2, 0, 0, 0])),
        ("no question", with_counts([0, 0, 0, 0])[..12].to_vec()),
        ("a question cut short", whole[..whole.len() - 3].to_vec()),
        ("a record that is not there", with_counts([1, 0, 0, 1])),
        ("two OPT records (RFC 6891 section 6.1.1)", two_opts),
    ];
    for (what, bytes) in cases {
        let answer = send(&lab, &bytes).unwrap_or_else(|| panic!("an answer to {what}"));
        assert_eq!(answer.0[3] & 0xf, 1, "FORMERR to {what}: {answer:?}");
        assert_eq!(answer.id(), 0x1234, "{what}");
    }
}

#[test]
fn a_name_that_points_at_itself_ends_nothing() {
    let Some((lab, _upstream, mut onward)) = setup() else { return };
    let mut bytes = Query::new("", types::A).bytes()[..12].to_vec();
    bytes.extend([0xc0, 12, 0, 1, 0, 1]);
    if let Some(answer) = send(&lab, &bytes) {
        assert_eq!(u16::from(answer.0[3] & 0xf), rcode::FORMERR);
    }
    assert_eq!(onward.ended(), None);
    assert_eq!(lab.client().addresses("alive.test").len(), 1);
}

#[test]
fn less_than_a_header_gets_silence() {
    let Some((lab, _upstream, _onward)) = setup() else { return };
    let query = Query::new("short.test", types::A).bytes();
    for length in [0, 1, 11] {
        assert_eq!(send(&lab, &query[..length]), None);
    }
}

#[test]
fn garbage_ends_nothing() {
    let Some((lab, _upstream, mut onward)) = setup() else { return };
    let client = lab.client();
    let socket = client.socket();
    for bytes in Garbage::default().take(2000) {
        socket.send(&bytes).unwrap();
    }
    let mut stream = client.connect();
    stream.send(&[0xff; 40]);
    drop(stream);
    assert_eq!(client.addresses("alive.test").len(), 1);
    assert_eq!(onward.ended(), None, "{}", onward.output());
}
