//! What the next process finds.

use super::*;
use crate::cache::Standing;

const NEXT: UpstreamId = UpstreamId(7);

/// The cache of the next process, whose seconds begin elsewhere, `elapsed` seconds later.
fn next(cache: &Cache, at: u32, elapsed: u32, standing: fn(UpstreamId) -> Standing) -> Cache {
    let mut bytes = Vec::new();
    cache.write_to(&mut bytes, Seconds(at));
    let next = Cache::new(LIMITS);
    assert!(next.read_from(&bytes, (Seconds(1_000_000), elapsed), standing).is_some());
    next
}

fn is_asked(_: UpstreamId) -> Standing {
    Standing::Asked(NEXT)
}

fn is_outdated(_: UpstreamId) -> Standing {
    Standing::Outdated(NEXT)
}

#[test]
fn ages_go_on_over_the_time_in_which_no_process_was_there() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 10);
    let next = next(&cache, 40, 20, is_asked);
    assert_eq!(look(&next, "a", 1_000_000), Some((50, Freshness::Fresh)));
    assert_eq!(look(&next, "a", 1_000_049), Some((99, Freshness::Fresh)));
    assert_eq!(look(&next, "a", 1_000_050), Some((100, Freshness::Stale)));
    assert_eq!(look(&next, "a", 1_000_050 + 3600), None);
}

#[test]
fn what_ended_meanwhile_is_stale_what_is_past_all_use_and_failures_are_left_out() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "short", &message("short", 0, Some(5), 4), 0);
    learn(&cache, "fails", &message("fails", 2, None, 0), 0);
    learn(&cache, "denied", &denial("denied", 3, 100), 0);
    let soon = next(&cache, 2, 10, is_asked);
    assert_eq!((look(&soon, "short", 1_000_000), soon.len()), (Some((12, Freshness::Stale)), 2));
    assert_eq!(next(&cache, 2, 3650, is_asked).len(), 1, "the denial serves stale, the answer is past all use");
}

#[test]
fn the_order_of_use_and_popularity_are_kept() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
    for _ in 0..5 {
        assert!(look(&cache, "a", 1).is_some());
    }
    let next = next(&cache, 89, 0, is_asked);
    assert_eq!(look(&next, "a", 1_000_002), Some((91, Freshness::Ending)));
}

#[test]
fn what_an_upstream_said_that_is_not_asked_any_more_serves_only_as_a_stale_answer() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
    learn(&cache, "denied", &denial("denied", 3, 100), 0);
    let next = next(&cache, 2, 1, is_outdated);
    assert_eq!(look(&next, "a", 1_000_000), Some((3, Freshness::Stale)));
    assert_eq!(look(&next, "denied", 1_000_000), None);
}

#[test]
fn bytes_that_are_cut_are_refused_and_garbage_does_no_harm() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
    let mut bytes = Vec::new();
    cache.write_to(&mut bytes, Seconds(0));
    for length in 1..bytes.len() {
        let next = Cache::new(LIMITS);
        assert_eq!(next.read_from(&bytes[..length], (Seconds(5), 0), is_asked), None, "cut at {length}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x80;
        let next = Cache::new(LIMITS);
        let _ = next.read_from(&damaged, (Seconds(5), 0), is_asked);
        let _ = look(&next, "a", 5);
    }
}
