//! Who is asked for, who waits, who is held, who is refused.

use std::time::Duration;

use super::*;
use crate::guard::Relay;
use crate::respond::ResponseParams;
use crate::upstream::UpstreamId;

fn waiter(deadline: Instant) -> Waiter {
    let wants = ResponseParams { opt: false, dnssec: false, authentic: false, room: 512, payload: 1232 };
    Waiter {
        packet: [].into(),
        question_end: 0,
        wants,
        deadline,
        returned_through: None,
        asker: Asker::Client,
        relay: None,
        start: Start::AtOnce,
        from: ([10, 0, 0, 9], 1).into(),
        reply_to: ReplyTo::Stream(ClientId(0)),
    }
}

#[test]
fn the_first_starts_a_lookup_and_the_others_wait() {
    let (waiters, now) = (Waiters::new(10, 10), crate::clock::now());
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::First);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::Waits);
    assert!(!waiters.start(&QuestionKey::new(b"a")) && waiters.start(&QuestionKey::new(b"b")));
    assert_eq!((waiters.len(), waiters.waiting()), (2, 2));
    assert_eq!(waiters.finish(b"a").len(), 2);
    assert_eq!(waiters.finish(b"a").len(), 0);
    assert_eq!((waiters.len(), waiters.waiting()), (1, 0));
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::First);
}

#[test]
fn those_whose_time_is_up_leave_and_the_lookup_goes_on() {
    let (waiters, now) = (Waiters::new(10, 10), crate::clock::now());
    let later = now + Duration::from_secs(1);
    let _ = waiters.join(&QuestionKey::new(b"a"), waiter(now), now);
    let _ = waiters.join(&QuestionKey::new(b"a"), waiter(later), now);
    let overdue = waiters.overdue(b"a", now);
    assert_eq!((overdue.waiting.len(), overdue.returned.len(), overdue.next), (1, 0, Some(later)));
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::Waits);
}

#[test]
fn repeats_of_what_came_back_and_was_refused_are_refused_at_once() {
    let (waiters, now) = (Waiters::new(10, 10), crate::clock::now());
    let marked = || Waiter { returned_through: Some(UpstreamId(1)), ..waiter(now) };
    let _ = waiters.join(&QuestionKey::new(b"a"), waiter(now + Duration::from_secs(1)), now);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), marked(), now), Join::Waits);
    assert_eq!(waiters.overdue(b"a", now).returned.len(), 1);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), marked(), now), Join::Refused);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::Waits);
    assert_eq!(waiters.waiting(), 2);
}

#[test]
fn a_client_who_joins_a_query_of_another_onward_has_all_upstreams_asked() {
    let (waiters, now) = (Waiters::new(10, 10), crate::clock::now());
    let foreign = || Waiter { asker: Asker::Onward, ..waiter(now) };
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), foreign(), now), Join::First);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), foreign(), now), Join::Waits);
    assert!(waiters.asker(b"a") == Asker::Onward);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::Widens);
    assert!(waiters.asker(b"a") == Asker::Client);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::Waits, "once is enough");
    assert_eq!(waiters.join(&QuestionKey::new(b"b"), waiter(now), now), Join::First);
    assert_eq!(waiters.join(&QuestionKey::new(b"b"), foreign(), now), Join::Waits);
    assert!(waiters.asker(b"b") == Asker::Client);
}

#[test]
fn what_came_back_asking_for_more_is_held_and_a_client_has_it_asked_at_once() {
    let (waiters, now) = (Waiters::new(10, 10), crate::clock::now());
    let held = || Waiter { start: Start::Held, asker: Asker::Onward, ..waiter(now) };
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), held(), now), Join::Held);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), held(), now), Join::Waits);
    assert!(waiters.is_held(b"a") && !waiters.is_asked(b"a") && waiters.concerns(b"a", now));
    assert_eq!(
        waiters.join(&QuestionKey::new(b"a"), waiter(now), now),
        Join::First,
        "it is asked for the client's sake"
    );
    assert!(!waiters.release(b"a") && waiters.is_asked(b"a") && waiters.refuse(b"a", now).is_empty());
    assert_eq!(waiters.finish(b"a").len(), 3);
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), held(), now), Join::Held);
    assert!(waiters.release(b"a") && waiters.is_asked(b"a"), "after 50 ms it is asked like any other");
}

#[test]
fn repeats_of_what_was_held_and_refused_are_refused_for_a_while_and_clients_never() {
    let (waiters, now) = (Waiters::new(10, 10), crate::clock::now());
    let held = || Waiter { start: Start::Held, ..waiter(now) };
    let _ = waiters.join(&QuestionKey::new(b"a"), held(), now);
    assert_eq!((waiters.refuse(b"a", now).len(), waiters.len()), (1, 0));
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), held(), now), Join::Refused);
    assert!(waiters.concerns(b"a", now) && !waiters.concerns(b"b", now));
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::First);
    let _ = waiters.finish(b"a");
    let later = now + Duration::from_secs(5);
    assert!(!waiters.concerns(b"a", later));
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), held(), later), Join::Held);
    assert_eq!(waiters.waiting(), 1);
}

#[test]
fn repeats_of_what_was_surely_ours_are_known_when_its_lookup_is_over() {
    let (waiters, now) = (Waiters::new(10, 10), crate::clock::now());
    waiters.was_refused(b"a", now);
    waiters.was_refused(b"a", now);
    assert!(waiters.concerns(b"a", now) && !waiters.concerns(b"a", now + Duration::from_secs(5)));
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::First, "it has no mark");
}

#[test]
fn a_flood_of_names_or_of_askers_ends_at_the_limit() {
    let (waiters, now) = (Waiters::new(2, 7), crate::clock::now());
    for name in [b"a", b"b"] {
        assert_eq!(waiters.join(&QuestionKey::new(name), waiter(now), now), Join::First);
    }
    assert_eq!(waiters.join(&QuestionKey::new(b"c"), waiter(now), now), Join::Full);
    for _ in 0..6 {
        assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::Waits);
    }
    assert_eq!(waiters.join(&QuestionKey::new(b"a"), waiter(now), now), Join::Full);
}

/// Others than these are answered when the lookup ends.
#[test]
fn a_query_that_came_by_a_detour_is_refused_soon_and_so_are_its_repeats() {
    let (waiters, now) = (Waiters::new(10, 10), crate::clock::now());
    let until = now + HOLD;
    let by = |origin, onwards| Waiter {
        asker: Asker::Onward,
        relay: Some(Relay { origin, onwards }),
        ..waiter(now + Duration::from_secs(1))
    };
    let key = QuestionKey::new(b"a");
    assert_eq!(waiters.join(&key, by(7, 1), now), Join::First);
    assert_eq!(waiters.join(&key, by(7, 1), now), Join::Waits, "a repeat");
    assert_eq!(waiters.join(&key, by(8, 3), now), Join::Waits, "of another client");
    assert_eq!(waiters.join(&key, by(7, 2), now), Join::Detour(until));
    let overdue = waiters.overdue(b"a", until);
    assert_eq!((overdue.waiting.len(), overdue.returned.len()), (0, 1));
    assert_eq!(waiters.join(&key, by(7, 2), now), Join::Refused);
    assert_eq!(waiters.finish(b"a").len(), 3);
    assert_eq!(waiters.join(&key, by(7, 1), now), Join::First);
    waiters.has_failed(b"a", now);
    assert_eq!(waiters.finish(b"a").len(), 1);
    assert_eq!(waiters.join(&key, by(7, 2), now + FAILED / 2), Join::Refused, "by another way");
    assert_eq!(waiters.join(&key, by(8, 2), now), Join::First, "of another client");
    assert_eq!(waiters.finish(b"a").len(), 1);
    let now = now + FAILED;
    let client = Waiter { asker: Asker::Client, relay: None, ..by(7, 1) };
    assert_eq!(waiters.join(&key, client, now), Join::First);
    assert_eq!(waiters.join(&key, by(7, 2), now), Join::Waits, "a client of ours began it");
}
