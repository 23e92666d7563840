//! Upstreams that are late, or down, or gone: when the next is asked, and when clients are told.

use super::*;

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
    let mut w = world(&TWO, None).known();
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
fn a_closed_port_is_no_wait() {
    let mut w = world(&TWO, None);
    w.ask("a");
    let socket = w.sent[0].1;
    w.engine.refused(UpstreamId(0), socket, w.now);
    w.act();
    assert_eq!(w.asked(), [0, 1]);
    w.answer(1, 0, true);
    assert_eq!(w.perhaps_down, [(0, None)]);
    w.ask("b");
    assert_eq!(w.asked()[2..], [0], "nothing but a health probe says that it is down");
    w.down(&[0]);
    w.ask("c");
    assert_eq!(w.asked()[3..], [1, 1, 0], "whoever waits for it goes on, and it is tried now and then");
}

#[test]
fn clients_are_answered_in_time_and_the_exchange_outlives_them() {
    let mut w = world(&["10.0.0.2"], None).known();
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
