//! What a miss costs beside the system calls: the query for the upstream, and a question's way through the engine.

#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use onward::internals::clock;
use onward::internals::exchange::pool::Socket;
use onward::internals::exchange::query::{self, EdnsParams};
use onward::internals::exchange::{Action, Engine, Guidance, LookupRequest};
use onward::internals::guard::{self, Guard, Passed};
use onward::internals::upstream::UpstreamSet;
use onward::internals::upstream::set::UpstreamIds;
use onward::internals::wire::QuestionKey;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Sockets to each upstream, as the daemon has them.
const SOCKETS: usize = 64;
/// Questions under way at once, since tables and timers cost more when they are full.
const IN_FLIGHT: usize = 1000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    build(&mut criterion);
    engine(&mut criterion);
    criterion.final_summary();
}

/// Writes the query to an upstream.
fn build(criterion: &mut Criterion) {
    let key = common::key(&common::query(1, false));
    for (name, payload) in [("build/bare", None), ("build/edns", Some(1232))] {
        let dress = EdnsParams { payload, ..EdnsParams::default() };
        criterion.bench_function(name, |bencher| bencher.iter(|| query::build(black_box(&key), 7, dress)));
    }
}

/// One question goes in, its message comes out, the answer goes in, the end of the flight comes out.
fn engine(criterion: &mut Criterion) {
    let keys: Vec<QuestionKey> = (0..2 * IN_FLIGHT).map(|n| common::key(&common::query(n, false))).collect();
    for (name, waiting) in [("engine/alone", 0), ("engine/among 1000", IN_FLIGHT)] {
        let mut wire = Wire::new();
        for key in keys.iter().skip(IN_FLIGHT).take(waiting) {
            let _ = wire.ask(key);
        }
        assert!(keys.iter().take(IN_FLIGHT).all(|key| wire.round_trip(key)), "every question comes to its answer");
        let mut keys = keys.iter().take(IN_FLIGHT).cycle();
        criterion.bench_function(name, |bencher| bencher.iter(|| keys.next().is_some_and(|key| wire.round_trip(key))));
    }
}

/// An engine, and an upstream that answers everything at once.
struct Wire {
    /// What is measured.
    engine: Engine,
    /// The time, which stands still.
    now: std::time::Instant,
    /// The client's query.
    packet: Arc<[u8]>,
    /// Room for the upstream's response.
    answer: Vec<u8>,
}

impl Wire {
    /// Makes an engine with one upstream.
    fn new() -> Self {
        let server = "10.0.0.2".parse().map(|server| (server, Arc::from("benchmark")));
        let set = UpstreamSet::new(server.into_iter().collect(), None, &mut UpstreamIds::default());
        // The guard's task does not run: its verdicts are those of the start.
        let (guard, _task) = Guard::new(guard::Settings::default(), &[]);
        let guidance = Guidance { verdicts: Arc::clone(&guard.verdicts()), key: Arc::clone(&guard.key()) };
        let engine = Engine::new(Arc::new(set), guidance, SOCKETS, 1232, StdRng::seed_from_u64(1));
        Self { engine, now: clock::now(), packet: common::query(1, false).into(), answer: Vec::new() }
    }

    /// Asks; returns the socket that the message went out over, and leaves the message in `answer`.
    fn ask(&mut self, key: &QuestionKey) -> Option<Socket> {
        let (packet, passed) = (Arc::clone(&self.packet), Passed::default());
        let question =
            LookupRequest { key: key.clone(), packet, from: Some(common::CLIENT.ip()), through: None, passed };
        self.engine.ask(question, self.now);
        let mut sent_over = None;
        while let Some(action) = self.engine.next_action() {
            if let Action::Send(socket, attempt) = action {
                sent_over = Some(socket);
                self.answer.clear();
                self.answer.extend_from_slice(self.engine.message(attempt).unwrap_or_default());
            }
        }
        sent_over
    }

    /// Whether the question came to its answer.
    fn round_trip(&mut self, key: &QuestionKey) -> bool {
        let Some(socket) = self.ask(key) else { return false };
        self.now += Duration::from_micros(20); // so that sockets wear out as they do
        make_answer(&mut self.answer, key);
        let answered = self.engine.datagram(common::UPSTREAM, socket, &self.answer, self.now).is_some();
        while self.engine.next_action().is_some() {}
        answered
    }
}

/// Turns a query into its answer: one address.
fn make_answer(message: &mut Vec<u8>, key: &QuestionKey) {
    message.truncate(query::question_end(key));
    if let Some(flags_and_counts) = message.get_mut(2..12) {
        flags_and_counts.copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    }
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 1]);
}
