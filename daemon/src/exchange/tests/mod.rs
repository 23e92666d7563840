mod again;
mod down;
mod guarded;
mod late;
mod lists;
mod plainer;
mod routes;
mod rules;

use std::collections::HashMap;
use std::time::Duration;

use rand::SeedableRng;

use super::*;
use crate::guard::tag;
use crate::upstream::set::UpstreamIds;

/// An engine with virtual time; what it sends is kept by the upstream's place in the set.
struct World {
    engine: Engine,
    now: Instant,
    start: Instant,
    sockets: HashMap<Socket, usize>,
    sent: Vec<(usize, Socket, Vec<u8>)>,
    streams: Vec<(AttemptId, usize)>,
    done: Vec<Done>,
    ended: Vec<QuestionKey>,
    /// Of each answer, whether it is provisional.
    provisional: Vec<bool>,
    health_changes: u32,
    overdue: usize,
    overdue_truncated: usize,
    silent: Vec<u16>,
    /// Those that may be down, and a name that they have answered.
    perhaps_down: Vec<(u16, Option<Box<[u8]>>)>,
    alive: Vec<u16>,
    /// Those that may bear no OPT.
    edns_doubts: Vec<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Done {
    Answer { by: u16, code: u8, at: u64 },
    Failed(Failure),
}

fn key(name: &str) -> QuestionKey {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    bytes.extend([0, 0, 1, 0, 1]);
    QuestionKey::new(&bytes)
}

fn world(servers: &[&str], equivalent: Option<bool>) -> World {
    let servers = servers.iter().map(|server| (server.parse().unwrap(), Arc::from("test")));
    let set = UpstreamSet::new(servers.collect(), equivalent, &mut UpstreamIds::default());
    let now = crate::clock::now();
    World {
        engine: Engine::new(Arc::new(set), guidance(Verdicts::default()), 4, 1400, StdRng::seed_from_u64(7)),
        now,
        start: now,
        sockets: HashMap::new(),
        sent: vec![],
        streams: vec![],
        done: vec![],
        ended: vec![],
        provisional: vec![],
        overdue: 0,
        overdue_truncated: 0,
        health_changes: 0,
        silent: vec![],
        perhaps_down: vec![],
        alive: vec![],
        edns_doubts: vec![],
    }
}

fn guidance(verdicts: Verdicts) -> Guidance {
    let secret = guard::Secret::new([1; 16]);
    Guidance { verdicts: Arc::new(verdicts), key: Arc::new(guard::MarkKey::new(&secret, &[], crate::clock::now())) }
}

fn question(name: &str) -> LookupRequest {
    LookupRequest { key: key(name), packet: [].into(), from: None, through: None, passed: Passed::default() }
}

impl World {
    fn ask(&mut self, name: &str) {
        self.engine.ask(question(name), self.now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Open(socket, upstream) => {
                    assert!(self.engine.set.get(upstream.id).is_some(), "no socket for one that is not in the set");
                    self.sockets.insert(socket, upstream.id.0.into());
                }
                Action::Send(socket, attempt) => {
                    let message = self.engine.message(attempt).unwrap().to_vec();
                    self.sent.push((self.sockets[&socket], socket, message));
                }
                Action::Close(socket) => {
                    self.sockets.remove(&socket);
                }
                Action::Stream(attempt, upstream, _) => self.streams.push((attempt, upstream.id.0.into())),
                Action::Answered(said) | Action::Refused(said) => {
                    self.heard((said.key, said.upstream, said.message[3] & 15), said.certainty);
                }
                Action::Failed(key, why) => {
                    self.done.push(Done::Failed(why));
                    self.ended.push(key);
                }
                Action::Overdue(_, truncated) => {
                    self.overdue += 1;
                    self.overdue_truncated += usize::from(truncated.is_some());
                }
                Action::HealthChanged => self.health_changes += 1,
                Action::Silent(upstream, _, _) => self.silent.push(upstream.0),
                Action::PerhapsDown(upstream, _, name) => self.perhaps_down.push((upstream.0, name)),
                Action::PerhapsNoEdns(upstream) => self.edns_doubts.push(upstream.0),
                Action::Alive(upstream, _) => self.alive.push(upstream.0),
            }
        }
    }

    fn heard(&mut self, (key, by, code): (QuestionKey, UpstreamId, u8), certainty: Certainty) {
        self.provisional.push(certainty == Certainty::Provisional);
        self.ended.push(key);
        let at = u64::try_from((self.now - self.start).as_millis()).unwrap();
        self.done.push(Done::Answer { by: by.0, code, at });
    }

    /// What an upstream sent over a socket.
    fn datagram(&mut self, by: u16, socket: Socket, message: &[u8]) {
        let running = self.engine.lookups_running();
        let landed = self.engine.datagram(UpstreamId(by), socket, message, self.now);
        let code = |landed: &UpstreamResponse<'_>| u8::try_from(landed.answer.rcode()).unwrap();
        let landed = landed.map(|landed| (code(&landed), landed.certainty, landed.key, landed.upstream));
        if let Some((code, certainty, key, upstream)) = landed {
            self.heard((key, upstream, code), certainty);
            if self.engine.lookups_running() == running {
                self.ended.pop(); // it corrects what clients were told, whose lookup was over
            }
        }
        self.act();
    }

    /// What a stream brought.
    fn streamed(&mut self, attempt: AttemptId, message: Option<&[u8]>) {
        let running = self.engine.lookups_running();
        let landed = self.engine.streamed(attempt, message.ok_or(StreamError::Closed), self.now);
        let code = |landed: &UpstreamResponse<'_>| u8::try_from(landed.answer.rcode()).unwrap();
        let landed = landed.map(|landed| (code(&landed), landed.certainty, landed.key, landed.upstream));
        if let Some((code, certainty, key, upstream)) = landed {
            self.heard((key, upstream, code), certainty);
            if self.engine.lookups_running() == running {
                self.ended.pop(); // it corrects what clients were told, whose lookup was over
            }
        }
        self.act();
    }

    /// Lets time pass to `ms` after the start, waking the engine whenever it wants to be.
    /// Far fewer wakes than are allowed bring any of the tests there: one that hangs fails.
    fn until(&mut self, ms: u64) {
        let end = self.start + Duration::from_millis(ms);
        let mut wakes = 0..10_000;
        while let Some(at) = self.engine.next_wake().filter(|at| *at <= end) {
            assert!(wakes.next().is_some(), "the engine wants to be woken for ever");
            self.now = self.now.max(at);
            self.engine.wake(self.now);
            self.act();
        }
        self.now = end;
    }

    /// All upstreams have answered queries in the usual form.
    fn known(mut self) -> Self {
        for upstream in &self.engine.set.upstreams {
            self.engine.peers.of(upstream.id, 4).borne.answered(form::Form::Usual, self.now);
        }
        self
    }

    /// The guard says that these are down, or nobody.
    fn down(&mut self, upstreams: &[u16]) {
        self.down_since(upstreams, self.now);
    }

    /// The guard says that these are down since then.
    fn down_since(&mut self, upstreams: &[u16], since: Instant) {
        let verdicts = Verdicts::of_down(upstreams.iter().map(|number| UpstreamId(*number)), since);
        self.engine.guide(guidance(verdicts), self.now);
        self.act();
    }

    fn pass(&mut self, ms: u64) {
        let since = u64::try_from((self.now - self.start).as_millis()).unwrap();
        self.until(since + ms);
    }

    fn asked(&self) -> Vec<usize> {
        self.sent.iter().map(|(upstream, ..)| *upstream).collect()
    }

    /// The `nth` query sent is answered: with a record where `code` is 0 and `record`.
    fn answer(&mut self, nth: usize, code: u8, record: bool) {
        self.answer_with(nth, |m| {
            m[3] |= code;
            if record {
                m[7] = 1;
                m.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            }
        });
    }

    fn answer_with(&mut self, nth: usize, change: impl Fn(&mut Vec<u8>)) {
        let (upstream, socket, mut m) = self.sent[nth].clone();
        let had_opt = m[11] == 1;
        let end = if had_opt { m.len() - 11 } else { m.len() };
        m.truncate(end);
        (m[2], m[3], m[11]) = (0x81, 0x80, 0);
        change(&mut m);
        self.datagram(u16::try_from(upstream).unwrap(), socket, &m);
    }

    fn assert_empty(&mut self) {
        assert_eq!(self.engine.next_wake(), None);
        assert!(self.engine.lookups.is_empty() && self.engine.attempts.is_empty() && self.engine.by_hash.is_empty());
        assert!(self.engine.peers.0.iter().all(|peer| peer.pool.is_quiet()));
    }
}

const TWO: [&str; 2] = ["10.0.0.2", "10.0.0.3"];

#[test]
fn the_first_upstream_is_asked_and_its_answer_ends_the_flight() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.until(5);
    w.answer(0, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 5 }]);
    assert_eq!(w.asked(), [0]);
    w.assert_empty();
}

#[test]
fn wrong_datagrams_are_ignored_and_the_right_one_still_awaited() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.answer_with(0, |m| m[0] ^= 1);
    w.answer_with(0, |m| m[13] = b'b');
    w.answer_with(0, |m| m[2] = 1);
    w.answer_with(0, |m| m.truncate(3));
    assert_eq!(w.done, []);
    w.answer(0, 0, true);
    assert_eq!(w.done.len(), 1);
    w.answer(0, 0, true); // a duplicate
    assert_eq!(w.done.len(), 1);
}

#[test]
fn a_failure_is_followed_by_the_next_and_the_first_is_told_when_all_fail() {
    for code in [2, 5, 9] {
        let mut w = world(&TWO, None);
        w.ask("a");
        w.answer(0, code, false);
        assert_eq!((w.asked(), &w.silent[..]), (vec![0, 1], &[0][..]));
        w.answer(1, 2, false);
        assert_eq!(w.done, [Done::Answer { by: 0, code, at: 0 }]);
        w.assert_empty();
    }
}

#[test]
fn a_response_that_cannot_be_walked_is_asked_for_without_edns_and_then_of_the_next() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.answer_with(0, |m| m[7] = 9);
    assert_eq!((w.asked(), w.sent[1].2[11]), (vec![0, 0], 0));
    w.answer_with(1, |m| m[7] = 9);
    assert_eq!(w.asked(), [0, 0, 1]);
}

#[test]
fn without_an_upstream_the_question_fails_at_once() {
    let mut w = world(&[], None);
    w.ask("a");
    assert_eq!(w.done, [Done::Failed(Failure::NoUpstream)]);
}

#[test]
fn a_removed_upstream_finishes_what_it_was_asked_and_is_closed() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.engine.adopt(Arc::new(UpstreamSet::default()));
    w.act();
    w.answer(0, 0, true);
    assert_eq!(w.done.len(), 1);
    assert!(w.sockets.is_empty(), "{:?}", w.sockets);
}

/// An attempt over a stream is in no pool: its upstream was forgotten, and the time at which it is late came again for
/// ever.
#[test]
fn a_set_change_during_a_question_over_tcp_does_not_hang_the_worker() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.answer_with(0, |m| m[2] |= 2);
    w.engine.adopt(Arc::new(UpstreamSet::default()));
    w.act();
    assert_eq!(w.engine.peers.0.len(), 1, "it is still asked something");
    w.until(7000);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 6000 }], "the cut answer, better than nothing");
    w.assert_empty();
    // Even an engine that knows nothing of whom it asked comes to an end.
    let mut w = world(&TWO, None);
    w.ask("a");
    w.engine.peers.0.clear();
    w.until(7000);
    w.assert_empty();
}
