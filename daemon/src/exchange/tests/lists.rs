//! Lists whose servers do not know the same: whose "no" counts, and for how long.

use super::*;

const LIST: [&str; 2] = ["10.0.0.2", "192.0.2.8"];

/// An NS record: `x` is served by the name of the question.
const NS: [u8; 15] = [1, b'x', 0, 0, 2, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12];

/// Moves on to where the second server has been asked, and returns its query.
fn second(w: &mut World) -> usize {
    w.pass(600);
    w.asked().iter().rposition(|upstream| *upstream == 1).unwrap()
}

#[test]
fn the_next_of_a_list_is_asked_when_patience_is_over_and_its_answer_is_told_at_once() {
    let mut w = world(&LIST, None);
    for (n, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        let begin = 10_000 * n as u64;
        w.until(begin);
        w.sent.clear();
        w.ask(name);
        w.until(begin + 599);
        assert!(!w.asked().contains(&1), "{name}");
        w.until(begin + 600);
        let second = w.asked().iter().position(|upstream| *upstream == 1).unwrap();
        w.answer(second, 0, true);
        assert_eq!(w.done.last(), Some(&Done::Answer { by: 1, code: 0, at: begin + 600 }));
    }
    assert_eq!(w.provisional, [false; 5], "an address is one, whoever says it");
}

#[test]
fn a_no_of_a_later_server_waits_for_an_earlier_one_and_is_provisional() {
    let mut w = world(&LIST, None);
    w.ask("a");
    let no = second(&mut w);
    w.answer(no, 3, false);
    w.until(1_000);
    assert_eq!(w.done, []);
    w.answer(0, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 1_000 }], "the earlier one knows it");
    w.ask("b");
    let no = second(&mut w);
    w.answer(no, 3, false);
    w.until(4_000);
    assert_eq!(w.done[1], Done::Answer { by: 1, code: 3, at: 2_500 });
    assert_eq!(w.provisional, [false, true]);
}

#[test]
fn a_no_is_provisional_whatever_kept_the_earlier_server_from_answering() {
    for code in [2, 5] {
        let mut w = world(&LIST, None);
        w.ask("a");
        w.answer(0, code, false);
        w.answer(1, 3, false);
        assert_eq!((&w.done[..], &w.provisional[..]), (&[Done::Answer { by: 1, code: 3, at: 0 }][..], &[true][..]));
    }
    let mut w = world(&LIST, None);
    w.ask("a");
    w.answer(0, 3, false);
    assert_eq!(w.provisional, [false], "the first server's own no is settled");
    let mut w = world(&TWO, None);
    w.ask("a");
    w.answer(0, 2, false);
    w.answer(1, 3, false);
    assert_eq!(w.provisional, [false], "so is one of a server that knows the same");
}

#[test]
fn a_no_counts_by_the_order_of_the_list_and_not_by_who_was_asked_first() {
    let mut w = world(&LIST, None);
    w.until(10);
    w.down(&[0]);
    w.ask("a");
    assert_eq!(w.asked(), [1, 0]);
    w.answer(0, 3, false);
    assert_eq!((&w.done[..], &w.provisional[..]), (&[Done::Answer { by: 1, code: 3, at: 10 }][..], &[true][..]));
}

#[test]
fn a_lame_server_is_passed_over() {
    let lame: [fn(&mut Vec<u8>); 3] = [
        |m| m[3] = 0,
        |m| {
            (m[3], m[9]) = (0, 1);
            m.extend(NS);
        },
        |m| {
            m[9] = 1;
            m.extend(NS);
        },
    ];
    for (kind, change) in lame.into_iter().enumerate() {
        for equivalent in [true, false] {
            let mut w = world(&TWO, Some(equivalent));
            w.ask("a");
            w.answer_with(0, change);
            assert_eq!(w.asked(), [0, 1], "{kind}");
            w.answer(1, 0, true);
            assert_eq!(w.done, [Done::Answer { by: 1, code: 0, at: 0 }]);
            assert_eq!(w.silent, [0; 0], "no sign of a loop");
        }
        let mut w = world(&TWO[..1], None);
        w.ask("a");
        w.answer_with(0, change);
        assert_eq!(
            w.done,
            [Done::Answer { by: 0, code: 0, at: 0 }],
            "{kind}: all that is said, as other forwarders give it"
        );
        let mut w = world(&TWO, None);
        w.ask("a");
        w.answer_with(0, change);
        w.until(6_000);
        assert_eq!(w.done, [Done::Failed(Failure::NoAnswer)], "{kind}: the other did not say so");
    }
    for is_authoritative in [true, false] {
        let mut w = world(&TWO, None);
        w.ask("a");
        w.answer_with(0, |m| {
            m[2] |= if is_authoritative { 4 } else { 0 };
            m[3] = if is_authoritative { 0 } else { 0x80 };
        });
        assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }], "a name without such records");
    }
}

#[test]
fn what_a_slow_server_says_after_a_later_one_denied_the_name_is_remembered() {
    let mut w = world(&LIST, None);
    w.ask("a");
    w.until(700);
    let other = w.sent.iter().position(|(upstream, ..)| *upstream == 1).unwrap();
    w.answer(other, 3, false);
    w.until(1_600);
    assert_eq!(w.done, [Done::Answer { by: 1, code: 3, at: 1_500 }]);
    w.until(1_700);
    w.answer(0, 0, true);
    assert_eq!(w.done[1..], [Done::Answer { by: 0, code: 0, at: 1_700 }], "whoever asks next gets it");
    assert_eq!(w.provisional, [true, false]);
}

#[test]
fn marks_that_can_be_forged_do_not_change_the_order_of_a_list() {
    for (list, first) in [(LIST, 0), (TWO, 1)] {
        let mut w = world(&list, None);
        w.engine.ask(LookupRequest { through: Some(UpstreamId(0)), ..question("a") }, w.now);
        w.engine.ask(LookupRequest { from: Some("10.0.0.2".parse().unwrap()), ..question("b") }, w.now);
        w.act();
        assert_eq!(w.asked(), [first, first]);
    }
}
