//! Two routes: nothing leaks from one into the other.

use super::*;
use crate::upstream::{Endpoint, Route, Security};
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
    let security = Security::Tls { name: "dns.example".into(), strict: false };
    let tls = Endpoint { security, ..Endpoint::from("192.0.2.8:853".parse::<crate::upstream::Server>().unwrap()) };
    let mut ids = UpstreamIds::default();
    w.engine.adopt(Arc::new(UpstreamSet::new(vec![(tls.clone(), "test".into())], None, &mut ids)));
    w.ask("a");
    assert_eq!((w.asked(), &w.done[..]), (vec![], &[Done::Failed(Failure::NoUpstream)][..]));
    let plain = "192.0.2.9".parse().unwrap();
    w.engine.adopt(Arc::new(UpstreamSet::new(vec![(tls, "test".into()), (plain, "test".into())], None, &mut ids)));
    w.ask("b");
    assert_eq!(w.asked(), [1]);
}
