//! What the loop guard has to say: questions of other Onwards, questions that came back, verdicts.

use super::*;

/// A question that has passed another Onward.
pub(super) fn foreign(w: &World, name: &str) -> LookupRequest {
    let other = guard::MarkKey::new(&guard::Secret::new([2; 16]), &[], w.now);
    let mut option = vec![];
    tag::write(&Passed::default(), UpstreamId(1), &other, other.bucket(w.now), &mut option);
    let passed = tag::read(&option[4..], &w.engine.guidance.key, other.bucket(w.now));
    LookupRequest { passed, ..question(name) }
}

#[test]
fn what_has_passed_another_onward_fails_over_and_is_not_hedged() {
    for fails in [Some(2), Some(5), None] {
        for equivalent in [true, false] {
            let mut w = world(&TWO, Some(equivalent));
            w.engine.ask(foreign(&w, "a"), w.now);
            w.act();
            match fails {
                Some(code) => w.answer(0, code, false),
                None => {
                    w.until(599);
                    assert!(!w.asked().contains(&1), "it is not hedged");
                    w.until(600);
                }
            }
            let second = w.asked().iter().position(|upstream| *upstream == 1).unwrap();
            w.answer(second, 0, true);
            let at = if fails.is_some() { 0 } else { 600 };
            assert_eq!(w.done, [Done::Answer { by: 1, code: 0, at }]);
            assert_eq!(w.silent, [0; 0], "it is no reason to probe");
        }
    }
}

#[test]
fn another_onwards_probe_is_asked_of_two_upstreams_at_most() {
    let mut w = world(&["10.0.0.2", "10.0.0.3", "10.0.0.4"], None);
    let name = b"\x05probe\x200123456789abcdef0123456789abcdef\0";
    let key = QuestionKey::new(&[&[0], &name[..], &[0, 1, 0, 1]].concat());
    w.engine.ask(LookupRequest { key, ..question("a") }, w.now);
    w.act();
    w.answer(0, 2, false);
    w.answer(1, 2, false);
    assert_eq!((w.asked(), w.done.len()), (vec![0, 1], 1));
}

#[test]
fn a_client_who_joins_what_has_passed_another_onward_has_it_hedged() {
    let mut w = world(&TWO, None).known();
    w.engine.ask(foreign(&w, "a"), w.now);
    w.act();
    w.engine.widen(&key("a"), w.now);
    w.act();
    assert_eq!(w.asked(), [0], "the one that was asked is still in time");
    w.until(400);
    assert_eq!(w.asked(), [0, 1]);
    w.answer(1, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 1, code: 0, at: 400 }]);
    w.engine.widen(&key("nobody asks this"), w.now);
    w.until(7_000);
    w.assert_empty();
}

#[test]
fn our_own_question_come_back_moves_the_flight_on_at_once() {
    let mut w = world(&TWO, None);
    w.ask("a");
    w.engine.returned(&key("a"), UpstreamId(0), w.now);
    w.act();
    assert_eq!(w.asked(), [0, 1]);
    w.answer(1, 3, false);
    w.until(51);
    w.answer(0, 2, false); // our own refusal, passed on
    assert_eq!(w.done, [Done::Answer { by: 1, code: 3, at: 51 }]);
    let mut w = world(&TWO, None);
    w.ask("a");
    w.engine.returned(&key("a"), UpstreamId(0), w.now);
    w.act();
    w.answer(1, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 1, code: 0, at: 0 }]);
}

/// Marks can be replayed by whoever saw them.
#[test]
fn replayed_marks_do_not_have_a_later_server_deny_a_name_of_an_earlier_one() {
    let mut w = world(&TWO, Some(false));
    w.ask("a");
    w.engine.returned(&key("a"), UpstreamId(0), w.now);
    w.act();
    w.answer(1, 3, false);
    w.until(60);
    w.answer(0, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 60 }]);
    // Where it does loop that costs 100 ms at most.
    let mut w = world(&TWO, Some(false));
    w.ask("a");
    w.engine.returned(&key("a"), UpstreamId(0), w.now);
    w.act();
    w.answer(1, 3, false);
    w.until(1_000);
    assert_eq!(w.done, [Done::Answer { by: 1, code: 3, at: 100 }]);
}

#[test]
fn what_came_back_through_the_last_upstream_is_asked_of_it_again_only_if_it_answers_some() {
    let mut w = world(&TWO[..1], None);
    w.ask("a");
    w.engine.returned(&key("a"), UpstreamId(0), w.now);
    w.act();
    assert_eq!(w.asked(), [0], "a full loop costs one lap");
    w.engine.guide(guidance(Verdicts::of_wavering(UpstreamId(0))), w.now);
    for attempts in [2, 3, 4, 4, 4] {
        w.engine.returned(&key("a"), UpstreamId(0), w.now);
        w.act();
        assert_eq!(w.asked().len(), attempts);
    }
    w.answer(0, 2, false);
    w.answer(3, 0, true);
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }]);
    let mut w = world(&TWO, None);
    w.engine.guide(guidance(Verdicts::of_wavering(UpstreamId(0))), w.now);
    w.ask("a");
    for _ in 0..3 {
        w.engine.returned(&key("a"), UpstreamId(0), w.now);
        w.act();
    }
    assert_eq!(w.asked(), [0, 1], "another one is left");
}

#[test]
fn what_came_back_through_an_upstream_is_asked_of_it_last() {
    let mut w = world(&TWO, None);
    w.engine.ask(LookupRequest { through: Some(UpstreamId(0)), ..question("a") }, w.now);
    w.act();
    assert_eq!(w.asked(), [1]);
}

#[test]
fn a_verdict_frees_the_flights_that_wait_for_the_convicted() {
    let convicted =
        |upstreams: &[u16]| guidance(Verdicts::of_loops(upstreams.iter().map(|number| UpstreamId(*number))));
    let mut w = world(&TWO, Some(false));
    w.ask("a");
    w.engine.guide(convicted(&[0]), w.now);
    w.act();
    assert_eq!(w.asked(), [0, 1], "the lookup goes on at once");
    w.engine.guide(convicted(&[0, 1]), w.now);
    w.act();
    assert_eq!(w.done, [Done::Failed(Failure::Loops(UpstreamId(0)))], "nobody is left, and it is told why");
    w.assert_empty();
}

#[test]
fn an_asker_that_is_an_upstream_is_asked_last() {
    let mut w = world(&TWO, None);
    w.engine.ask(LookupRequest { from: Some("10.0.0.2".parse().unwrap()), ..question("a") }, w.now);
    w.act();
    assert_eq!(w.asked(), [1]);
}
