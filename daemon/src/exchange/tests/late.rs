//! Upstreams that are late, or down, or gone: when the next is asked, and when clients are told.

use super::*;

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
    w.engine.refused(UpstreamId(0), socket, w.now);
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
fn a_list_with_dead_servers_in_front_is_walked_within_the_clients_time() {
    let mut w = world(&["10.0.0.2", "192.0.2.8", "192.0.2.9", "192.0.2.10"], None);
    w.ask("a");
    w.until(1799);
    let last = w.sent.iter().position(|(upstream, ..)| *upstream == 3).unwrap();
    w.answer(last, 0, true);
    assert!(matches!(w.done[0], Done::Answer { by: 3, .. }));
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

#[test]
fn an_upstream_that_goes_down_makes_one_other_asked_at_once_and_no_more() {
    let mut w = world(&["10.0.0.2", "10.0.0.3", "10.0.0.4"], None);
    for n in 0..3 {
        w.until(10_000 * n);
        w.sent.clear();
        w.ask(&format!("n{n}"));
        w.until(10_000 * n + 400);
        assert_eq!(w.asked(), [0, 1], "{n}");
        w.answer(1, 0, true);
    }
    // Where nobody else is left it is sent again itself.
    let mut w = world(&["10.0.0.2"], None);
    for n in 0..3 {
        w.until(10_000 * n);
        w.sent.clear();
        w.ask(&format!("n{n}"));
        w.until(10_000 * n + 400);
        assert_eq!(w.asked(), [0, 0], "{n}");
    }
}

#[test]
fn a_trial_that_fails_has_nobody_else_asked() {
    let mut w = world(&TWO, None);
    w.ask("a");
    let socket = w.sent[0].1;
    w.engine.refused(UpstreamId(0), socket, w.now);
    w.act();
    w.answer(1, 0, true);
    w.until(2000);
    w.sent.clear();
    w.ask("b");
    assert_eq!(w.asked(), [1, 0]);
    w.answer(0, 0, true);
    w.until(9000);
    assert_eq!(w.asked(), [1, 0], "the client has its answer");
    w.assert_empty();
}

#[test]
fn an_upstream_that_goes_down_and_comes_back_is_reported_each_time_once() {
    let mut w = world(&["10.0.0.1", "10.0.0.2"], None);
    assert_eq!(w.engine.report().upstreams, [], "nobody was asked yet");
    w.ask("one");
    let (_, socket, _) = w.sent[0].clone();
    w.engine.refused(UpstreamId(0), socket, w.now);
    w.act();
    assert_eq!((w.health_changes, w.engine.report().upstreams[0].is_down), (1, true));
    w.until(2_000);
    w.ask("two");
    let last_to_it = w.asked().iter().rposition(|to| *to == 0).unwrap();
    w.answer(last_to_it, 0, true);
    let report = w.engine.report();
    assert_eq!((w.health_changes, report.upstreams[0].is_down), (2, false));
    assert_eq!(report.upstreams[0].last_answer, Some(w.now));
}
