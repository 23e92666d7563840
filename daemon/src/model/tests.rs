use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::server::{HOSTS, Name, Server, ZONES};
use super::{Happening, World};

/// Worlds that are played unless `ONWARD_WORLDS` says otherwise: their number, or the first and the one after the last,
/// as `183246..183247`.
const WORLDS: u64 = 300;
/// Time in each.
const SPAN: Duration = Duration::from_secs(150);

fn worlds() -> Range<u64> {
    let Ok(wanted) = std::env::var("ONWARD_WORLDS") else { return 0..WORLDS };
    let (first, end) = wanted.split_once("..").unwrap_or(("0", &wanted));
    let number = |text: &str| text.parse().expect("ONWARD_WORLDS is a number, or two as in 10..20");
    number(first)..number(end)
}

/// Plays a world, with clients and changes by chance, until nothing is under way; returns the rules that were broken.
fn play(seed: u64, servers: Vec<Server>, equivalent: bool) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..servers.len()).collect();
    let mut world = World::new(seed, servers, equivalent);
    let clients = rng.random_range(20..400);
    for _ in 0..clients {
        let name = Name { host: rng.random_range(0..HOSTS), zone: rng.random_range(0..ZONES) };
        world.asks(SPAN.mul_f64(rng.random()), name, rng.random_ratio(1, 5));
    }
    if rng.random_ratio(1, 3) {
        order.rotate_left(1);
        let at = world.start + SPAN.mul_f64(rng.random());
        world.add(at, Happening::Reorders(order));
    }
    world.run(SPAN + Duration::from_secs(20));
    let faults = world.record.faults(&world.servers);
    let story = faults.first().map(|(name, _)| world.record.story(*name));
    let mut told: Vec<String> = faults.into_iter().map(|(_, fault)| fault).chain(story).collect();
    if !world.node.is_idle() {
        told.push("20 s after the last query something is still under way".to_owned());
    }
    told
}

fn assert_worlds(kind: &str, make: impl Fn(&mut StdRng) -> (Vec<Server>, bool)) {
    for seed in worlds() {
        let mut rng = StdRng::seed_from_u64(seed);
        let (servers, equivalent) = make(&mut rng);
        let faults = play(seed, servers.clone(), equivalent);
        assert!(faults.is_empty(), "{kind}, world {seed}, of {servers:#?}: {}", faults.join("\n"));
    }
}

#[test]
fn whatever_the_servers_do_clients_get_what_they_may_get_and_names_go_where_they_may_go() {
    assert_worlds("any servers", |rng| {
        let number = rng.random_range(1..=4);
        ((0..number).map(|number| Server::random(number, SPAN, rng)).collect(), false)
    });
}

#[test]
fn a_perfect_server_is_enough_whatever_stands_before_it() {
    assert_worlds("a perfect last", |rng| {
        let mut servers: Vec<Server> = (0..2).map(|number| Server::random(number, SPAN, rng)).collect();
        servers.push(Server::perfect(2));
        (servers, false)
    });
}

#[test]
fn behind_a_perfect_server_no_other_is_asked() {
    assert_worlds("a perfect first", |rng| {
        let mut servers = vec![Server::perfect(0)];
        servers.extend((1..3).map(|number| Server::random(number, SPAN, rng)));
        (servers, false)
    });
}

#[test]
fn servers_that_know_the_same_stand_in_for_one_another() {
    assert_worlds("equivalent", |rng| {
        let servers = (0..3).map(|number| {
            let random = Server::random(number, SPAN, rng);
            Server { outages: random.outages, latency: random.latency, ttl: random.ttl, ..Server::perfect(number) }
        });
        (servers.collect(), true)
    });
}
