//! What is kept, for how long, and what may replace it.

mod refresh_and_stale;
mod snapshot;

use foldhash::SharedSeed;

use super::*;
use crate::upstream::UpstreamId;
use crate::wire::{Response, rtype};

pub(crate) const LIMITS: Limits = Limits {
    entries: 6400,
    bytes: 1 << 20,
    ttl: TtlBounds::new(0, 86_400),
    negative_ttl: TtlBounds::new(0, 10_800),
    failure_ttl: 5,
    stale_max: 3600,
    prefetch: true,
};
const UPSTREAM: UpstreamId = UpstreamId(1);

fn question(name: &str) -> Vec<u8> {
    let mut q = vec![u8::try_from(name.len()).unwrap()];
    q.extend(name.as_bytes());
    q.extend([0, 0, 1, 0, 1]);
    q
}

fn key(name: &str) -> Vec<u8> {
    [vec![0], question(name)].concat()
}

pub(crate) fn message(name: &str, code: u8, ttl: Option<u32>, size: u16) -> Vec<u8> {
    let mut m = vec![0, 1, 0x81, 0x80 | code, 0, 1, 0, u8::from(ttl.is_some()), 0, 0, 0, 0];
    m.extend(question(name));
    if let Some(ttl) = ttl {
        m.extend([0xc0, 12, 0, 1, 0, 1]);
        m.extend(ttl.to_be_bytes());
        m.extend(size.to_be_bytes());
        m.resize(m.len() + usize::from(size), 7);
    }
    m
}

/// NXDOMAIN or NODATA, with an SOA record whose last field is `minimum`.
fn denial(name: &str, code: u8, minimum: u32) -> Vec<u8> {
    let mut m = message(name, code, None, 0);
    m[9] = 1;
    m.extend([0xc0, 12]);
    m.extend(rtype::SOA.to_be_bytes());
    m.extend([0, 1, 0, 0, 3, 132, 0, 22, 0, 0]);
    m.extend([0; 16]);
    m.extend(minimum.to_be_bytes());
    m
}

fn learn(cache: &Cache, name: &str, m: &[u8], now: u32) -> CachedResponse {
    learn_from(cache, Origin { upstream: UPSTREAM, provisional: None }, name, m, now)
}

pub(crate) fn learn_from(cache: &Cache, origin: Origin, name: &str, m: &[u8], now: u32) -> CachedResponse {
    let end = 12 + question(name).len();
    cache.learn(&key(name), &Response::read(m, end).unwrap(), origin, Seconds(now)).unwrap()
}

pub(crate) fn look(cache: &Cache, name: &str, now: u32) -> Option<(u32, Freshness)> {
    cache.get(&key(name), Seconds(now), |found| (found.age, found.freshness))
}

#[test]
fn an_answer_lives_for_its_ttl_then_is_stale_then_gone() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 10);
    assert_eq!(look(&cache, "a", 10), Some((0, Freshness::Fresh)));
    assert_eq!(look(&cache, "a", 109), Some((99, Freshness::Fresh)));
    assert_eq!(look(&cache, "a", 110), Some((100, Freshness::Stale)));
    assert_eq!(look(&cache, "a", 110 + 3600), None);
    assert_eq!(look(&cache, "b", 10), None);
}

#[test]
fn ttl_zero_truncated_and_negative_without_soa_are_not_kept() {
    let cache = Cache::new(Limits { ttl: TtlBounds::new(60, 86_400), ..LIMITS });
    let block = learn(&cache, "zero", &message("zero", 0, Some(0), 4), 0);
    assert_eq!(block.parts().records[6..10], [0, 0, 0, 0]);
    let mut cut = message("cut", 0, Some(100), 4);
    cut[2] |= 2;
    learn(&cache, "cut", &cut, 0);
    learn(&cache, "nx", &message("nx", 3, None, 0), 0);
    assert!(cache.is_empty());
}

#[test]
fn ttls_are_brought_into_the_limits() {
    let cache = Cache::new(Limits { ttl: TtlBounds::new(30, 60), ..LIMITS });
    let block = learn(&cache, "long", &message("long", 0, Some(100_000), 4), 0);
    assert_eq!(block.parts().records[6..10], 60_u32.to_be_bytes());
    learn(&cache, "short", &message("short", 0, Some(1), 4), 0);
    assert_eq!(look(&cache, "short", 29), Some((29, Freshness::Fresh)));
    assert_eq!(look(&cache, "long", 60), Some((60, Freshness::Stale)));
}

#[test]
fn failures_are_remembered_for_seconds_and_never_serve_stale() {
    let cache = Cache::new(LIMITS);
    cache.learn_failure(&key("f"), 1, Seconds(0));
    let block = cache.get(&key("f"), Seconds(0), |found| found.block.clone()).unwrap();
    assert_eq!((block.rcode(), block.errors()), (2, &[0, 15, 0, 2, 0, 13][..]));
    assert_eq!(look(&cache, "f", 1), None);
    learn(&cache, "s", &message("s", 2, None, 0), 0);
    assert_eq!(look(&cache, "s", 4), Some((4, Freshness::Fresh)));
    assert_eq!(look(&cache, "s", 5), None);
}

#[test]
fn entries_and_bytes_are_bounded() {
    let cache = Cache::new(Limits { entries: 640, ..LIMITS });
    for i in 0..5000 {
        let name = format!("n{i}");
        learn(&cache, &name, &message(&name, 0, Some(100), 4), 0);
    }
    assert!(cache.len() <= 640, "{}", cache.len());
    let cache = Cache::new(LIMITS);
    for i in 0..3000 {
        let name = format!("n{i}");
        learn(&cache, &name, &message(&name, 0, Some(100), 1000), 0);
    }
    assert!((500..=1000).contains(&cache.len()), "{}", cache.len());
    learn(&cache, "huge", &message("huge", 0, Some(100), 60_000), 0);
    assert_eq!(look(&cache, "huge", 0), None);
}

#[test]
fn names_are_spread_evenly_whatever_the_seed() {
    let keys: Vec<_> = (0..1000).map(|n| key(&format!("host{n}\x07service\x07example"))).collect();
    for number in 0..10_000 {
        let seed = Box::leak(Box::new(SharedSeed::from_u64(number)));
        let cache = Cache {
            hasher: SeedableRandomState::with_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), seed),
            ..Cache::new(LIMITS)
        };
        let mut shards = [0; SHARDS];
        for key in &keys {
            shards[shard_of(cache.hash(key))] += 1;
        }
        // 16 are a shard's share; that chance alone brings four times as much is one in 10^14.
        assert!(shards.iter().all(|names| *names < 64), "{shards:?}");
    }
}

#[test]
fn a_new_answer_takes_the_place_of_the_old() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
    learn(&cache, "a", &message("a", 0, Some(200), 8), 50);
    assert_eq!(
        cache.get(&key("a"), Seconds(50), |found| (found.age, found.block.parts().records.len())),
        Some((0, 20))
    );
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_negative_answer_is_kept_as_long_as_its_soa_says() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "nx", &denial("nx", 3, 60), 0);
    assert_eq!(look(&cache, "nx", 59), Some((59, Freshness::Fresh)));
    assert_eq!(look(&cache, "nx", 60), Some((60, Freshness::Stale)));
}

#[test]
fn what_is_in_use_outlives_a_flood_within_a_second() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "hot", &message("hot", 0, Some(3600), 4), 0);
    for n in 0..100_000 {
        let name = format!("flood{n}");
        learn(&cache, &name, &message(&name, 0, Some(3600), 4), 0);
        if n % 100 == 0 {
            assert_eq!(look(&cache, "hot", 0), Some((0, Freshness::Fresh)), "after {n}");
        }
    }
}
