//! Answers that have the same upstream asked again: cut ones over a stream, and those of upstreams without EDNS.

use super::*;

#[test]
fn a_cut_answer_is_asked_for_again_over_a_stream() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.answer_with(0, |m| m[2] |= 2);
    let (attempt, upstream) = w.streams[0];
    assert_eq!(upstream, 0);
    let mut m = w.engine.message(attempt).unwrap().to_vec();
    m.truncate(m.len() - 11);
    (m[2], m[3], m[11]) = (0x81, 0x80, 0);
    w.streamed(attempt, Some(&m));
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
fn a_truncated_response_is_told_of_when_the_stream_is_silent() {
    let mut w = world(&["10.0.0.2"], None);
    w.ask("a");
    w.answer_with(0, |m| m[2] |= 2);
    w.pass(1800);
    assert_eq!((w.overdue, w.overdue_truncated), (1, 1));
}

#[test]
fn what_an_earlier_upstream_has_too_much_of_for_a_datagram_no_later_one_denies() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.answer_with(0, |m| m[2] |= 2);
    w.streamed(w.streams[0].0, None);
    w.answer(1, 3, false);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }]);
    w.assert_empty();
}

#[test]
fn a_header_without_a_question_is_the_upstreams_word() {
    for (change, asked, streams) in [(0x02, vec![0], 1), (0, vec![0, 1], 0)] {
        let mut w = world(&TWO, None);
        w.ask("a");
        w.answer_with(0, |m| {
            m.truncate(12);
            (m[2], m[3], m[5]) = (m[2] | change, if change == 0 { 5 } else { 0 }, 0);
        });
        assert_eq!((w.asked(), w.streams.len()), (asked, streams));
    }
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

#[test]
fn a_stream_that_is_late_has_the_next_of_a_list_asked() {
    let mut w = world(&TWO, Some(false));
    w.ask("a");
    w.answer_with(0, |m| m[2] |= 2);
    w.until(599);
    assert_eq!(w.asked(), [0]);
    w.until(600);
    assert_eq!(w.asked(), [0, 1]);
}

#[test]
fn an_upstream_that_has_left_the_set_is_not_asked_again_without_edns() {
    for (gone, asked) in [(1, vec![0, 1]), (2, vec![0])] {
        let mut w = world(&TWO, None);
        w.ask("a");
        let mut numbers = UpstreamIds::default();
        let all = TWO.map(|server| (server.parse().unwrap(), Arc::from("test")));
        let _ = UpstreamSet::new(all.to_vec(), None, &mut numbers);
        w.engine.adopt(Arc::new(UpstreamSet::new(all[gone..].to_vec(), None, &mut numbers)));
        w.act();
        w.answer_with(0, |m| m[3] |= 1);
        assert_eq!((w.asked(), w.sockets.len()), (asked, 2 - gone), "no socket of the one that left");
        w.until(7000);
        assert_eq!(w.done, [Done::Failed(Failure::NoAnswer)]);
        w.assert_empty();
    }
}
