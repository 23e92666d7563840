//! Asks a number of questions that are not in the cache, in memory, without a network: what `tests/bench/instructions` counts.
//!
//! `misses COUNT marked|bare`: with the loop guard's marks on what is asked, or without.

#[path = "../benches/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onward::clock;
use onward::exchange::{Action, Engine, Guidance};
use onward::forwarder::{Forwarder, Step, Waits};
use onward::guard::{self, Event, Judge, Mark, Verdicts};
use onward::net::outbox::Outbox;
use onward::upstream::UpstreamSet;
use onward::upstream::set::UpstreamIds;
use onward::waiters::WayBack;
use onward::wire::Query;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Sockets to the upstream, as the daemon has them.
const SOCKETS: usize = 64;

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
    let forwarder = common::forwarder(1);
    let server = "10.0.0.2".parse().ok()?;
    let set = Arc::new(UpstreamSet::new(vec![(server, Arc::from("example"))], None, &mut UpstreamIds::default()));
    let now = clock::now();
    let guidance =
        Guidance { verdicts: verdicts(&forwarder, &set, mark, now)?, key: Arc::clone(&forwarder.guard.key()) };
    forwarder.set.store(Arc::clone(&set));
    let mut engine = Engine::new(set, guidance, SOCKETS, 1232, StdRng::seed_from_u64(1));
    let (mut query, mut out, mut outbox) = (Query::default(), Vec::with_capacity(4096), Outbox::default());
    let packets: Vec<_> = (1..=count).map(|name| common::query(name, true)).collect();
    let mut answered = 0;
    for (packet, n) in packets.iter().zip(0..) {
        let now = now + Duration::from_micros(20) * n;
        let at = forwarder.moment(now);
        let arrival = common::arrival(black_box(packet), &at);
        let Step::Ask(marks) = forwarder.take(&arrival, &mut query, &mut out) else { return None };
        let (back, mut answer) = tokio::sync::oneshot::channel();
        let Waits::Ask(question) = forwarder.wait(arrival, &query, marks, WayBack::Tcp(back)) else { return None };
        engine.ask(question, now);
        let (mut socket, mut message) = (None, Vec::new());
        while let Some(action) = engine.next_action() {
            if let Action::Send(over, ask) = action {
                socket = Some(over);
                message.extend_from_slice(engine.message(ask)?);
            }
        }
        make_answer(&mut message, query.question_end());
        let landed = engine.datagram(common::UPSTREAM, socket?, &message, now)?;
        forwarder.give(&landed, &mut outbox, now);
        while engine.next_action().is_some() {}
        answered += usize::from(answer.try_recv().is_ok());
    }
    Some(answered)
}

/// What the judge says of an upstream that it has just heard of.
fn verdicts(forwarder: &Forwarder, set: &Arc<UpstreamSet>, mark: Mark, now: Instant) -> Option<Arc<Verdicts>> {
    let settings = guard::Settings { tag: mark, spelling: mark };
    let mut judge = Judge::new(settings, Arc::clone(&forwarder.guard.key()), [7; 32]);
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
