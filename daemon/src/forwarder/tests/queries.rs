//! From a query to its response.

use super::*;

#[test]
fn a_miss_is_asked_once_and_all_who_wait_get_it_in_their_own_spelling() {
    let mut w = world(&["10.0.0.2"]);
    assert_eq!(w.ask("www.example"), None);
    let (reply, _) = w.take(&query("WWW.example", 8), LISTENER);
    assert_eq!((reply, w.sent.len()), (Reply::Later, 1));
    w.answer(address(1, 60));
    let to = ReplyTo::Udp(ListenerId(3), CLIENT);
    assert_eq!(w.responses.iter().map(|(reply_to, _)| *reply_to).collect::<Vec<_>>(), [to, to]);
    let answers = w.answered();
    assert_eq!(
        answers.iter().map(|answer| (answer[1], &answer[13..16])).collect::<Vec<_>>(),
        [(7, &b"www"[..]), (8, b"WWW")]
    );
    let hit = w.ask("www.example").unwrap();
    assert_eq!((read(&hit), w.sent.len()), ((0, Some(1), None), 1));
}

#[test]
fn a_client_is_answered_in_time_and_what_comes_late_is_kept() {
    let mut w = world(&["10.0.0.2"]);
    w.ask("www.example");
    w.until(1_799);
    assert_eq!(w.answered(), [[0; 0]; 0]);
    w.until(1_800);
    let answers = w.answered();
    assert_eq!(answers.iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(2, None, Some(22))]);
    w.until(3_000);
    w.answer(address(1, 60));
    assert_eq!(w.answered(), [[0; 0]; 0], "the client has its answer");
    assert_eq!(w.ask("www.example").map(|answer| read(&answer)), Some((0, Some(1), None)));
}

#[test]
fn a_closed_port_fails_over_and_the_last_one_fails_at_once() {
    let mut w = world(&["10.0.0.2", "10.0.0.3"]);
    w.ask("www.example");
    w.refuse();
    assert_eq!(w.sent.iter().map(|sent| sent.upstream.0).collect::<Vec<_>>(), [0, 1]);
    w.refuse();
    let answers = w.answered();
    assert_eq!(answers.iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(2, None, Some(22))]);
}

#[test]
fn without_an_upstream_a_client_is_told_so() {
    let mut w = world(&[]);
    w.ask("www.example");
    let answers = w.answered();
    assert_eq!(answers.iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(2, None, Some(14))]);
}

#[test]
fn a_truncated_response_is_asked_for_over_a_stream_for_clients_of_both_kinds() {
    let mut w = world(&["10.0.0.2"]);
    w.ask("www.example");
    let client = ClientId(5);
    assert_eq!(w.take(&query("www.example", 9), Ingress::Stream(client)).0, Reply::Later);
    w.answer(|query| {
        let mut cut = head(query, 0, 0);
        cut[2] |= flag::TC;
        cut
    });
    let (attempt, message) = w.streams.pop().unwrap();
    assert_eq!(w.responses.len(), 0);
    w.forwarder.handle_stream(attempt, Ok(&address(1, 60)(&message)), w.now);
    w.act();
    assert_eq!(
        w.responses.iter().map(|(reply_to, answer)| (*reply_to, read(answer).1)).collect::<Vec<_>>(),
        [(ReplyTo::Udp(ListenerId(3), CLIENT), Some(1)), (ReplyTo::Stream(client), Some(1))]
    );
}

#[test]
fn a_client_that_waits_for_the_lookup_of_another_worker_is_answered_by_that_one() {
    let mut one = world(&["10.0.0.2"]);
    let shared = Arc::clone(one.forwarder.shared());
    let mut other = Forwarder::new(Arc::clone(&shared), engine(&shared), one.now);
    one.ask("www.example");
    let mut out = vec![];
    other.begin_batch(one.now);
    let incoming = Incoming { packet: &query("www.example", 9), from: CLIENT, ingress: Ingress::Udp(ListenerId(4)) };
    assert_eq!(other.handle_query(&incoming, &mut out), Reply::Later);
    assert!(other.poll_transmit(one.now, &mut out).is_none(), "it is asked already");
    one.answer(address(1, 60));
    assert_eq!(
        one.responses.iter().map(|(reply_to, _)| *reply_to).collect::<Vec<_>>(),
        [ReplyTo::Udp(ListenerId(3), CLIENT), ReplyTo::Udp(ListenerId(4), CLIENT)]
    );
    assert_eq!(other.handle_query(&incoming, &mut out), Reply::Now);
}

#[test]
fn who_is_not_allowed_is_refused_until_the_allow_list_is_another() {
    let mut w = world(&["10.0.0.2"]);
    let allow = |w: &mut World, private| {
        let allowed = Allowed { private, ..Allowed::default() };
        w.forwarder.shared().allow.store(Arc::new(AllowList::compile(&allowed, &Tables::default())));
        w.forwarder.handle_event(Event::AllowList, w.now);
    };
    allow(&mut w, false);
    assert_eq!(w.ask("www.example").map(|answer| read(&answer)), Some((5, None, Some(18))));
    assert_eq!(w.sent.len(), 0);
    allow(&mut w, true);
    assert_eq!((w.ask("www.example"), w.sent.len()), (None, 1));
}

#[test]
fn what_is_no_query_gets_silence_and_what_is_odd_is_asked_plainly() {
    let mut w = world(&["10.0.0.2"]);
    let mut response = query("www.example", 1);
    response[2] |= flag::QR;
    assert_eq!(w.take(&response, LISTENER).0, Reply::None);
    assert_eq!(w.take(b"short", LISTENER).0, Reply::None);
    let mut odd = query("www.example", 1);
    odd[2] |= flag::TC; // means nothing in a query
    let (reply, _) = w.take(&odd, LISTENER);
    assert_eq!((reply, w.sent.len()), (Reply::Later, 1));
}

#[test]
fn a_probe_that_came_home_is_held_and_its_repeats_are_not() {
    let mut w = world(&["10.0.0.2"]);
    let probe = w.probes.pop().unwrap();
    assert_eq!(w.take(&probe, LISTENER).0, Reply::Later);
    assert_eq!(w.take(&probe, LISTENER).0, Reply::Now);
    w.until(24);
    assert_eq!(w.responses.len(), 0);
    w.until(25);
    let answers = w.answered();
    assert_eq!(answers.iter().map(|answer| answer[3] & flag::RCODE).collect::<Vec<_>>(), [2]);
    assert_eq!(w.sent.len(), 0, "it is asked of nobody");
}

#[test]
fn a_query_that_came_back_is_refused_alone_and_its_lookup_goes_on() {
    let mut w = world(&["10.0.0.2", "10.0.0.3"]);
    w.ask("www.example");
    let returned = w.sent[0].message.clone();
    let (reply, _) = w.take(&returned, LISTENER);
    assert_eq!(reply, Reply::Later);
    assert_eq!(w.sent.iter().map(|sent| sent.upstream.0).collect::<Vec<_>>(), [0, 1], "the next is asked at once");
    assert!(matches!(w.told[..], [Event::Returned(..)]), "other workers may have its lookup: {:?}", w.told);
    w.until(50);
    let answers = w.answered();
    assert_eq!(answers.iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(2, None, Some(23))]);
    w.answer(address(1, 60));
    let answers = w.answered();
    assert_eq!(answers.iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(0, Some(1), None)]);
}
