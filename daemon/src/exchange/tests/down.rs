//! Upstreams that may be down, that are, and that are back: who says so, and what follows.

use super::*;

#[test]
fn silence_about_names_asks_for_a_health_probe_and_changes_nothing() {
    for equivalent in [true, false] {
        let mut w = world(&TWO, Some(equivalent));
        w.ask("warm");
        w.answer(0, 0, true);
        for n in 0..20 {
            w.until(10_000 + 2_000 * n);
            w.sent.clear();
            w.ask(&format!("dead{n}"));
            assert_eq!(w.asked(), [0], "the first stays the first");
            w.until(10_000 + 2_000 * n + 700);
            w.answer(w.asked().iter().position(|upstream| *upstream == 1).unwrap(), 3, false);
        }
        assert!(w.perhaps_down.iter().any(|one| *one == (0, Some((*b"\x04warm\0").into()))), "{:?}", w.perhaps_down);
        assert!(w.perhaps_down.len() <= 42, "one a second at most: {}", w.perhaps_down.len());
    }
}

#[test]
fn a_server_that_answers_other_names_meanwhile_is_not_even_suspected() {
    let mut w = world(&TWO, Some(false));
    for n in 0..20 {
        w.ask(&format!("dead{n}"));
        w.pass(10);
        w.ask(&format!("live{n}"));
        let last = w.asked().iter().rposition(|upstream| *upstream == 0).unwrap();
        w.answer(last, 0, true);
        w.pass(2_000);
    }
    assert!(w.perhaps_down.iter().all(|(upstream, _)| *upstream == 1), "{:?}", w.perhaps_down);
}

#[test]
fn what_waits_for_one_that_goes_down_goes_on_at_once() {
    for equivalent in [true, false] {
        let mut w = world(&TWO, Some(equivalent));
        w.ask("a");
        w.until(10);
        w.down(&[0]);
        assert_eq!(w.asked(), [0, 1]);
        w.answer(1, 3, false);
        assert_eq!(w.done, [Done::Answer { by: 1, code: 3, at: 10 }], "a no does not wait for it either");
        assert_eq!(w.provisional, [!equivalent]);
    }
}

#[test]
fn one_that_is_down_is_asked_last_and_its_first_word_brings_it_back() {
    let mut w = world(&TWO, Some(false));
    w.until(10);
    w.down(&[0]);
    w.ask("a");
    assert_eq!(w.asked(), [1, 0], "it comes first in the list, so a query now and then tries it");
    w.ask("b");
    assert_eq!(w.asked()[2..], [1]);
    w.until(50);
    w.answer(1, 0, true);
    assert_eq!((&w.done[..], &w.alive[..]), (&[Done::Answer { by: 0, code: 0, at: 50 }][..], &[0][..]));
    w.ask("c");
    assert_eq!(w.asked()[3..], [0], "before the guard has heard of it");
    w.down(&[]);
    w.ask("d");
    assert_eq!(w.asked()[4..], [0]);
}

#[test]
fn names_do_not_leave_for_a_later_server_to_see_whether_it_is_back() {
    for equivalent in [true, false] {
        let mut w = world(&TWO, Some(equivalent));
        w.down(&[1]);
        for n in 0..50 {
            w.ask(&format!("n{n}"));
            let last = w.sent.len() - 1;
            w.pass(1);
            w.answer(last, 0, true);
            w.pass(200);
        }
        assert!(w.asked().iter().all(|upstream| *upstream == 0));
    }
}

#[test]
fn where_all_are_down_they_are_asked_in_their_order() {
    let mut w = world(&TWO, Some(false));
    w.down(&[0, 1]);
    w.ask("a");
    assert_eq!(w.asked(), [0]);
    w.until(1_700);
    assert!(w.asked().contains(&1));
}

#[test]
fn one_that_is_silent_gets_new_sockets() {
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

/// An upstream that sends queries back to us hands us our own answer: it says nothing of how fast the upstream is.
#[test]
fn what_another_answered_is_not_booked_as_the_speed_of_one_that_loops() {
    let mut w = world(&TWO, None);
    for n in 0..20 {
        w.ask(&format!("warm{n}"));
        w.answer(n, 0, true);
    }
    for n in 0..200 {
        w.sent.clear();
        w.ask(&format!("n{n}"));
        w.pass(25);
        assert_eq!(w.asked(), [0, 1], "time {n}: the next is asked as soon as ever");
        w.answer(1, 0, true);
        w.pass(2);
        w.answer(0, 0, true); // the echo
        w.pass(500);
    }
}

#[test]
fn an_upstream_that_goes_down_and_comes_back_is_reported_each_time_once() {
    let mut w = world(&TWO, None);
    assert_eq!(w.engine.report(w.now).upstreams, [], "nobody was asked yet");
    w.ask("one");
    w.until(10);
    w.down(&[0]);
    assert_eq!((w.health_changes, w.engine.report(w.now).upstreams[0].is_down), (1, true));
    w.until(2_000);
    w.ask("two");
    let last_to_it = w.asked().iter().rposition(|to| *to == 0).unwrap();
    w.answer(last_to_it, 0, true);
    let report = w.engine.report(w.now);
    assert_eq!((w.health_changes, report.upstreams[0].is_down), (2, false));
    assert_eq!(report.upstreams[0].last_answer, Some(w.now));
    w.down(&[]);
    assert_eq!(w.health_changes, 2);
}

/// The response to a query was on its way when another worker found that the upstream had gone.
#[test]
fn a_response_that_comes_before_the_verdict_does_not_keep_a_dead_upstream_up() {
    let mut w = world(&TWO, None);
    w.ask("one");
    let suspected = w.now;
    w.until(10);
    w.answer(0, 0, true);
    w.down_since(&[0], suspected);
    assert!(!w.engine.report(w.now).upstreams[0].is_down, "it has said something since");
    w.until(1_500);
    w.perhaps_down.clear();
    w.ask("two");
    let socket = w.sent.iter().rfind(|(to, ..)| *to == 0).map(|(_, socket, _)| *socket).unwrap();
    w.engine.refused(UpstreamId(0), socket, w.now);
    w.act();
    assert_eq!(w.perhaps_down.len(), 1, "the guard hears that it says nothing any more, and moves the time on");
    w.down(&[0]);
    assert!(w.engine.report(w.now).upstreams[0].is_down);
}
