//! Two routes: nothing leaks from one into the other.

use super::*;
use crate::exchange::stream::Distrust;
use crate::upstream::Route;
use crate::wire::name::wire;

/// Names under `corp` are asked of the first two upstreams, which are equivalent; all others of the last two, which are
/// not.
fn world_of_two_routes() -> World {
    let mut w = world(&[], None);
    let mut ids = UpstreamIds::default();
    let mut route = |suffix: &str, servers: [&str; 2], equivalent| {
        let servers = servers.map(|server| (server.parse().unwrap(), Arc::from("test")));
        Route::new(&wire(suffix), servers.to_vec(), Some(equivalent), &mut ids)
    };
    let corp = route("corp", ["10.0.0.2", "10.0.0.3"], true);
    let root = route("", ["192.0.2.8", "192.0.2.9"], false);
    w.engine.adopt(Arc::new(UpstreamSet::of_routes(vec![root, corp])));
    w
}

/// A question for a name under `corp`.
fn corp(name: &str) -> LookupRequest {
    let key = QuestionKey::new(&[&[0], &wire(&format!("{name}.corp"))[..], &[0, 1, 0, 1]].concat());
    LookupRequest { key, ..question(name) }
}

#[test]
fn each_name_is_asked_of_the_servers_of_its_route_only() {
    let mut w = world_of_two_routes();
    w.engine.ask(corp("a"), w.now);
    w.ask("a");
    w.act();
    assert_eq!(w.asked(), [0, 2]);
    w.until(7_000);
    let of = |suffix: &[u8]| -> Vec<usize> {
        let is_of = |m: &[u8]| m[12..].windows(suffix.len()).any(|part| part == suffix);
        w.sent.iter().filter(|(.., m)| is_of(m)).map(|(upstream, ..)| *upstream).collect()
    };
    assert!(of(b"\x04corp\0").iter().all(|upstream| *upstream < 2), "failover stays in the route");
    assert!(of(b"\x01a\0").iter().all(|upstream| *upstream >= 2));
    assert_eq!(w.done.len(), 2);
}

#[test]
fn a_route_is_hedged_and_its_nos_count_by_its_own_rules() {
    let mut w = world_of_two_routes();
    w.engine.ask(corp("a"), w.now);
    w.ask("b");
    w.act();
    w.until(400);
    let asked = w.asked();
    assert!(asked.contains(&1) && !asked.contains(&3), "only the equivalent ones are hedged: {asked:?}");
    w.answer(asked.iter().position(|upstream| *upstream == 0).unwrap(), 2, false);
    w.answer(asked.iter().position(|upstream| *upstream == 1).unwrap(), 3, false);
    w.answer(asked.iter().position(|upstream| *upstream == 2).unwrap(), 2, false);
    let last = w.asked().iter().position(|upstream| *upstream == 3).unwrap();
    w.answer(last, 3, false);
    assert_eq!(w.provisional, [false, true]);
}

#[test]
fn one_that_is_down_or_loops_in_a_route_changes_nothing_in_another() {
    let mut w = world_of_two_routes();
    w.until(10);
    w.down(&[0]);
    w.ask("a");
    assert_eq!(w.asked(), [2], "and no name leaves for it to see whether it is back");
    w.engine.ask(corp("a"), w.now);
    w.act();
    assert_eq!(w.asked()[1..], [1, 0]);
    w.engine.guide(guidance(Verdicts::of_loops([0, 1].map(UpstreamId).into_iter())), w.now);
    w.engine.ask(corp("b"), w.now);
    w.act();
    assert_eq!(w.done.last(), Some(&Done::Failed(Failure::Loops(UpstreamId(0)))), "not asked of the other route");
    w.ask("b");
    assert_eq!(w.asked().last(), Some(&2));
}

#[test]
fn an_upstream_that_speaks_tls_is_not_asked_in_plain_text() {
    let mut w = world(&[], None);
    w.engine.adopt(tls_set(&["tls://192.0.2.8#dns.example"]));
    w.ask("a");
    assert_eq!((w.asked(), w.sockets.len(), w.streams.len()), (vec![], 0, 1));
    let attempt = w.streams[0].0;
    let mut m = w.engine.message(attempt).unwrap().to_vec();
    m.truncate(m.len() - if m[11] == 1 { 11 } else { 0 });
    (m[2], m[3], m[11]) = (0x81, 0x80, 0);
    w.streamed(attempt, Some(&m));
    assert_eq!(w.done, [Done::Answer { by: 0, code: 0, at: 0 }]);
    w.assert_empty();
}

#[test]
fn a_refused_certificate_is_the_reason_where_nobody_else_answers() {
    let mut w = world(&[], None);
    w.engine.adopt(tls_set(&["tls://192.0.2.8"]));
    w.ask("a");
    let untrusted = StreamError::Untrusted(Distrust::Expired);
    assert!(w.engine.streamed(w.streams[0].0, Err(untrusted), w.now).is_none());
    w.act();
    assert_eq!(w.done, [Done::Failed(Failure::Untrusted(UpstreamId(0), Distrust::Expired))]);
    assert!(w.perhaps_down == [(0, None)], "the guard is to look at it");
}

#[test]
fn the_next_with_tls_is_asked_when_the_first_is_late_or_fails() {
    let mut w = world(&[], None);
    w.engine.adopt(tls_set(&["tls://192.0.2.8", "tls://192.0.2.9"]));
    w.ask("a");
    assert_eq!(w.streams.len(), 1);
    w.pass(400);
    assert_eq!(w.streams.len(), 2, "they are equivalent, and the first is late");
    w.ask("b");
    w.streamed(w.streams[2].0, None);
    assert_eq!(w.streams.len(), 4, "the first has failed");
}

fn tls_set(servers: &[&str]) -> Arc<UpstreamSet> {
    let servers = servers.iter().map(|server| (server.parse().unwrap(), "test".into())).collect();
    Arc::new(UpstreamSet::new(servers, None, &mut UpstreamIds::default()))
}
