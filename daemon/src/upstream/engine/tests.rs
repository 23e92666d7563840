use std::collections::HashMap;
use std::time::Duration;

use rand::SeedableRng;

use super::*;
use crate::guard::tag;
use crate::upstream::set::Numbers;

/// An engine with virtual time; what it sends is kept by the upstream's place in the set.
struct World {
    engine: Engine,
    now: Instant,
    start: Instant,
    sockets: HashMap<Socket, usize>,
    sent: Vec<(usize, Socket, Vec<u8>)>,
    streams: Vec<(AskId, usize)>,
    done: Vec<Done>,
    overdue: usize,
    silent: Vec<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Done {
    Answer { by: u16, code: u8, at: u64 },
    Failed(Failure),
}

fn key(name: &str) -> Key {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    bytes.extend([0, 0, 1, 0, 1]);
    Key::new(&bytes)
}

fn world(servers: &[&str], equivalent: Option<bool>) -> World {
    let servers = servers.iter().map(|server| (server.parse().unwrap(), Arc::from("test")));
    let set = Set::new(servers.collect(), equivalent, &mut Numbers::default());
    let now = crate::clock::now();
    World {
        engine: Engine::new(Arc::new(set), guidance(Verdicts::default()), 4, StdRng::seed_from_u64(7)),
        now,
        start: now,
        sockets: HashMap::new(),
        sent: vec![],
        streams: vec![],
        done: vec![],
        overdue: 0,
        silent: vec![],
    }
}

fn guidance(verdicts: Verdicts) -> Guidance {
    let secret = guard::Secret::new([1; 16]);
    Guidance { verdicts: Arc::new(verdicts), key: Arc::new(guard::Key::new(&secret, &[], crate::clock::now())) }
}

fn question(name: &str) -> Question {
    Question { key: key(name), packet: [].into(), from: None, through: None, passed: Passed::default() }
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
                    self.sockets.insert(socket, upstream.number.0.into());
                }
                Action::Send(socket, ask) => {
                    let message = self.engine.message(ask).unwrap().to_vec();
                    self.sent.push((self.sockets[&socket], socket, message));
                }
                Action::Close(socket) => {
                    self.sockets.remove(&socket);
                }
                Action::Stream(ask, upstream, _) => self.streams.push((ask, upstream.number.0.into())),
                Action::Answered(said) | Action::Refused(said) => self.heard(said.upstream, said.message[3] & 15),
                Action::Failed(_, why) => self.done.push(Done::Failed(why)),
                Action::Overdue(_) => self.overdue += 1,
                Action::Silent(upstream, _, _) => self.silent.push(upstream.0),
            }
        }
    }

    fn heard(&mut self, by: Number, code: u8) {
        let at = u64::try_from((self.now - self.start).as_millis()).unwrap();
        self.done.push(Done::Answer { by: by.0, code, at });
    }

    /// What an upstream sent over a socket.
    fn datagram(&mut self, by: u16, socket: Socket, message: &[u8]) {
        let landed = self.engine.datagram(Number(by), socket, message, self.now);
        let landed = landed.map(|landed| (landed.upstream, u8::try_from(landed.answer.rcode()).unwrap()));
        landed.into_iter().for_each(|(by, code)| self.heard(by, code));
        self.act();
    }

    /// What a stream brought.
    fn streamed(&mut self, ask: AskId, message: Option<&[u8]>) {
        let landed = self.engine.streamed(ask, message, self.now);
        let landed = landed.map(|landed| (landed.upstream, u8::try_from(landed.answer.rcode()).unwrap()));
        landed.into_iter().for_each(|(by, code)| self.heard(by, code));
        self.act();
    }

    /// Lets time pass to `ms` after the start, waking the engine whenever it wants to be.
    fn until(&mut self, ms: u64) {
        let end = self.start + Duration::from_millis(ms);
        while let Some(at) = self.engine.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.engine.wake(self.now);
            self.act();
        }
        self.now = end;
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
        assert!(self.engine.flights.is_empty() && self.engine.asks.is_empty() && self.engine.by_hash.is_empty());
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
fn a_record_that_cannot_be_walked_is_a_failure() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.answer_with(0, |m| m[7] = 9);
    assert_eq!(w.asked(), [0, 1]);
}

#[test]
fn the_next_of_a_list_is_asked_when_patience_is_over_and_first_once_the_other_is_down() {
    let mut w = world(&["10.0.0.2", "192.0.2.8"], None);
    // Two failures cost patience; with the third, as soon as it is late, the first is known to be down.
    for (n, (name, waits)) in [("a", 600), ("b", 600), ("c", 400)].into_iter().enumerate() {
        let begin = 10_000 * n as u64;
        w.until(begin);
        w.sent.clear();
        w.ask(name);
        w.until(begin + waits - 1);
        assert!(!w.asked().contains(&1), "{name}");
        w.until(begin + waits);
        let second = w.asked().iter().position(|upstream| *upstream == 1).unwrap();
        w.answer(second, 0, true);
        assert_eq!(w.done.last(), Some(&Done::Answer { by: 1, code: 0, at: begin + waits }));
    }
    w.until(40_000);
    w.sent.clear();
    w.ask("d");
    assert_eq!(w.asked(), [1, 0], "the second first, and a copy to see whether the first is back");
    w.answer(0, 0, true);
    w.answer(1, 0, true);
    w.ask("e");
    assert_eq!(w.asked()[2..], [0]);
}

#[test]
fn among_equivalent_upstreams_the_next_is_asked_as_soon_as_the_first_is_late() {
    let mut w = world(&TWO, None);
    for i in 0..20 {
        w.ask(&format!("n{i}"));
        w.answer(i, 0, true);
    }
    w.sent.clear();
    w.ask("a");
    w.until(24);
    assert_eq!(w.asked(), [0]);
    w.until(25);
    assert_eq!(w.asked(), [0, 1]);
    w.answer(1, 0, true);
    assert_eq!(w.done.last(), Some(&Done::Answer { by: 1, code: 0, at: 25 }));
    assert_eq!(w.silent, [0]);
    w.answer(0, 0, true); // teaches how slow the first is
    w.assert_empty();
}

#[test]
fn a_negative_answer_of_a_later_server_waits_for_an_earlier_one() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.until(400);
    assert_eq!(w.asked(), [0, 1]);
    w.answer(1, 3, false);
    assert_eq!(w.done, []);
    w.answer(0, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 400 }]);
    w.ask("b");
    w.until(800);
    let second = w.sent.len() - 1;
    w.answer(second, 3, false);
    w.until(3000);
    assert_eq!(w.done[1], Done::Answer { by: 1, code: 3, at: 1900 });
}

#[test]
fn a_negative_answer_waits_no_longer_once_the_earlier_server_is_down() {
    let mut w = world(&TWO, None);
    for i in 0..5 {
        w.ask(&format!("n{i}"));
        w.answer(i, 0, true);
    }
    let mut at = 0;
    for i in 0..4 {
        w.until(at);
        w.ask(&format!("m{i}"));
        w.until(at + 30);
        let second = w.asked().iter().rposition(|upstream| *upstream == 1).unwrap();
        w.answer(second, 3, false);
        at += 40;
    }
    // The third to be late shows that the first is down, which lets the first two go, too.
    let told: Vec<_> =
        w.done[5..].iter().filter(|done| matches!(done, Done::Answer { by: 1, at: 0..200, .. })).collect();
    assert_eq!(told.len(), 4, "{:?}", w.done);
}

#[test]
fn an_upstream_that_goes_down_gets_new_sockets() {
    let mut w = world(&["10.0.0.2"], None);
    for n in 0..3 {
        w.until(7_000 * n);
        w.ask(&format!("n{n}"));
        w.until(7_000 * n + 6_500);
    }
    let used: Vec<Socket> = w.sent.iter().map(|(_, socket, _)| *socket).collect();
    w.until(30_000);
    assert_eq!(w.sockets.len(), 0, "nothing is awaited from the old ones");
    w.ask("now");
    let (_, socket, _) = w.sent.last().unwrap();
    assert!(!used.contains(socket));
}

#[test]
fn a_closed_port_is_no_wait() {
    let mut w = world(&TWO, None);
    w.ask("a");
    let socket = w.sent[0].1;
    w.engine.refused(Number(0), socket, w.now);
    w.act();
    assert_eq!(w.asked(), [0, 1]);
    w.answer(1, 0, true);
    w.ask("b");
    assert_eq!(w.asked()[2..], [1]);
}

#[test]
fn clients_are_answered_in_time_and_the_exchange_outlives_them() {
    let mut w = world(&["10.0.0.2"], None);
    w.ask("a");
    w.until(1799);
    assert_eq!((w.overdue, w.asked().len()), (0, 3));
    w.until(1800);
    assert_eq!(w.overdue, 1);
    w.engine.remind(&key("a"), w.start + Duration::from_millis(2500));
    w.until(2500);
    assert_eq!(w.overdue, 2);
    w.until(3000);
    w.answer(0, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 3000 }]);
    w.ask("b");
    w.until(10_000);
    assert_eq!(w.done[1..], [Done::Failed(Failure::NoAnswer)]);
    w.assert_empty();
}

#[test]
fn a_cut_answer_is_asked_for_again_over_a_stream() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.answer_with(0, |m| m[2] |= 2);
    let (ask, upstream) = w.streams[0];
    assert_eq!(upstream, 0);
    let mut m = w.engine.message(ask).unwrap().to_vec();
    m.truncate(m.len() - 11);
    (m[2], m[11]) = (0x81, 0);
    w.streamed(ask, Some(&m));
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }]);
    w.assert_empty();
}

#[test]
fn where_no_stream_is_to_be_had_the_next_is_asked_and_at_last_the_cut_answer_told() {
    let mut w = world(&TWO, None);
    w.ask("a");
    for n in 0..2 {
        w.answer_with(n, |m| m[2] |= 2);
        w.streamed(w.streams[n].0, None);
    }
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }]);
    w.assert_empty();
}

#[test]
fn an_upstream_without_edns_is_asked_again_without() {
    for bare in [false, true] {
        let mut w = world(&["10.0.0.2"], None);
        w.ask("a");
        w.answer_with(0, |m| {
            m[3] |= 1;
            if bare {
                m.truncate(12);
                m[5] = 0;
            }
        });
        assert_eq!((w.sent[0].2[11], w.sent[1].2[11]), (1, 0));
        w.answer(1, 0, true);
        assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }]);
    }
}

/// A question that has passed another Onward.
fn foreign(w: &World, name: &str) -> Question {
    let other = guard::Key::new(&guard::Secret::new([2; 16]), &[], w.now);
    let mut option = vec![];
    tag::write(&Passed::default(), Number(1), &other, other.bucket(w.now), &mut option);
    let passed = tag::read(&option[4..], &w.engine.guidance.key, other.bucket(w.now));
    Question { passed, ..question(name) }
}

#[test]
fn what_has_passed_another_onward_is_asked_of_one_upstream_only() {
    let mut w = world(&TWO, None);
    w.engine.ask(foreign(&w, "a"), w.now);
    w.act();
    w.until(1000);
    assert!(w.asked().iter().all(|upstream| *upstream == 0));
    w.answer(0, 2, false);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 2, at: 1000 }]);
    assert!(w.silent.is_empty());
}

#[test]
fn another_onwards_probe_is_asked_of_two_upstreams_at_most() {
    let mut w = world(&["10.0.0.2", "10.0.0.3", "10.0.0.4"], None);
    let name = b"\x05probe\x200123456789abcdef0123456789abcdef\0";
    let key = Key::new(&[&[0], &name[..], &[0, 1, 0, 1]].concat());
    w.engine.ask(Question { key, ..question("a") }, w.now);
    w.act();
    w.answer(0, 2, false);
    w.answer(1, 2, false);
    assert_eq!((w.asked(), w.done.len()), (vec![0, 1], 1));
}

#[test]
fn a_client_who_joins_what_has_passed_another_onward_gets_the_answer_of_the_next_upstream() {
    let mut w = world(&TWO, None);
    w.engine.ask(foreign(&w, "a"), w.now);
    w.act();
    w.engine.widen(&key("a"), w.now);
    w.act();
    assert_eq!(w.asked(), [0], "the one that was asked is still in time");
    w.answer(0, 2, false);
    assert_eq!(w.asked(), [0, 1]);
    w.answer(1, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 1, code: 0, at: 0 }]);
    w.until(7_000);
    w.assert_empty();
}

#[test]
fn a_client_who_joins_late_has_the_next_asked_at_once() {
    let mut w = world(&TWO, None);
    w.engine.ask(foreign(&w, "a"), w.now);
    w.act();
    w.until(1_000);
    assert!(!w.asked().contains(&1));
    w.engine.widen(&key("a"), w.now);
    w.act();
    assert!(w.asked().contains(&1));
    w.engine.widen(&key("nobody asks this"), w.now);
}

#[test]
fn our_own_question_come_back_moves_the_flight_on_at_once() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.engine.came_back(&key("a"), Number(0), w.now);
    w.act();
    assert_eq!(w.asked(), [0, 1]);
    w.answer(1, 3, false);
    w.until(51);
    w.answer(0, 2, false); // our own refusal, passed on
    assert_eq!(w.done, [Done::Answer { by: 1, code: 3, at: 51 }]);
    let mut w = world(&TWO, None);
    w.ask("a");
    w.engine.came_back(&key("a"), Number(0), w.now);
    w.act();
    w.answer(1, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 1, code: 0, at: 0 }]);
}

/// Marks can be replayed by whoever saw them.
#[test]
fn replayed_marks_do_not_have_a_later_server_deny_a_name_of_an_earlier_one() {
    let mut w = world(&TWO, Some(false));
    w.ask("a");
    w.engine.came_back(&key("a"), Number(0), w.now);
    w.act();
    w.answer(1, 3, false);
    w.until(60);
    w.answer(0, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 60 }]);
    // Where it does loop that costs 100 ms at most.
    let mut w = world(&TWO, Some(false));
    w.ask("a");
    w.engine.came_back(&key("a"), Number(0), w.now);
    w.act();
    w.answer(1, 3, false);
    w.until(1_000);
    assert_eq!(w.done, [Done::Answer { by: 1, code: 3, at: 100 }]);
}

#[test]
fn what_came_back_through_the_last_upstream_is_asked_of_it_again_only_if_it_answers_some() {
    let mut w = world(&TWO[..1], None);
    w.ask("a");
    w.engine.came_back(&key("a"), Number(0), w.now);
    w.act();
    assert_eq!(w.asked(), [0], "a full loop costs one lap");
    w.engine.guide(guidance(Verdicts::of_wavering(Number(0))), w.now);
    for asks in [2, 3, 4, 4, 4] {
        w.engine.came_back(&key("a"), Number(0), w.now);
        w.act();
        assert_eq!(w.asked().len(), asks);
    }
    w.answer(0, 2, false);
    w.answer(3, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }]);
    let mut w = world(&TWO, None);
    w.engine.guide(guidance(Verdicts::of_wavering(Number(0))), w.now);
    w.ask("a");
    for _ in 0..3 {
        w.engine.came_back(&key("a"), Number(0), w.now);
        w.act();
    }
    assert_eq!(w.asked(), [0, 1], "another one is left");
}

#[test]
fn what_came_back_through_an_upstream_is_asked_of_it_last() {
    let mut w = world(&TWO, None);
    w.engine.ask(Question { through: Some(Number(0)), ..question("a") }, w.now);
    w.act();
    assert_eq!(w.asked(), [1]);
}

#[test]
fn a_verdict_frees_the_flights_that_wait_for_the_convicted() {
    let convicted = |upstreams: &[u16]| guidance(Verdicts::of_loops(upstreams.iter().map(|number| Number(*number))));
    let mut w = world(&TWO, Some(false));
    w.ask("a");
    w.engine.guide(convicted(&[0]), w.now);
    w.act();
    assert_eq!(w.asked(), [0, 1], "the flight goes on at once");
    w.engine.guide(convicted(&[0, 1]), w.now);
    w.act();
    assert_eq!(w.done, [Done::Failed(Failure::Loops(Number(0)))], "nobody is left, and it is told why");
    w.assert_empty();
}

#[test]
fn without_an_upstream_the_question_fails_at_once() {
    let mut w = world(&[], None);
    w.ask("a");
    assert_eq!(w.done, [Done::Failed(Failure::NoUpstream)]);
}

#[test]
fn an_asker_that_is_an_upstream_is_asked_last() {
    let mut w = world(&TWO, None);
    w.engine.ask(Question { from: Some("10.0.0.2".parse().unwrap()), ..question("a") }, w.now);
    w.act();
    assert_eq!(w.asked(), [1]);
}

#[test]
fn a_list_with_dead_servers_in_front_is_walked_within_the_clients_time() {
    let mut w = world(&["10.0.0.2", "192.0.2.8", "192.0.2.9", "192.0.2.10"], None);
    w.ask("a");
    w.until(1799);
    let last = w.sent.iter().position(|(upstream, ..)| *upstream == 3).unwrap();
    w.answer(last, 0, true);
    assert!(matches!(w.done[0], Done::Answer { by: 3, .. }));
}

#[test]
fn a_removed_upstream_finishes_what_it_was_asked_and_is_closed() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.engine.adopt(Arc::new(Set::default()));
    w.act();
    w.answer(0, 0, true);
    assert_eq!(w.done.len(), 1);
    assert!(w.sockets.is_empty(), "{:?}", w.sockets);
}

#[test]
fn a_slow_tail_costs_few_questions_more() {
    let mut w = world(&TWO, None);
    let mut at = 0;
    for i in 0..3000_u64 {
        w.ask(&format!("n{i}"));
        let first = w.sent.len() - 1;
        // 80 ± 40 ms, and one in a hundred 300 ms.
        let takes = if i % 100 == 50 { 300 } else { 40 + (i * 37) % 80 };
        w.until(at + takes);
        w.answer(first, 0, true);
        at += 1000;
        w.until(at);
    }
    let asked = w.sent.len();
    assert!(asked < 3150, "{asked}");
}
