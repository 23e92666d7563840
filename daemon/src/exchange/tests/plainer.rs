//! Queries that go out again plainer: what an upstream does not bear, and what came to a spelled query.

use super::*;
use crate::wire::{flag, rcode};

/// Whether a query has AD, has an OPT, has a name that is not in lower case.
fn form(m: &[u8]) -> (bool, bool, bool) {
    (m[3] & flag::AD != 0, m[11] == 1, m[13..14] != m[13..14].to_ascii_lowercase())
}

/// An upstream answers queries for which `bears` holds. Returns for each of ten names how many queries there were, and
/// after how many milliseconds it had its answer.
fn asked(bears: fn(&[u8]) -> bool) -> Vec<(usize, u64)> {
    let mut w = world(&["10.0.0.2"], None);
    (0..10)
        .map(|n| {
            let (begin, done) = (w.now, w.done.len());
            let first = w.sent.len();
            w.ask(&format!("n{n}"));
            while w.done.len() == done {
                let open: Vec<usize> = (first..w.sent.len()).filter(|at| bears(&w.sent[*at].2)).collect();
                open.first().copied().into_iter().for_each(|at| w.answer(at, 0, true));
                w.pass(10);
            }
            // Late responses to the other ones.
            for at in first..w.sent.len() {
                if bears(&w.sent[at].2.clone()) {
                    w.answer(at, 0, true);
                }
            }
            let took = u64::try_from((w.now - begin).as_millis()).unwrap();
            w.pass(2_000);
            (w.sent.len() - first, took)
        })
        .collect()
}

#[test]
fn an_upstream_that_drops_what_it_does_not_bear_is_learnt_by_its_first_question() {
    let kinds: [fn(&[u8]) -> bool; 3] = [|m| !form(m).1, |m| !form(m).0, |m| !form(m).0 && !form(m).1];
    for (kind, bears) in kinds.into_iter().enumerate() {
        let asked = asked(bears);
        assert!(asked[0].1 < 200 && asked[0].0 <= 4, "{kind}: {asked:?}");
        assert!(asked[1..].iter().all(|(_, took)| *took <= 10), "{kind}: {asked:?}");
        assert!(asked[3..].iter().all(|(count, _)| *count == 1), "{kind}: {asked:?}");
    }
    let usual = asked(|_| true);
    assert!(usual.iter().all(|(count, took)| *count == 1 && *took <= 10), "{usual:?}");
}

#[test]
fn ad_alone_is_left_out_where_edns_is_borne() {
    let mut w = world(&["10.0.0.2"], None);
    w.ask("a");
    w.until(150);
    let forms: Vec<_> = w.sent.iter().map(|(.., m)| form(m)).collect();
    assert_eq!(forms, [(true, true, false), (false, true, false), (false, false, false)]);
    w.answer(2, 0, true);
    w.answer(1, 0, true);
    w.ask("b");
    assert_eq!(form(&w.sent[3].2), (false, true, false));
    assert_eq!(form(&w.sent[4].2), (true, true, false), "a packet may have been lost");
    w.answer(4, 0, true);
    w.ask("c");
    assert_eq!((w.sent.len(), form(&w.sent[5].2)), (6, (true, true, false)), "it was");
}

#[test]
fn the_guard_is_told_once_a_second_of_an_upstream_that_may_bear_no_opt_any_more() {
    let mut w = world(&["10.0.0.2"], None).known();
    for n in 0..30 {
        let first = w.sent.len();
        w.ask(&format!("n{n}"));
        w.answer(first, rcode::FORMERR, false);
        assert!(!form(&w.sent[first + 1].2).1, "asked at once without an OPT");
        w.answer(first + 1, 0, true);
        w.pass(100);
    }
    assert_eq!(w.edns_doubts, [0, 0, 0]);
}

#[test]
fn an_upstream_that_is_asked_again_without_an_opt_has_no_more_time_than_others() {
    let mut w = world(&TWO, Some(false));
    w.ask("a");
    w.until(350);
    w.answer(0, rcode::FORMERR, false);
    w.until(599);
    assert!(w.sent.iter().all(|(upstream, ..)| *upstream == 0));
    w.until(601);
    assert!(w.sent.iter().any(|(upstream, ..)| *upstream == 1), "the client's time is for all");
}

/// A world whose first upstream is suspect: its queries are spelled.
fn spelled(always: bool) -> World {
    let mut w = world(&TWO, Some(false)).known();
    let verdicts = if always { Verdicts::that_spell() } else { Verdicts::of_suspect(UpstreamId(0)) };
    w.engine.guide(guidance(verdicts), w.now);
    w
}

#[test]
fn what_a_spelled_query_brought_that_is_no_answer_is_asked_again_without() {
    for (code, change) in [(3, 0), (2, 0), (5, 0), (0, 0), (0, 1)] {
        let mut w = spelled(false);
        w.ask("aaaaaaaaaaaaaaaa");
        assert_ne!(w.sent[0].2[13..29], *b"aaaaaaaaaaaaaaaa", "it is spelled");
        match change {
            0 => w.answer(0, code, false),
            _ => w.answer_with(0, |m| m[13..29].make_ascii_lowercase()),
        }
        assert_eq!((w.asked(), &w.done[..]), (vec![0, 0], &[][..]), "code {code}");
        assert_eq!(w.sent[1].2[13..29], *b"aaaaaaaaaaaaaaaa");
        w.answer(1, 0, true);
        assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }], "code {code}");
    }
    // The same without spelling is believed.
    let mut w = spelled(false);
    w.ask("aaaaaaaaaaaaaaaa");
    w.answer(0, 3, false);
    w.answer(1, 3, false);
    assert_eq!((w.asked(), &w.done[..]), (vec![0, 0], &[Done::Answer { by: 0, code: 3, at: 0 }][..]));
}

#[test]
fn a_spelled_query_that_is_late_goes_out_without_spelling() {
    let mut w = spelled(false);
    w.ask("aaaaaaaaaaaaaaaa");
    w.until(400);
    assert_eq!((w.asked(), &w.sent[1].2[13..29]), (vec![0, 0], &b"aaaaaaaaaaaaaaaa"[..]));
    w.answer(1, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 400 }]);
}

#[test]
fn where_all_are_spelled_a_response_is_believed_as_before() {
    let mut w = spelled(true);
    w.ask("aaaaaaaaaaaaaaaa");
    w.answer(0, 3, false);
    assert_eq!((w.asked(), &w.done[..]), (vec![0], &[Done::Answer { by: 0, code: 3, at: 0 }][..]));
    w.ask("bbbbbbbbbbbbbbbb");
    w.answer_with(1, |m| m[13..29].make_ascii_lowercase());
    assert_eq!((w.asked(), w.done.len()), (vec![0, 0], 1), "it may be forged");
    w.until(400);
    assert_eq!(w.streams.len(), 1);
}
