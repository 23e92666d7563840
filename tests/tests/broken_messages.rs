//! Messages of upstreams that do not parse as a whole, or hold what the protocol has no place for: what the header says
//! holds, a client gets what it can use, and never a "no" that nobody said (issue 11, group D, 11 to 13).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use onward_tests::dns::{Answer, rcode};
use onward_tests::hops;
use onward_tests::host::Host;
use onward_tests::node::{self, Node, OTHER, PRIVATE, address};
use onward_tests::query::{Query, flags, types};
use onward_tests::realistic::{Manner, Realistic, Switch, both, names, over_tcp};
use onward_tests::upstream::{Scripted, Seen};
use onward_tests::wait;

/// No question may wait for a timeout: the shortest of them is 400 ms.
const AT_ONCE: Duration = wait::millis(350);

fn good(host: &Host) -> Scripted {
    Realistic::knowing("", 2).start(host.net(), hops::port(OTHER))
}

#[test]
fn a_response_cut_in_the_middle_of_a_record_is_asked_again_over_tcp() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1)
        .when(names(&["name.example"]), Manner::Makes(|seen| cut(seen, 1)))
        .when(names(&["data.example"]), Manner::Makes(|seen| cut(seen, 14)))
        .when(names(&["none.example"]), Manner::Makes(|seen| cut(seen, 0)))
        .when(names(&["last.example"]), Manner::CutsInARecord);
    let _server = server.start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    for zone in ["last.example", "name.example", "data.example", "none.example"] {
        let (answer, took) = node.ask(&format!("www.{zone}"));
        assert_eq!((answer.rcode(), answer.addresses()), (rcode::NOERROR, vec![address(1)]), "{zone} after {took:?}");
        assert!(took < AT_ONCE, "{zone}: {took:?}");
        let answer = node.client().tcp(&Query::new(&format!("tcp.{zone}"), types::A));
        assert_eq!(answer.addresses(), [address(1)], "{zone} over TCP");
    }
}

/// TC=1 and an answer that ends `after` bytes of its record; over TCP the whole one.
fn cut(seen: &Seen, after: usize) -> Vec<u8> {
    let mut message = seen.address([192, 0, 2, 1], 60);
    if !over_tcp(seen) {
        message[2] |= flags::TC.to_be_bytes()[0];
        let record = message.len() - 16;
        message.truncate(record + after);
    }
    message
}

/// Without TC it is no answer: the question is not over, and nothing of it is passed on.
#[test]
fn a_response_cut_without_saying_so_is_not_passed_on() {
    let Some(host) = node::host() else { return };
    let broken = |seen: &Seen| {
        let mut message = seen.address([192, 0, 2, 1], 60);
        message.truncate(message.len() - 3);
        message
    };
    let _server = Realistic::knowing("", 1).always(Manner::Makes(broken)).start(host.net(), hops::port(PRIVATE));
    let _good = good(&host);
    let node = Node::start(&host, &[PRIVATE, OTHER], "");
    assert_eq!(node.ask("www.cut.example").0.addresses(), [address(2)]);
}

#[test]
fn an_error_that_is_a_header_alone_sends_the_question_on() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1)
        .when(names(&["servfail.example"]), Manner::HeaderOnly(rcode::SERVFAIL))
        .when(names(&["refused.example"]), Manner::HeaderOnly(rcode::REFUSED))
        .when(names(&["notimp.example"]), Manner::HeaderOnly(rcode::NOTIMP))
        .when(names(&["formerr.example"]), Manner::HeaderOnly(rcode::FORMERR));
    let _server = server.start(host.net(), hops::port(PRIVATE));
    let _good = good(&host);
    let node = Node::start(&host, &[PRIVATE, OTHER], "");
    for zone in ["servfail.example", "refused.example", "notimp.example", "formerr.example"] {
        for number in 0..4 {
            let (answer, took) = node.ask(&format!("www{number}.{zone}"));
            assert_eq!(answer.addresses(), [address(2)], "{zone}: rcode {} after {took:?}", answer.rcode());
            assert!(took < AT_ONCE, "{zone}: {took:?}");
        }
    }
    assert_eq!(node.ask("www.other.example").0.addresses(), [address(1)], "it is no less alive");
}

#[test]
fn an_error_that_is_a_header_alone_is_told_at_once_where_no_other_server_is() {
    let Some(host) = node::host() else { return };
    let codes = [rcode::SERVFAIL, rcode::REFUSED, rcode::NOTIMP, rcode::FORMERR];
    let server = Realistic::knowing("", 1)
        .when(names(&["code2.example"]), Manner::HeaderOnly(rcode::SERVFAIL))
        .when(names(&["code5.example"]), Manner::HeaderOnly(rcode::REFUSED))
        .when(names(&["code4.example"]), Manner::HeaderOnly(rcode::NOTIMP))
        .when(names(&["code1.example"]), Manner::HeaderOnly(rcode::FORMERR));
    let _server = server.start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    for code in codes {
        for query in [
            Query::new(&format!("udp.code{code}.example"), types::A).edns(1232),
            Query::new(&format!("plain.code{code}.example"), types::A),
        ] {
            let begun = std::time::Instant::now();
            let answer = node.client().udp(&query);
            let took = begun.elapsed();
            assert!(
                answer.rcode() != rcode::NOERROR && answer.rcode() != rcode::NXDOMAIN,
                "{query:?}: {}",
                answer.rcode()
            );
            assert_eq!(answer.question(), Answer(query.bytes()).question(), "a whole message with its question");
            assert!(took < AT_ONCE, "{query:?}: {took:?}");
        }
    }
}

/// From whoever does not know the ID it says nothing, as any other message.
#[test]
fn a_header_alone_with_another_id_is_no_answer() {
    let Some(host) = node::host() else { return };
    let forged = |seen: &Seen| {
        let mut message = seen.code(rcode::REFUSED);
        message.truncate(12);
        (message[0], message[5]) = (!message[0], 0);
        message
    };
    let server = Scripted::start(host.net(), hops::port(PRIVATE), move |seen| {
        use onward_tests::upstream::Reply;
        [Reply::now(forged(seen)), Reply::after(wait::millis(20), hops::answer(seen, 1))].concat()
    });
    let node = Node::start(&host, &[PRIVATE], "");
    for number in 0..5 {
        assert_eq!(node.ask(&format!("www{number}.forged.example")).0.addresses(), [address(1)]);
    }
    assert!(server.count("www0.forged.example") > 0);
}

#[test]
fn a_header_alone_to_edns_teaches_that_edns_is_not_borne() {
    std::thread::scope(|scope| {
        for (code, from_the_start) in
            [rcode::FORMERR, rcode::NOTIMP].into_iter().flat_map(|code| [(code, true), (code, false)])
        {
            scope.spawn(move || {
                let Some(host) = node::host() else { return };
                let old = Switch::off();
                old.turn(from_the_start);
                let server = Realistic::knowing("", 1).when(both(Seen::has_opt, old.is_on()), Manner::HeaderOnly(code));
                let server = server.start(host.net(), hops::port(PRIVATE));
                let node = Node::start(&host, &[PRIVATE], "");
                assert_eq!(node.ask("first.old.example").0.addresses(), [address(1)]);
                old.turn(true);
                for number in 0..20 {
                    let (answer, took) = node.ask(&format!("www{number}.old.example"));
                    let label = format!("{code}, from the start {from_the_start}, {number}: after {took:?}");
                    assert_eq!(answer.addresses(), [address(1)], "{label}: rcode {}", answer.rcode());
                    assert!(took < AT_ONCE, "{label}");
                }
                let once = (15..20).all(|number| server.count(&format!("www{number}.old.example")) == 1);
                assert!(once, "{code}, from the start {from_the_start}: it is learnt, so each question is asked once");
            });
        }
    });
}

/// A client's OPT record is one, and in its place (RFC 6891, section 6.1.1).
fn assert_opt(answer: &Answer, edns: bool, label: &str) {
    let all = answer.records();
    let opts = all.iter().filter(|record| record.kind == types::OPT).count();
    assert_eq!(opts, usize::from(edns), "{label}: OPT records in {answer:?}");
    let among = answer.answers().iter().chain(&answer.authority()).any(|record| record.kind == types::OPT);
    assert!(!among, "{label}: OPT is not in the additional section");
}

#[test]
fn an_opt_record_in_the_answer_section_makes_no_name_vanish() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1).when(|seen| !seen.is_probe(), Manner::OptAmongAnswers);
    let _server = server.start(host.net(), hops::port(PRIVATE));
    let _good = good(&host);
    let node = Node::start(&host, &[PRIVATE, OTHER], "");
    for edns in [true, false] {
        for round in ["a miss", "a hit"] {
            let query = Query::new(&format!("{edns}.odd.example"), types::A);
            let answer = node.client().udp(&if edns { query.edns(1232) } else { query });
            assert_eq!(
                (answer.rcode(), answer.addresses().len()),
                (rcode::NOERROR, 1),
                "{round}, EDNS {edns}: {answer:?}"
            );
            assert_opt(&answer, edns, round);
        }
    }
}

#[test]
fn records_behind_an_opt_record_stay_and_the_opt_record_goes() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1).always(Manner::RecordBehindOpt).start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    for edns in [true, false] {
        for round in ["a miss", "a hit"] {
            let query = Query::new(&format!("{edns}.odd.example"), types::A);
            let answer = node.client().udp(&if edns { query.edns(1232) } else { query });
            assert_eq!(answer.addresses(), [address(1)], "{round}, EDNS {edns}: {answer:?}");
            assert_opt(&answer, edns, round);
            let behind = answer.records().iter().filter(|record| record.name == "behind.example").count();
            assert_eq!(behind, 1, "{round}, EDNS {edns}: the record that stood behind it: {answer:?}");
        }
    }
    assert!(server.seen("true.odd.example")[0].has_opt());
}

#[test]
fn an_extended_error_is_neither_no_error_nor_no_name() {
    // BADVERS, and codes whose lower bits are those of SERVFAIL, NXDOMAIN and REFUSED.
    for code in [16, 18, 19, 21, 23, 0x0ff0, 0x0ff3] {
        let Some(host) = node::host() else { return };
        let odd = |code| {
            Realistic::knowing("", 1).when(|seen| !seen.is_probe() && seen.has_opt(), Manner::ExtendedCode(code))
        };
        let _server = odd(code).start(host.net(), hops::port(PRIVATE));
        let _good = good(&host);
        let with_another = Node::start(&host, &[PRIVATE, OTHER], "");
        for number in 0..3 {
            let (answer, took) = with_another.ask(&format!("www{number}.odd.example"));
            assert_eq!(answer.addresses().len(), 1, "{code}: rcode {} after {took:?}", answer.rcode());
            assert!(took < AT_ONCE, "{code}: {took:?}");
        }
        drop(with_another);
        let alone = Node::start(&host, &[PRIVATE], "");
        for edns in [true, false] {
            let query = Query::new(&format!("{edns}.alone.example"), types::A);
            let answer = alone.client().udp(&if edns { query.edns(1232) } else { query });
            let no = answer.addresses().is_empty() && [rcode::NOERROR, rcode::NXDOMAIN].contains(&answer.rcode());
            assert!(!no, "{code}, EDNS {edns}: a no that nobody said: rcode {}", answer.rcode());
        }
    }
}

/// RFC 2181, section 8, takes it for 0, RFC 8767, section 4, for very much: what clients are told is what is kept.
#[test]
fn a_ttl_with_the_top_bit_is_told_as_it_is_kept() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1)
        .when(names(&["least.example"]), Manner::Ttl(0x8000_0000))
        .when(names(&["most.example"]), Manner::Ttl(0xffff_ffff))
        .when(names(&["some.example"]), Manner::Ttl(0x8000_003c));
    let server = server.start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    for name in ["www.least.example", "www.most.example", "www.some.example"] {
        let told: Vec<u32> = (0..3).map(|_| node.ask(name).0.answers()[0].ttl).collect();
        let asked = server.count(name);
        assert!(told.iter().all(|ttl| *ttl <= 7 * 86_400), "{name}: told {told:?}");
        assert_eq!(told[0] > 0, asked == 1, "{name}: told {told:?}, and asked {asked} times");
    }
}

#[test]
fn formerr_to_a_query_without_a_question_has_an_opt_if_the_query_had() {
    let Some(host) = node::host() else { return };
    let _server = Realistic::knowing("", 1).start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    for edns in [true, false] {
        let mut query = vec![0x12, 0x34, 1, 0, 0, 0, 0, 0, 0, 0, 0, u8::from(edns)];
        if edns {
            query.extend(onward_tests::messages::OPT);
        }
        let over_udp = node.client().exchange(&query, wait::seconds(2)).expect("an answer");
        let mut stream = node.client().connect();
        stream.send(&query);
        let over_tcp = stream.receive().expect("an answer over TCP");
        for answer in [over_udp, over_tcp] {
            assert_eq!((answer.id(), answer.rcode()), (0x1234, rcode::FORMERR), "EDNS {edns}: {answer:?}");
            assert_eq!(answer.opt().is_some(), edns, "RFC 6891, section 6.1.1: {answer:?}");
        }
    }
}

#[test]
fn the_question_for_designated_resolvers_is_not_forwarded() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1).start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    for name in ["_dns.resolver.arpa", "_DNS.Resolver.ARPA"] {
        for kind in [types::SVCB, types::A, types::HTTPS] {
            for answer in
                [node.client().udp(&Query::new(name, kind).edns(1232)), node.client().tcp(&Query::new(name, kind))]
            {
                let said = (answer.rcode(), answer.answers().len(), answer.asked());
                assert_eq!(said, (rcode::NOERROR, 0, name.to_owned()), "type {kind} (RFC 9462, section 6.1)");
            }
        }
    }
    assert_eq!(server.count("_dns.resolver.arpa"), 0);
}

#[test]
fn names_that_exist_nowhere_else_never_leave_the_node() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1).start(host.net(), hops::port(PRIVATE));
    let node = Node::start(&host, &[PRIVATE], "");
    let ask = |name: &str, kind| {
        let query = Query::new(name, kind).edns(1232).dnssec_ok();
        let [udp, tcp] = [node.client().udp(&query), node.client().tcp(&query)];
        assert_eq!((udp.rcode(), udp.answers()), (tcp.rcode(), tcp.answers()), "{name}: over UDP and TCP");
        assert_eq!(udp.asked(), name, "in the client's own spelling");
        udp
    };
    let records = [
        ("LocalHost", types::A, Ipv4Addr::LOCALHOST.octets().to_vec()),
        ("web.localhost", types::A, Ipv4Addr::LOCALHOST.octets().to_vec()),
        ("localhost", types::AAAA, Ipv6Addr::LOCALHOST.octets().to_vec()),
        ("1.0.0.127.in-addr.arpa", types::PTR, b"\x09localhost\0".to_vec()),
    ];
    for (name, kind, data) in records {
        let answers = ask(name, kind).answers();
        let told: Vec<_> = answers.iter().map(|it| (it.name.as_str(), it.kind, it.ttl, &it.data)).collect();
        assert_eq!(told, [(name, kind, 3600, &data)]);
    }
    for (name, kind) in [("localhost", types::HTTPS), ("127.in-addr.arpa", types::NS), ("127.in-addr.arpa", types::SOA)]
    {
        let answer = ask(name, kind);
        assert_eq!((answer.rcode(), answer.answers().len()), (rcode::NOERROR, 0), "{name}: {answer:?}");
    }
    for name in ["a.invalid", "www.Example.ONION", "9.0.0.127.in-addr.arpa", "1.2.0.192.in-addr.arpa"] {
        assert_eq!(ask(name, types::A).rcode(), rcode::NXDOMAIN, "{name}");
    }
    assert!(server.all().iter().all(Seen::is_probe), "nothing of it was forwarded: {:?}", server.all());
    // What only looks alike, or is known in the network of the node.
    for name in ["localhost.example", "1.0.0.10.in-addr.arpa", "router.home.arpa", "254.169.254.169.in-addr.arpa"] {
        ask(name, types::A);
        assert!(server.count(name) > 0, "{name} is forwarded");
    }
}
