//! Who flies, who waits, who is held, who is refused.

use std::time::Duration;

use super::*;

fn waiter(deadline: Instant) -> Waiter {
    let wants = ResponseParams { opt: false, dnssec: false, authentic: false, room: 512, payload: 1232 };
    Waiter {
        packet: [].into(),
        question_end: 0,
        wants,
        deadline,
        came_through: None,
        alone: false,
        held: false,
        back: WayBack::Tcp(tokio::sync::oneshot::channel().0),
    }
}

#[test]
fn the_first_flies_and_the_others_wait() {
    let (flights, now) = (Waiters::new(10, 10), crate::clock::now());
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::First);
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits);
    assert!(!flights.start(&QuestionKey::new(b"a")) && flights.start(&QuestionKey::new(b"b")));
    assert_eq!((flights.len(), flights.waiting()), (2, 2));
    assert_eq!(flights.finish(b"a").len(), 2);
    assert_eq!(flights.finish(b"a").len(), 0);
    assert_eq!((flights.len(), flights.waiting()), (1, 0));
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::First);
}

#[test]
fn those_whose_time_is_up_leave_and_the_flight_goes_on() {
    let (flights, now) = (Waiters::new(10, 10), crate::clock::now());
    let later = now + Duration::from_secs(1);
    let _ = flights.join(&QuestionKey::new(b"a"), waiter(now), now);
    let _ = flights.join(&QuestionKey::new(b"a"), waiter(later), now);
    let (due, next) = flights.overdue(b"a", now);
    assert_eq!((due.len(), next), (1, Some(later)));
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits);
}

#[test]
fn repeats_of_what_came_back_and_was_refused_are_refused_at_once() {
    let (flights, now) = (Waiters::new(10, 10), crate::clock::now());
    let marked = || Waiter { came_through: Some(UpstreamId(1)), ..waiter(now) };
    let _ = flights.join(&QuestionKey::new(b"a"), waiter(now + Duration::from_secs(1)), now);
    assert_eq!(flights.join(&QuestionKey::new(b"a"), marked(), now), Joined::Waits);
    assert_eq!(flights.overdue(b"a", now).0.len(), 1);
    assert_eq!(flights.join(&QuestionKey::new(b"a"), marked(), now), Joined::Refused);
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits);
    assert_eq!(flights.waiting(), 2);
}

#[test]
fn a_client_who_joins_a_question_of_another_onward_makes_its_flight_an_ordinary_one() {
    let (flights, now) = (Waiters::new(10, 10), crate::clock::now());
    let foreign = || Waiter { alone: true, ..waiter(now) };
    assert_eq!(flights.join(&QuestionKey::new(b"a"), foreign(), now), Joined::First);
    assert_eq!(flights.join(&QuestionKey::new(b"a"), foreign(), now), Joined::Waits);
    assert!(flights.is_alone(b"a"));
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Widens);
    assert!(!flights.is_alone(b"a"));
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits, "once is enough");
    assert_eq!(flights.join(&QuestionKey::new(b"b"), waiter(now), now), Joined::First);
    assert_eq!(flights.join(&QuestionKey::new(b"b"), foreign(), now), Joined::Waits);
    assert!(!flights.is_alone(b"b"));
}

#[test]
fn what_came_back_asking_for_more_is_held_and_a_client_has_it_asked_at_once() {
    let (flights, now) = (Waiters::new(10, 10), crate::clock::now());
    let held = || Waiter { held: true, alone: true, ..waiter(now) };
    assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), now), Joined::Held);
    assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), now), Joined::Waits);
    assert!(flights.is_held(b"a") && !flights.is_flying(b"a") && flights.concerns(b"a", now));
    assert_eq!(
        flights.join(&QuestionKey::new(b"a"), waiter(now), now),
        Joined::First,
        "it is asked for the client's sake"
    );
    assert!(!flights.release(b"a") && flights.is_flying(b"a") && flights.refuse(b"a", now).is_empty());
    assert_eq!(flights.finish(b"a").len(), 3);
    assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), now), Joined::Held);
    assert!(flights.release(b"a") && flights.is_flying(b"a"), "after 50 ms it is asked like any other");
}

#[test]
fn repeats_of_what_was_held_and_refused_are_refused_for_a_while_and_clients_never() {
    let (flights, now) = (Waiters::new(10, 10), crate::clock::now());
    let held = || Waiter { held: true, ..waiter(now) };
    let _ = flights.join(&QuestionKey::new(b"a"), held(), now);
    assert_eq!((flights.refuse(b"a", now).len(), flights.len()), (1, 0));
    assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), now), Joined::Refused);
    assert!(flights.concerns(b"a", now) && !flights.concerns(b"b", now));
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::First);
    let _ = flights.finish(b"a");
    let later = now + Duration::from_secs(5);
    assert!(!flights.concerns(b"a", later));
    assert_eq!(flights.join(&QuestionKey::new(b"a"), held(), later), Joined::Held);
    assert_eq!(flights.waiting(), 1);
}

#[test]
fn repeats_of_what_was_surely_ours_are_known_when_its_flight_is_over() {
    let (flights, now) = (Waiters::new(10, 10), crate::clock::now());
    flights.was_refused(b"a", now);
    flights.was_refused(b"a", now);
    assert!(flights.concerns(b"a", now) && !flights.concerns(b"a", now + Duration::from_secs(5)));
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::First, "it has no mark");
}

#[test]
fn a_flood_of_names_or_of_askers_ends_at_the_limit() {
    let (flights, now) = (Waiters::new(2, 7), crate::clock::now());
    for name in [b"a", b"b"] {
        assert_eq!(flights.join(&QuestionKey::new(name), waiter(now), now), Joined::First);
    }
    assert_eq!(flights.join(&QuestionKey::new(b"c"), waiter(now), now), Joined::Full);
    for _ in 0..6 {
        assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Waits);
    }
    assert_eq!(flights.join(&QuestionKey::new(b"a"), waiter(now), now), Joined::Full);
}
