//! TCP from clients and to upstreams, and what upstreams send that few programs could parse: a script plays the
//! upstream.

use std::time::Instant;

use onward_tests::dns::rcode;
use onward_tests::lab::{Lab, NODE_IP, UPSTREAMS};
use onward_tests::netns::Namespace;
use onward_tests::process::Process;
use onward_tests::query::{Query, flags, types};
use onward_tests::upstream::{Reply, Scripted, Seen, Transport, record};
use onward_tests::{onward, wait};

fn setup(script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static) -> Option<(Lab, Scripted, Process)> {
    let lab = Lab::new()?;
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    Some((lab, upstream, onward))
}

/// `slow…` takes 400 ms, all else is answered at once.
fn slow_or_fast(seen: &Seen) -> Vec<Reply> {
    let delay = if seen.name().starts_with("slow") { wait::millis(400) } else { wait::millis(0) };
    Reply::after(delay, seen.address([192, 0, 2, 1], 60))
}

#[test]
fn pipelined_queries_are_answered_out_of_order() {
    let Some((lab, _upstream, _onward)) = setup(slow_or_fast) else { return };
    let mut stream = lab.client().connect();
    stream.send(&Query::new("slow.test", types::A).id(1).bytes());
    stream.send(&Query::new("fast.test", types::A).id(2).bytes());
    let ids: Vec<u16> = (0..2).filter_map(|_| stream.receive()).map(|answer| answer.id()).collect();
    assert_eq!(ids, [2, 1], "RFC 7766 section 7: a slow answer holds up no other");
}

#[test]
fn many_connections_and_silent_ones() {
    let Some((lab, _upstream, _onward)) = setup(slow_or_fast) else { return };
    let client = lab.client();
    // Some say nothing, some half a message; neither keeps the others waiting.
    let silent: Vec<_> = (0..40).map(|_| client.connect()).collect();
    for stream in silent.iter().take(20) {
        use std::io::Write;
        (&stream.0).write_all(&[0, 40, 1]).unwrap();
    }
    let begun = Instant::now();
    for number in 0..40 {
        let answer = client.tcp(&Query::new(&format!("name{number}.test"), types::A));
        assert_eq!(answer.addresses().len(), 1);
    }
    assert!(begun.elapsed() < wait::seconds(3), "{:?}", begun.elapsed());
}

#[test]
fn truncated_answers_are_asked_again_over_tcp_and_never_kept() {
    let script = |seen: &Seen| match seen.transport {
        Transport::Udp => Reply::now(seen.header(flags::TC, [0, 0, 0])),
        Transport::Tcp => Reply::now(seen.address([192, 0, 2, 7], 60)),
    };
    let Some((lab, upstream, _onward)) = setup(script) else { return };
    let answer = lab.client().tcp(&Query::new("cut.test", types::A));
    assert_eq!((answer.has(flags::TC), answer.addresses().len()), (false, 1));
    let small = lab.client().udp(&Query::new("cut.test", types::A));
    assert_eq!((small.has(flags::TC), small.addresses().len()), (false, 1), "the whole answer is in the cache");
    assert!(upstream.seen("cut.test").iter().any(|seen| seen.transport == Transport::Tcp));

    let answer = lab.client().udp(&Query::new("other.test", types::A));
    assert!(answer.has(flags::TC) || answer.addresses().len() == 1, "{answer:?}");
    assert_eq!(lab.client().tcp(&Query::new("other.test", types::A)).addresses().len(), 1);
}

/// `limits.udp_payload`, told to both sides (RFC 6891, section 6.2.3), also in answers that Onward makes itself.
#[test]
fn the_largest_message_over_udp_is_as_configured() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| Reply::now(seen.address([192, 0, 2, 8], 60));
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    lab.node.write(onward::CONFIGURATION, "[limits]\nudp_payload = 700\n");
    let _onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let client = lab.client();
    let query = Query::new("www.odd.example", types::A);
    let made_here = query.clone().edns_version(1);
    for query in [query.edns(4096), made_here] {
        assert_eq!(client.udp(&query).opt().expect("an OPT record").class, 700, "{query:?}");
    }
    let asked = &upstream.seen("www.odd.example")[0].query.0;
    let opt = asked.windows(5).find(|five| five[..3] == [0, 0, 41]).expect("an OPT record");
    assert_eq!(opt[3..], 700_u16.to_be_bytes());
}

#[test]
fn a_client_over_tcp_is_answered_by_an_upstream_over_udp() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| Reply::now(seen.address([192, 0, 2, 1], 60));
    let upstream = Scripted::udp_only(lab.upstream.net(), Lab::upstream_address(0), script);
    let _onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    assert_eq!(lab.client().tcp(&Query::new("udp-only.test", types::A)).addresses().len(), 1);
    assert!(upstream.count("udp-only.test") >= 1);
}

#[test]
fn parameters_out_of_order_pass_unread() {
    // HTTPS parameters must ascend (RFC 9460 section 2.2); here port (3) stands before alpn (1).
    const DATA: [u8; 16] = [0, 1, 0, 0, 3, 0, 2, 0x20, 0xfb, 0, 1, 0, 3, 2, b'h', b'2'];
    let script = |seen: &Seen| Reply::now(seen.record(types::HTTPS, 60, &DATA));
    let Some((lab, _upstream, _onward)) = setup(script) else { return };
    for _ in ["a miss", "a hit"] {
        let over_udp = lab.client().udp(&Query::new("https.test", types::HTTPS));
        assert_eq!(over_udp.answers()[0].data, DATA);
        let over_tcp = lab.client().tcp(&Query::new("https.test", types::HTTPS));
        assert_eq!(over_tcp.answers()[0].data, DATA);
    }
}

#[test]
fn other_classes_pass() {
    const CHAOS: u16 = 3;
    let script = |seen: &Seen| {
        let mut message = seen.header(0, [1, 0, 0]);
        let mut answer = record(&[0xc0, 12], types::TXT, 0, b"\x04knot");
        answer[4..6].copy_from_slice(&CHAOS.to_be_bytes());
        message.extend(answer);
        Reply::now(message)
    };
    let Some((lab, upstream, _onward)) = setup(script) else { return };
    let answer = lab.client().udp(&Query::new("version.bind", types::TXT).class(CHAOS));
    assert_eq!((answer.texts(), answer.answers()[0].class), (vec!["knot".to_owned()], CHAOS));
    assert!(upstream.count("version.bind") >= 1);
}

#[test]
fn options_of_the_client_stay_here() {
    let script = |seen: &Seen| Reply::now(seen.address([192, 0, 2, 1], 60));
    let Some((lab, upstream, _onward)) = setup(script) else { return };
    // Client subnet, cookie, padding, and the whole of one that nobody knows.
    let options = [(8, &b"\0\x01\x18\0\xc0\0\x02"[..]), (10, b"12345678"), (12, b"\0\0\0\0"), (20, b"x")];
    let query =
        options.iter().fold(Query::new("options.test", types::A), |query, (code, data)| query.option(*code, data));
    assert_eq!(lab.client().udp(&query).rcode(), rcode::NOERROR);
    let seen = upstream.seen("options.test");
    assert!(!seen.is_empty());
    for code in seen.iter().flat_map(sent_options) {
        assert!(options.iter().all(|(own, _)| *own != code), "option {code} was passed on");
    }
}

/// The codes of the EDNS options in a query: its OPT record is the last thing in it.
fn sent_options(seen: &Seen) -> Vec<u16> {
    let mut as_answer = seen.query.clone();
    as_answer.0[2] |= 0x80;
    as_answer.options().into_iter().map(|(code, _)| code).collect()
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| Reply::now(seen.address([192, 0, 2, 1], 60));
    let _upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    lab.node.net().address("eth0", "10.99.0.2/24");
    let _onward = onward::start(
        &lab.node,
        "10.99.0.1",
        &["--listen", "10.99.0.1", "--listen", "10.99.0.2", "--upstream", UPSTREAMS[0]],
    );
    let asker: &Namespace = lab.pod.net();
    for address in [NODE_IP, "10.99.0.2".parse().unwrap()] {
        // The client's socket is connected: an answer from elsewhere does not reach it.
        let client = onward_tests::dns::Client::new(asker, address);
        assert_eq!(client.addresses("from.test").len(), 1, "{address}");
    }
}
