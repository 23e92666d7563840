//! Asks a number of questions that are not in the cache, in memory, without a network: what `tests/bench/instructions`
//! counts.
//!
//! `misses COUNT marked|bare`: with the loop guard's marks on what is asked, or without.

#[path = "../benches/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onward::internals::clock;
use onward::internals::forwarder::{Reply, Transmit};
use onward::internals::guard::{self, Event, Guard, Judge, Mark, Verdicts};
use onward::internals::upstream::UpstreamSet;
use onward::internals::upstream::set::UpstreamIds;
use onward::internals::wire::{HEADER, name_end};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().and_then(|count| count.parse::<usize>().ok());
    let mark = match arguments.next().as_deref() {
        Some("marked") => Some(Mark::Always),
        Some("bare") => Some(Mark::Never),
        _ => None,
    };
    match (count, mark) {
        (Some(count), Some(mark)) if ask(count, mark) == Some(count) => ExitCode::SUCCESS,
        (Some(_), Some(_)) => ExitCode::FAILURE, // a question was not answered: what was counted is not a miss
        _ => ExitCode::from(64),
    }
}

/// Asks that many questions; returns how many were answered.
fn ask(count: usize, mark: Mark) -> Option<usize> {
    let server = "10.0.0.2".parse().ok()?;
    let set = Arc::new(UpstreamSet::new(vec![(server, Arc::from("example"))], None, &mut UpstreamIds::default()));
    let now = clock::now();
    let mut forwarder = common::forwarder(1, &set, Some(verdicts(&set, mark, now)?));
    let (mut out, mut message) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let packets: Vec<_> = (1..=count).map(|name| common::query(name, true)).collect();
    let mut answered = 0;
    for (packet, n) in packets.iter().zip(0..) {
        let now = now + Duration::from_micros(20) * n;
        forwarder.begin_batch(now);
        if forwarder.handle_query(&common::incoming(black_box(packet)), &mut out) != Reply::Later {
            return None;
        }
        let mut socket = None;
        while let Some(transmit) = forwarder.poll_transmit(now, &mut message) {
            if let Transmit::Send(over) = transmit {
                socket = Some(over);
                std::mem::swap(&mut message, &mut out);
            }
        }
        make_answer(&mut out, question_end(packet)?);
        forwarder.handle_datagram(common::UPSTREAM, socket?, &out, now);
        while let Some(transmit) = forwarder.poll_transmit(now, &mut message) {
            answered += usize::from(matches!(transmit, Transmit::Respond(_)));
        }
    }
    Some(answered)
}

/// Where the question section of a plain query ends.
fn question_end(packet: &[u8]) -> Option<usize> {
    Some(name_end(packet, HEADER)? + 4)
}

/// What the judge says of an upstream that it has just heard of.
fn verdicts(set: &Arc<UpstreamSet>, mark: Mark, now: Instant) -> Option<Arc<Verdicts>> {
    let settings = guard::Settings { tag: mark, spelling: mark };
    let (guard, _task) = Guard::new(settings, &[]);
    let mut judge = Judge::new(settings, Arc::clone(&guard.key()), [7; 32]);
    judge.handle(Event::SetChanged(Arc::clone(set)), now).into_iter().find_map(|action| match action {
        guard::Action::Publish(verdicts) => Some(verdicts),
        _ => None,
    })
}

/// Turns a query into its answer: one address.
fn make_answer(message: &mut Vec<u8>, question_end: usize) {
    message.truncate(question_end);
    if let Some(flags_and_counts) = message.get_mut(2..12) {
        flags_and_counts.copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    }
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 1]);
}
