//! Answers a number of queries from the cache, in memory, without a socket: what `tests/bench/instructions` counts.
//!
//! `hits COUNT plain|edns`

#[path = "../benches/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use onward::internals::clock;
use onward::internals::forwarder::Reply;
use onward::internals::upstream::UpstreamSet;

/// Names in the cache.
const NAMES: usize = 1000;
/// Queries that a worker takes at once when it is busy.
const BATCH: usize = 16;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().and_then(|count| count.parse::<usize>().ok());
    let opt = match arguments.next().as_deref() {
        Some("plain") => Some(false),
        Some("edns") => Some(true),
        _ => None,
    };
    match (count, opt) {
        (Some(count), Some(opt)) if answer(count, opt) == count => ExitCode::SUCCESS,
        (Some(_), Some(_)) => ExitCode::FAILURE, // a query was not answered: what was counted is not a hit
        _ => ExitCode::from(64),
    }
}

/// Answers that many queries; returns how many were answered from the cache.
fn answer(count: usize, opt: bool) -> usize {
    let mut forwarder = common::forwarder(NAMES, &Arc::new(UpstreamSet::default()), None);
    let packets: Vec<_> = (0..NAMES).map(|name| common::query(name, opt)).collect();
    let mut packets = packets.iter().cycle();
    let (mut out, mut answered) = (Vec::with_capacity(4096), 0);
    for start in (0..count).step_by(BATCH) {
        forwarder.begin_batch(clock::now());
        for packet in packets.by_ref().take(BATCH.min(count - start)) {
            let reply = forwarder.handle_query(&common::incoming(black_box(packet)), &mut out);
            answered += usize::from(reply == Reply::Now);
            black_box(&out);
        }
    }
    answered
}
