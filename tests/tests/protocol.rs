//! What Knot says, Onward says: each answer is asked of Knot itself and through Onward, and compared to the last byte.
//! Only the header's AA and RA, the ID and the OPT record are Onward's own.

use onward_tests::dns::{Answer, Client, rcode};
use onward_tests::lab::{Lab, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, flags, types};
use onward_tests::{onward, servers};

/// A lab with Knot as the only upstream of Onward.
struct Pair {
    lab: Lab,
    _knot: Process,
    _onward: Process,
}

impl Pair {
    fn new() -> Option<Self> {
        let lab = Lab::new()?;
        let knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
        let onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
        Some(Self { lab, _knot: knot, _onward: onward })
    }

    /// The client that asks Knot itself.
    fn direct(&self) -> Client<'_> {
        Client::new(self.lab.node.net(), UPSTREAMS[0].parse().unwrap())
    }

    /// Asks both over UDP and holds one answer against the other.
    fn compare(&self, query: &Query) -> Answer {
        let (direct, through) = (self.direct().udp(query), self.lab.client().udp(query));
        assert_same(query, &direct, &through);
        through
    }
}

fn assert_same(query: &Query, direct: &Answer, through: &Answer) {
    assert_eq!(direct.rcode(), through.rcode(), "response code of {query:?}");
    assert_eq!(direct.has(flags::TC), through.has(flags::TC), "TC of {query:?}");
    assert_eq!(direct.opt().is_some(), through.opt().is_some(), "OPT of {query:?}");
    assert!(through.has(flags::RA), "RA of {query:?}");
    assert_eq!(direct.id(), through.id(), "ID of {query:?}");
    assert_eq!(direct.body(), through.body(), "the body of the answer to {query:?}");
}

/// Each type of the odd zone, by its name there.
const RECORDS: [(&str, u16); 25] = [
    ("odd.example", types::SOA),
    ("odd.example", types::NS),
    ("www.odd.example", types::A),
    ("www.odd.example", types::AAAA),
    ("many.odd.example", types::A),
    ("mail.odd.example", types::MX),
    ("_dns._udp.odd.example", types::SRV),
    ("private.odd.example", types::PRIVATE),
    ("empty.odd.example", 65281),
    ("caa.odd.example", types::CAA),
    ("https.odd.example", types::HTTPS),
    ("svcb.odd.example", types::SVCB),
    ("naptr.odd.example", 35),
    ("uri.odd.example", 256),
    ("loc.odd.example", 29),
    ("who.odd.example", types::TXT),
    ("medium.odd.example", types::TXT),
    ("x.wild.odd.example", types::TXT),
    ("\0bin.odd.example", types::A),
    // A chain to an address, one that ends in "no such type", one that ends in "no such name".
    ("chain.odd.example", types::A),
    ("nodata.odd.example", types::A),
    ("gone.odd.example", types::A),
    ("www.odd.example", types::TXT),
    ("nothing.odd.example", types::A),
    ("nothing.at.all", types::A),
];

#[test]
fn every_type_passes_byte_for_byte() {
    let Some(pair) = Pair::new() else { return };
    for (name, kind) in RECORDS {
        pair.compare(&Query::new(name, kind).edns(1232));
    }
}

#[test]
fn what_is_cached_is_the_same_but_for_its_age() {
    let Some(pair) = Pair::new() else { return };
    for (name, kind) in RECORDS {
        let query = Query::new(name, kind).edns(1232);
        let (first, second) = (pair.lab.client().udp(&query), pair.lab.client().udp(&query));
        assert_eq!(first.rcode(), second.rcode(), "{query:?}");
        for (old, new) in first.records().iter().zip(&second.records()).filter(|(old, _)| old.kind != types::OPT) {
            assert_eq!((&old.name, old.kind, &old.data), (&new.name, new.kind, &new.data));
            assert!(new.ttl <= old.ttl && new.ttl + 5 > old.ttl, "{old:?} {new:?}");
        }
        assert_eq!(first.records().len(), second.records().len(), "{query:?}");
    }
}

#[test]
fn dnssec_records_come_when_asked_for() {
    let Some(pair) = Pair::new() else { return };
    let names = ["www.signed.example", "alias.signed.example", "x.wild.signed.example", "nothing.signed.example"];
    for name in names {
        let with = pair.compare(&Query::new(name, types::A).dnssec_ok());
        assert!(with.records().iter().any(|record| record.kind == types::RRSIG), "{with:?}");
        let without = pair.compare(&Query::new(name, types::A).edns(1232));
        assert!(without.records().iter().all(|record| record.kind != types::RRSIG), "{without:?}");
    }
    for kind in [types::DNSKEY, types::DS, types::TXT] {
        pair.compare(&Query::new("signed.example", kind).dnssec_ok());
    }
    let ok = pair.lab.client().udp(&Query::new("www.signed.example", types::A).dnssec_ok());
    assert_eq!(ok.opt().unwrap().ttl & 0x8000, 0x8000, "DO is given back (RFC 3225)");
}

#[test]
fn opt_comes_when_asked_for() {
    let Some(pair) = Pair::new() else { return };
    let client = pair.lab.client();
    for _ in ["a miss", "a hit"] {
        let plain = client.udp(&Query::new("www.odd.example", types::A));
        assert!(plain.opt().is_none(), "{plain:?}");
        let opt = client.udp(&Query::new("www.odd.example", types::A).edns(4096)).opt().expect("an OPT record");
        assert_eq!((opt.class, opt.ttl), (1232, 0), "the payload size, no extended code, version 0, no flags");
    }
    let newer = client.udp(&Query::new("www.odd.example", types::A).edns_version(1));
    assert_eq!(newer.rcode(), rcode::BADVERS);
    assert!(newer.answers().is_empty());
}

#[test]
fn answers_fit_the_size_that_the_client_bears() {
    let Some(pair) = Pair::new() else { return };
    let client = pair.lab.client();
    for _ in ["a miss", "a hit"] {
        let medium = Query::new("medium.odd.example", types::TXT);
        let plain = client.udp(&medium);
        assert!(plain.has(flags::TC) && plain.0.len() <= 512, "{} bytes", plain.0.len());
        assert_eq!(plain.rcode(), rcode::NOERROR);
        assert_eq!(client.udp(&medium.clone().edns(1232)).answers().len(), 4);
        assert_eq!(client.tcp(&medium).answers().len(), 4);

        let long = Query::new("long.odd.example", types::TXT).edns(65_000);
        let cut = client.udp(&long);
        assert!(cut.has(flags::TC) && cut.0.len() <= 1232, "{} bytes", cut.0.len());
        let whole = client.tcp(&long);
        assert!(!whole.has(flags::TC));
        assert_eq!(whole.body(), pair.direct().tcp(&long).body());
    }
}

#[test]
fn the_spelling_of_the_client_is_kept() {
    let Some(pair) = Pair::new() else { return };
    for spelling in ["WwW.oDd.eXaMpLe", "www.odd.example", "WWW.ODD.EXAMPLE", "nOtHiNg.OdD.example"] {
        let answer = pair.lab.client().udp(&Query::new(spelling, types::A).edns(1232));
        assert_eq!(answer.asked(), spelling);
        assert!(answer.answers().iter().all(|record| record.name == spelling), "{answer:?}");
    }
}

#[test]
fn without_recursion_only_the_cache_answers() {
    let Some(pair) = Pair::new() else { return };
    let client = pair.lab.client();
    let query = Query::new("www.odd.example", types::A);
    assert_eq!(client.udp(&query.clone().flags(0)).rcode(), rcode::REFUSED);
    assert_eq!(client.udp(&query).addresses().len(), 1);
    let cached = client.udp(&query.flags(0));
    assert_eq!((cached.rcode(), cached.addresses().len()), (rcode::NOERROR, 1));
    assert!(!cached.has(flags::RD), "RD is copied from the query (RFC 1035 section 4.1.1)");
}

#[test]
fn transfers_are_refused() {
    let Some(pair) = Pair::new() else { return };
    let direct = pair.direct().tcp(&Query::new("odd.example", types::AXFR));
    assert!(direct.answers().len() > 10, "Knot itself would give the zone away");
    for kind in [types::AXFR, types::IXFR] {
        let answer = pair.lab.client().tcp(&Query::new("odd.example", kind));
        assert_eq!((answer.rcode(), answer.answers().len()), (rcode::REFUSED, 0), "type {kind} over TCP");
        let answer = pair.lab.client().udp(&Query::new("odd.example", kind));
        assert_eq!((answer.rcode(), answer.answers().len()), (rcode::REFUSED, 0), "type {kind} over UDP");
    }
}

#[test]
fn validation_of_the_upstream_comes_through() {
    let Some(lab) = Lab::new() else { return };
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let _unbound = servers::unbound(&lab.upstream, UPSTREAMS[1], UPSTREAMS[0]);
    let _onward = onward::with_upstreams(&lab, &[UPSTREAMS[1]]);
    let client = lab.client();

    let good = Query::new("www.signed.example", types::A);
    assert!(client.udp(&good.clone().dnssec_ok()).has(flags::AD), "DO asks for AD (RFC 6840 section 5.7)");
    assert!(client.udp(&good.clone().flags(flags::RD | flags::AD)).has(flags::AD), "AD asks for AD");
    assert!(!client.udp(&good).has(flags::AD), "who asks for neither does not get AD (RFC 6840 section 5.8)");

    // With CD the data come, unchecked; that must never reach one who wants them checked (RFC 4035 section 4.7).
    let bad = Query::new("www.odd.example", types::A).edns(1232);
    for _ in ["a miss", "a hit"] {
        let unchecked = client.udp(&bad.clone().flags(flags::RD | flags::CD));
        assert_eq!((unchecked.rcode(), unchecked.addresses().len()), (rcode::NOERROR, 1));
        assert!(unchecked.has(flags::CD), "CD is copied (RFC 4035 section 3.2.2)");
        let checked = client.udp(&bad);
        assert_eq!((checked.rcode(), checked.addresses().len()), (rcode::SERVFAIL, 0));
    }
}
