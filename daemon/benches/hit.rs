//! What a cached answer is made of: parse, key, lookup, patch, and all of it in one.

#![expect(clippy::unwrap_used, reason = "a benchmark that does not measure what it says may panic")]

mod common;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use onward::internals::cache::Seconds;
use onward::internals::clock;
use onward::internals::respond::{Age, ResponseParams, write_cached};
use onward::internals::upstream::{Transport, UpstreamSet};
use onward::internals::wire::{Query, QuestionKey};

/// Names that stay in the processor's cache.
const NAMES: usize = 1000;
/// Names that do not.
const MANY: usize = 1_000_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    parse_and_key(&mut criterion);
    lookup(&mut criterion);
    patch(&mut criterion);
    whole_hit(&mut criterion);
    criterion.final_summary();
}

/// Reads a query and makes its key.
fn parse_and_key(criterion: &mut Criterion) {
    let mut query = Query::default();
    for (name, packet) in [("parse/plain", common::query(1, false)), ("parse/edns", common::query(1, true))] {
        criterion.bench_function(name, |bencher| bencher.iter(|| query.read(black_box(&packet)).unwrap()));
    }
    // What a miss pays for: flights, waiters and engines share one key.
    criterion.bench_function("key", |bencher| bencher.iter(|| QuestionKey::new(black_box(query.key()))));
}

/// Finds an entry.
fn lookup(criterion: &mut Criterion) {
    for names in [NAMES, MANY] {
        let cache = common::cache(names);
        // A step that shares no factor with the number of names visits all of them, and no neighbours.
        let mut n = 0;
        criterion.bench_function(&format!("lookup/{names}"), |bencher| {
            bencher.iter_batched(
                || {
                    n = (n + 617_411) % names;
                    common::key(&common::query(n, false))
                },
                |key| cache.get(key.bytes(), Seconds(1), |found| found.age).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Writes a response from an entry that was found.
fn patch(criterion: &mut Criterion) {
    let cache = common::cache(1);
    let mut out = Vec::with_capacity(4096);
    for (name, packet) in [("patch/plain", common::query(0, false)), ("patch/edns", common::query(0, true))] {
        let mut query = Query::default();
        query.read(&packet).unwrap();
        let head = packet.get(..query.question_end()).unwrap();
        let wants = ResponseParams::new(&query, 1232, Transport::Udp);
        let block = cache.get(query.key(), Seconds(0), |found| found.block.clone()).unwrap();
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| write_cached(black_box(head), wants, black_box(&block), Age::Seconds(5), &mut out));
        });
    }
}

/// Everything between the two system calls of a hit.
fn whole_hit(criterion: &mut Criterion) {
    let mut forwarder = common::forwarder(NAMES, &Arc::new(UpstreamSet::default()), None);
    let mut out = Vec::with_capacity(4096);
    forwarder.begin_batch(clock::now());
    for (name, opt) in [("hit/plain", false), ("hit/edns", true)] {
        let packets: Vec<_> = (0..NAMES).map(|name| common::query(name, opt)).collect();
        let mut packets = packets.iter().cycle();
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| forwarder.handle_query(&common::incoming(packets.next().unwrap()), &mut out));
        });
    }
}
