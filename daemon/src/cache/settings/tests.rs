//! Whatever configuration `onward check` accepts, any response can be kept and served with it.

use std::ffi::OsString;
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::cache::{Cache, CachedResponse, Freshness, Limits, Origin, Seconds};
use crate::config::{self, Overrides, Roots, Settings};
use crate::respond::{Age, Ede, LocalResponse, ResponseParams, local, write_cached};
use crate::upstream::{Transport, UpstreamId};
use crate::wire::{HEADER, Query, QuestionKey, Response, rcode, rtype, u32_at};

/// Responses served with each configuration.
const RESPONSES: usize = 1_000;

/// Bounds of the durations that have any, in seconds.
const DURATIONS: [(&str, u64, u64); 5] = [
    ("CACHE__TTL_MIN", 0, 3_600),
    ("CACHE__TTL_MAX", 60, 604_800),
    ("CACHE__NEGATIVE_TTL_MAX", 0, 86_400),
    ("CACHE__FAILURE_TTL", 1, 300),
    ("CACHE__STALE_MAX", 0, 604_800),
];

/// What the environment sets: each option alone is as the schema wants it, what fits what is left to chance.
fn environment(rng: &mut StdRng) -> Vec<(OsString, OsString)> {
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| variables.push((format!("ONWARD_{name}").into(), value.into()));
    for (name, least, most) in DURATIONS {
        let near = (least + 120).min(most);
        match rng.random_range(0..6) {
            0 => set(name, format!("{least}s")),
            1 => set(name, format!("{most}s")),
            2 => set(name, format!("{}ms", rng.random_range(least * 1_000..=near * 1_000))),
            3 => set(name, format!("{}s", rng.random_range(least..=most))),
            _ => {}
        }
    }
    if rng.random() {
        set("CACHE__MAX_BYTES", format!("{}KiB", rng.random_range(1_024..8_192)));
        set("CACHE__MAX_ENTRIES", rng.random_range(1_000..5_000).to_string());
    }
    set("LIMITS__UDP_PAYLOAD", rng.random_range(512..=4_096).to_string());
    set("CACHE__PREFETCH", rng.random::<bool>().to_string());
    variables
}

/// What `onward check` makes of an environment.
fn accepted(environment: Vec<(OsString, OsString)>) -> Option<Settings> {
    let roots = Roots { vendor: "/nonexistent".into(), etc: "/nonexistent".into() };
    config::load_from(&roots, environment, &Overrides::default()).ok().map(|loaded| loaded.settings)
}

fn odd_ttl(rng: &mut StdRng) -> u32 {
    match rng.random_range(0..5) {
        0 => 0,
        1 => rng.random_range(1..60),
        2 => rng.random_range(0x7fff_fff0..=u32::MAX),
        3 => rng.random_range(60..700_000),
        _ => rng.random(),
    }
}

/// A query for one of a few names, with or without an OPT.
fn query(rng: &mut StdRng) -> Vec<u8> {
    let opt = rng.random::<bool>();
    let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(opt), 1, b'a' + rng.random_range(0..20)];
    packet.extend(b"\x07eXample\0\0\x01\0\x01");
    if opt {
        packet.extend([0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
    }
    packet
}

/// Adds a record; an SOA, too, is about the name of the question.
fn add_record(message: &mut Vec<u8>, rtype: u16, rng: &mut StdRng) {
    message.extend([0xc0, 12]);
    message.extend(rtype.to_be_bytes());
    message.extend([0, 1]);
    message.extend(odd_ttl(rng).to_be_bytes());
    let data = match rtype {
        rtype::SOA => [vec![0; 18], odd_ttl(rng).to_be_bytes().to_vec()].concat(),
        _ => vec![7; [4, 4, 4, 40, 1_400][rng.random_range(0..5)]],
    };
    message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    message.extend(data);
}

/// A response to `question`: positive, NXDOMAIN, NODATA, an error, cut or not, with EDE or without, with bytes that no
/// server would send.
fn response(question: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let code = [0, 0, 0, rcode::NXDOMAIN, rcode::NXDOMAIN, rcode::SERVFAIL, 5, rng.random_range(0..16)];
    let cut = u8::from(rng.random_ratio(1, 20)) << 1;
    let [answers, authority, opt] = [rng.random_range(0..4), rng.random_range(0..3), rng.random_range(0..2)];
    let mut message = vec![0, 1, 0x81 | cut, 0x80 | code[rng.random_range(0..code.len())]];
    message.extend([0, 1, 0, answers, 0, authority, 0, opt]);
    message.extend(question);
    (0..answers).for_each(|_| add_record(&mut message, [1, 1, 5][rng.random_range(0..3)], rng));
    (0..authority).for_each(|_| add_record(&mut message, [rtype::SOA, rtype::SOA, 2][rng.random_range(0..3)], rng));
    if opt > 0 {
        let extended = u8::from(rng.random_ratio(1, 10));
        message.extend([0, 0, 41, 4, 208, extended, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, rng.random_range(0..30)]);
    }
    if rng.random_ratio(1, 10) {
        let at = rng.random_range(HEADER + question.len() - 1..message.len());
        message[at] = rng.random();
    }
    message
}

/// The TTLs of a response to a client.
fn ttls(response: &[u8], question_end: usize) -> Vec<u32> {
    let read = Response::read(response, question_end).unwrap();
    read.ttls().iter().map(|at| u32_at(response, question_end + usize::from(*at)).unwrap()).collect()
}

/// Has a thousand responses kept and served, and looks at what clients get.
fn serve(settings: &Settings, rng: &mut StdRng) {
    let cache = Cache::new((&settings.cache).into());
    let payload = settings.limits.udp_payload;
    let (mut now, mut out) = (Seconds(0), Vec::new());
    for _ in 0..RESPONSES {
        now = Seconds(now.0.saturating_add(rng.random_range(0..20)));
        let packet = query(rng);
        let mut query = Query::default();
        query.read(&packet).unwrap();
        let (wants, end) = (ResponseParams::new(&query, payload, Transport::Udp), query.question_end());
        let mut give = |block: &CachedResponse, age: Age| {
            write_cached(&packet[..end], wants, block, age, &mut out);
            assert!(out.len() <= wants.room);
            let most = Limits::from(&settings.cache).ttl.apply(u32::MAX).max(30);
            assert!(ttls(&out, end).into_iter().all(|ttl| ttl <= most), "{:?} {out:02x?}", settings.cache);
        };
        cache.get(query.key(), now, |found| match found.freshness {
            Freshness::Fresh | Freshness::Ending => give(found.block, Age::Seconds(found.age)),
            _ => give(found.block, Age::Stale),
        });
        let message = response(&packet[HEADER..end], rng);
        let key = QuestionKey::new(query.key());
        match Response::read(&message, end) {
            Some(answer) => {
                cache
                    .learn(key.bytes(), &answer, Origin { upstream: UpstreamId(0), provisional: None }, now)
                    .iter()
                    .for_each(|kept| give(kept, Age::Seconds(0)));
            }
            None => cache.learn_failure(key.bytes(), rng.random_range(1..=5), now),
        }
        let older = cache.fallback(key.bytes(), now);
        older.iter().for_each(|(block, age)| give(block, age.map_or(Age::Stale, Age::Seconds)));
        local::write(&packet, &LocalResponse::ServFail(Ede::new(Ede::NOT_READY, "x")), payload, &mut out).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_check_accepts_serves_a_thousand_responses_of_any_kind(seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let settings = (0..100).find_map(|_| accepted(environment(&mut rng))).unwrap();
        serve(&settings, &mut rng);
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_and_end_no_process() {
    let variables = [("ONWARD_CACHE__TTL_MIN", "30s"), ("ONWARD_CACHE__NEGATIVE_TTL_MAX", "10s")];
    assert_eq!(accepted(variables.map(|(name, value)| (name.into(), value.into())).into()), None);
    let seconds = Duration::from_secs;
    let mut settings = Settings::default();
    for (ttl_min, ttl_max, negative_ttl_max) in [(30, 86_400, 10), (60, 30, 10_800), (3_600, 60, 0), (0, 60, 86_400)] {
        settings.cache.ttl_min = seconds(ttl_min);
        settings.cache.ttl_max = seconds(ttl_max);
        settings.cache.negative_ttl_max = seconds(negative_ttl_max);
        serve(&settings, &mut StdRng::seed_from_u64(11));
    }
}
