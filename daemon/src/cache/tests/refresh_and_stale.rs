//! Near an answer's end and behind it: what a refresh may replace, and how a stale answer serves.

use super::*;
use crate::upstream::Worth;

fn size(cache: &Cache, name: &str, now: u32) -> Option<usize> {
    cache.get(&key(name), Seconds(now), |found| found.block.parts().records.len())
}

/// Looks `name` up 20 times, which makes it popular; returns what was found, without repeats in a row.
fn look_often(cache: &Cache, name: &str, now: u32) -> Vec<Freshness> {
    let mut found: Vec<_> = (0..20).filter_map(|_| look(cache, name, now)).map(|(_, freshness)| freshness).collect();
    found.dedup();
    found
}

/// How many refreshes a name that is always asked for causes until `end`; `bring` learns what each brings, at that
/// time.
fn refreshes(cache: &Cache, name: &str, end: u32, mut bring: impl FnMut(u32)) -> usize {
    let mut count = 0;
    for now in 0..end {
        for _ in 0..20 {
            if look(cache, name, now).is_some_and(|(_, freshness)| freshness == Freshness::Ending) {
                count += 1;
                bring(now);
            }
        }
    }
    count
}

#[test]
fn a_popular_answer_is_asked_for_once_before_its_end() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
    for _ in 0..3 {
        assert_eq!(look(&cache, "a", 1), Some((1, Freshness::Fresh)));
    }
    assert_eq!(look(&cache, "a", 89), Some((89, Freshness::Fresh)));
    assert_eq!(look(&cache, "a", 90), Some((90, Freshness::Ending)));
    assert_eq!(look_often(&cache, "a", 90), [Freshness::Fresh]);
    assert_eq!(look_often(&cache, "a", 99), [Freshness::Fresh]);
}

#[test]
fn an_answer_of_a_short_life_is_not_refreshed() {
    for ttl in [1, 2, 5, 9] {
        let cache = Cache::new(LIMITS);
        learn(&cache, "a", &message("a", 0, Some(ttl), 4), 0);
        assert_eq!(refreshes(&cache, "a", ttl, |_| ()), 0, "TTL {ttl}");
    }
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(10), 4), 0);
    assert_eq!(refreshes(&cache, "a", 10, |_| ()), 1);
}

#[test]
fn a_refresh_that_brings_a_rest_as_short_as_what_is_left_changes_nothing() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
    let rest = |now: u32| drop(learn(&cache, "a", &message("a", 0, Some(100 - now), 8), now));
    assert_eq!(refreshes(&cache, "a", 100, rest), 1, "a cache behind us counts down");
    assert_eq!((look(&cache, "a", 99), size(&cache, "a", 99)), (Some((99, Freshness::Fresh)), Some(16)));
    assert_eq!(look(&cache, "a", 100), Some((100, Freshness::Stale)));
}

#[test]
fn a_refresh_that_brings_a_longer_life_or_another_kind_of_answer_is_the_newer_truth() {
    let cache = Cache::new(LIMITS);
    for name in ["longer", "denied"] {
        learn(&cache, name, &message(name, 0, Some(100), 4), 0);
    }
    learn(&cache, "longer", &message("longer", 0, Some(11), 8), 90);
    assert_eq!(size(&cache, "longer", 100), Some(20));
    learn(&cache, "denied", &denial("denied", 3, 5), 90);
    assert_eq!(look(&cache, "denied", 94), Some((4, Freshness::Fresh)));
    assert_eq!(cache.fallback(&key("denied"), Seconds(94)).unwrap().0.rcode(), 3);
}

#[test]
fn a_refresh_that_fails_leaves_the_living_answer_and_the_stale_one() {
    for code in [1, 2, 4, 5] {
        let cache = Cache::new(LIMITS);
        learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
        for now in [95, 99] {
            learn(&cache, "a", &message("a", code, None, 0), now);
            cache.learn_failure(&key("a"), 5, Seconds(now));
            assert_eq!(look(&cache, "a", now), Some((now, Freshness::Fresh)), "response code {code}");
        }
        assert_eq!(look(&cache, "a", 100), Some((100, Freshness::Stale)), "it is asked for when it ends");
        learn(&cache, "a", &message("a", code, None, 0), 101);
        assert_eq!(look(&cache, "a", 101), Some((101, Freshness::StaleHold)));
        assert_eq!(size(&cache, "a", 101), Some(16));
    }
}

#[test]
fn a_failure_that_was_kept_gives_way_to_an_answer() {
    let cache = Cache::new(LIMITS);
    cache.learn_failure(&key("a"), 5, Seconds(0));
    learn(&cache, "a", &message("a", 0, Some(1), 4), 1);
    assert_eq!(size(&cache, "a", 1), Some(16));
}

#[test]
fn a_newer_truth_that_may_not_be_kept_ends_the_older_one() {
    let truths = [
        ("TTL 0", message("a", 0, Some(0), 4)),
        ("NXDOMAIN without SOA", message("a", 3, None, 0)),
        ("NODATA without SOA", message("a", 0, None, 0)),
        ("NXDOMAIN with minimum 0", denial("a", 3, 0)),
        ("NODATA with minimum 0", denial("a", 0, 0)),
    ];
    for (label, truth) in truths {
        for now in [50, 150] {
            let cache = Cache::new(LIMITS);
            learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
            learn(&cache, "a", &truth, now);
            assert_eq!(look(&cache, "a", now), None, "{label} at {now}");
            assert!(cache.fallback(&key("a"), Seconds(now)).is_none(), "{label} at {now}");
        }
    }
}

#[test]
fn a_truncated_response_leaves_the_older_answer() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(100), 4), 0);
    let mut cut = message("a", 0, None, 0);
    cut[2] |= 2;
    learn(&cache, "a", &cut, 95);
    assert_eq!(look(&cache, "a", 95), Some((95, Freshness::Fresh)));
}

#[test]
fn a_provisional_no_is_kept_for_seconds_and_replaces_no_positive_answer() {
    let cache = Cache::new(LIMITS);
    let provisional = Origin { upstream: UpstreamId(2), provisional: Some(5) };
    let no = |name: &str, m: &[u8], now: u32| {
        let end = 12 + question(name).len();
        cache.learn(&key(name), &Response::read(m, end).unwrap(), provisional, Seconds(now)).unwrap()
    };
    let block = no("new", &denial("new", 3, 900), 0);
    let ttl = block.parts().ttls().next().unwrap();
    assert_eq!(block.parts().records[ttl..ttl + 4], 5_u32.to_be_bytes(), "nor does a client keep it for longer");
    assert_eq!(look(&cache, "new", 4), Some((4, Freshness::Fresh)));
    assert_eq!(look(&cache, "new", 5), Some((5, Freshness::Stale)));
    for (name, truth) in [("kept", denial("kept", 3, 900)), ("not kept", message("not kept", 3, None, 0))] {
        learn(&cache, name, &message(name, 0, Some(100), 4), 0);
        no(name, &truth, 50);
        assert_eq!(size(&cache, name, 50), Some(16), "{name}");
        no(name, &truth, 150);
        assert_eq!(cache.fallback(&key(name), Seconds(150)).unwrap().0.rcode(), 0, "{name}");
    }
}

#[test]
fn a_stale_answer_is_given_at_once_while_tries_fail_and_one_is_made_each_few_seconds() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(10), 4), 0);
    assert_eq!(look(&cache, "a", 10), Some((10, Freshness::Stale)), "who asks first waits for an upstream");
    cache.learn_failure(&key("a"), 1, Seconds(12));
    assert_eq!(look_often(&cache, "a", 14), [Freshness::StaleHold]);
    assert_eq!(look_often(&cache, "a", 15), [Freshness::StaleRetry, Freshness::StaleHold], "one try");
    assert_eq!(look_often(&cache, "a", 17), [Freshness::StaleHold]);
    assert_eq!(look_often(&cache, "a", 18), [Freshness::StaleRetry, Freshness::StaleHold]);
    learn(&cache, "a", &message("a", 0, Some(10), 8), 18);
    assert_eq!(look(&cache, "a", 18), Some((0, Freshness::Fresh)), "it ends when a try succeeds");
}

#[test]
fn a_stale_answer_that_was_not_asked_for_in_half_a_minute_waits_for_an_upstream_again() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "a", &message("a", 0, Some(10), 4), 0);
    cache.hold_stale(&key("a"), Seconds(10));
    assert_eq!(look(&cache, "a", 39), Some((39, Freshness::StaleRetry)));
    assert_eq!(look(&cache, "a", 69), Some((69, Freshness::Stale)));
}

#[test]
fn what_former_upstreams_answered_ends_and_serves_stale_and_what_they_denied_is_forgotten() {
    let cache = Cache::new(LIMITS);
    learn(&cache, "lives", &message("lives", 0, Some(100), 4), 0);
    learn(&cache, "stale", &message("stale", 0, Some(1), 4), 0);
    cache.hold_stale(&key("stale"), Seconds(20));
    learn(&cache, "denied", &denial("denied", 3, 60), 0);
    learn(&cache, "none", &denial("none", 0, 60), 0);
    cache.learn_failure(&key("failed"), 5, Seconds(0));
    let worth = |is_same| if is_same { Worth::Unchanged } else { Worth::BetterThanNothing };
    cache.change_upstreams(|_, upstream| worth(upstream == UPSTREAM), Seconds(20));
    assert_eq!((cache.len(), look(&cache, "lives", 20)), (4, Some((20, Freshness::Fresh))));
    cache.change_upstreams(|_, _| worth(false), Seconds(20));
    assert_eq!(cache.len(), 2);
    assert_eq!(look(&cache, "lives", 20), Some((20, Freshness::Stale)));
    assert_eq!(look(&cache, "stale", 20), Some((20, Freshness::Stale)), "the new ones are asked first");
    cache.change_upstreams(|name, _| if name == b"\x05stale\0" { Worth::Nothing } else { worth(true) }, Seconds(20));
    assert_eq!((cache.len(), look(&cache, "stale", 20)), (1, None));
}
