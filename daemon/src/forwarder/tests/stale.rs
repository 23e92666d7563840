//! Near an answer's end and behind it.

use super::*;

/// A world whose client has asked for a name that has an address for 20 s.
fn learnt() -> World {
    let mut w = world(&["10.0.0.2"]);
    w.ask("www.example");
    w.answer(address(1, 20));
    w.answered();
    w
}

fn host(w: &mut World) -> Option<u8> {
    read(&w.ask("www.example").expect("it is answered at once")).1
}

#[test]
fn a_hot_name_is_refreshed_once_and_a_failing_refresh_leaves_the_answer() {
    let mut w = learnt();
    for ms in (0..19_900).step_by(50) {
        w.until(ms);
        assert_eq!(host(&mut w), Some(1));
        if w.sent.len() == 2 && ms < 18_100 {
            w.answer(failure);
        }
    }
    assert_eq!(w.sent.len(), 2, "the first question and one refresh");
}

#[test]
fn when_it_has_ended_a_client_waits_for_an_upstream_and_then_it_is_given_at_once() {
    let mut w = learnt();
    w.until(30_000);
    assert_eq!(w.ask("www.example"), None);
    w.until(31_800);
    assert_eq!(w.answered().iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(0, Some(1), Some(3))]);
    assert_eq!(host(&mut w), Some(1), "the next need not wait, though the lookup goes on");
}

#[test]
fn a_stale_answer_ends_soon_after_the_upstream_is_back() {
    let mut w = learnt();
    w.until(30_000);
    w.ask("www.example");
    w.answer(failure);
    assert_eq!(w.answered().iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(0, Some(1), Some(3))]);
    let before = w.sent.len();
    for ms in (30_000..33_000).step_by(100) {
        w.until(ms);
        assert_eq!(host(&mut w), Some(1));
    }
    assert_eq!(w.sent.len(), before, "nobody is asked meanwhile");
    w.until(33_000);
    assert_eq!((host(&mut w), w.sent.len()), (Some(1), before + 1), "one is asked in the background");
    w.answer(address(2, 20));
    assert_eq!(host(&mut w), Some(2));
}

#[test]
fn a_removed_address_does_not_come_back_in_the_next_outage() {
    for newer in [&address(9, 0) as &dyn Fn(&[u8]) -> Vec<u8>, &|query| head(query, rcode::NXDOMAIN, 0)] {
        let mut w = learnt();
        w.until(30_000);
        w.ask("www.example");
        w.answer(newer);
        assert_eq!(w.answered().len(), 1);
        w.ask("www.example");
        w.refuse();
        let answers = w.answered();
        assert_eq!(answers.iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(2, None, Some(22))]);
    }
}

#[test]
fn stale_answers_of_the_old_list_serve_where_the_new_one_is_dead() {
    let mut w = learnt();
    w.change_upstreams(&["10.0.0.9"]);
    assert_eq!(w.ask("www.example"), None, "the new one is asked");
    assert_eq!(w.sent.last().unwrap().upstream.0, 1);
    w.refuse();
    assert_eq!(w.answered().iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(0, Some(1), Some(3))]);
}

#[test]
fn a_no_of_a_later_server_while_the_first_is_closed_takes_no_address_away_and_does_not_last() {
    let mut w = world(&["10.0.0.2", "192.0.2.53"]);
    w.ask("www.example");
    w.answer(address(1, 20));
    w.answered();
    w.until(30_000);
    for name in ["www.example", "new.example"] {
        w.ask(name);
        w.refuse();
        assert_eq!(w.sent.last().unwrap().upstream.0, 1, "{name}: the later one is asked");
        w.answer(denial);
    }
    let answers = w.answered();
    assert_eq!(answers.iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(0, Some(1), Some(3)), (3, None, None)]);
    w.until(34_900);
    assert_eq!(w.ask("new.example").map(|answer| read(&answer).0), Some(3));
    w.until(35_100);
    assert_eq!(w.ask("new.example"), None, "after 5 s it is asked again");
}

#[test]
fn what_the_old_list_denied_is_not_denied_where_the_new_one_is_dead() {
    let mut w = world(&["10.0.0.2"]);
    w.ask("www.example");
    w.answer(denial);
    w.answered();
    w.change_upstreams(&["10.0.0.9"]);
    w.ask("www.example");
    w.refuse();
    assert_eq!(w.answered().iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(2, None, Some(22))]);
}
