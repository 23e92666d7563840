//! Loops through hops that deny our probes from a cache, and loops that leave no mark, in the model: what a client
//! would see of them.

use super::servers::Manners;
use super::tests::{forwarder, good, ms, onward};
use super::{Node, World};
use crate::guard::Standing;
use crate::wire::name::wire;

/// Validates, with a signed root in its cache; passes no tag on, and sets DO.
const VALIDATING: Manners = Manners { strips: true, denies: true, ..PLAIN };
/// Leaves no mark.
const MARKLESS: Manners = Manners { strips: true, lowers: true, merges: true, ..PLAIN };
const PLAIN: Manners = Manners {
    strips: false,
    lowers: false,
    merges: false,
    all: false,
    sets: 0,
    random: None,
    again: 0,
    zone: None,
    denies: false,
};
const DOMAINS: [&str; 5] = ["corp", "shop", "world", "internal", "example"];

fn name(n: usize) -> Vec<u8> {
    wire(&format!("www.some{n}.{}", DOMAINS[n % DOMAINS.len()]))
}

/// Asks for `name`, and lets 400 ms go by; returns the code and after how many ms it came.
fn ask(world: &mut World, name: &[u8]) -> (u8, u128) {
    let number = world.ask(0, name);
    world.run(ms(400));
    let asked = world.asked[number];
    let (at, code) = asked.answered.expect("every query ends");
    (code, (at - asked.sent).as_millis())
}

fn verdicts(world: &World) -> usize {
    world.nodes[0].onward().unwrap().verdicts()
}

#[test]
fn a_loop_through_a_hop_that_denies_probes_costs_a_few_first_queries_and_ends_in_time() {
    for manners in [VALIDATING, Manners { lowers: true, ..VALIDATING }] {
        for has_good in [true, false] {
            let upstreams: &[usize] = if has_good { &[1, 2] } else { &[1] };
            let nodes: Vec<Box<dyn Node>> = vec![onward(1, upstreams), forwarder(manners, &[2]), good()];
            let mut world = World::new(1, nodes);
            world.run(ms(1_000));
            for n in 0..10 {
                assert_eq!(ask(&mut world, &name(n)).0, 0);
            }
            world.nodes[1].reconfigure(&[0]);
            let took: Vec<(u8, u128)> = (10..60).map(|n| ask(&mut world, &name(n))).collect();
            let late = took.iter().filter(|(_, after)| *after > 50).count();
            assert!(late <= 5, "{took:?}");
            assert!(took.iter().all(|(code, after)| *code == if has_good { 0 } else { 2 } && *after < 200), "{took:?}");
            assert_eq!(world.nodes[0].onward().unwrap().standing(1), Standing::Quarantined);
            assert_eq!(verdicts(&world), 1, "one, for all names");
            world.nodes[1].reconfigure(&[2]);
            world.run(ms(10_000));
            assert!(world.nodes[0].onward().unwrap().standing(1) < Standing::LastResort);
        }
    }
}

#[test]
fn one_zone_without_marks_and_with_a_parent_for_each_name_is_one_verdict() {
    let manners = Manners { zone: Some("loop.example"), ..MARKLESS };
    let mut world = World::new(2, vec![onward(1, &[1, 2]), forwarder(manners, &[0, 2]), good()]);
    world.run(ms(1_000));
    for n in 0..10 {
        assert_eq!(ask(&mut world, &wire(&format!("www.warm{n}.example"))).0, 0);
    }
    let name = |n: usize| wire(&format!("www.parent{n}.loop.example"));
    let took: Vec<(u8, u128)> = (0..20).map(|n| ask(&mut world, &name(n))).collect();
    assert!(took.iter().skip(5).all(|(code, after)| *code == 0 && *after < 50), "{took:?}");
    let onward = world.nodes[0].onward().unwrap();
    assert_eq!(onward.standing_for(1, &name(99)), Standing::Quarantined);
    assert!(onward.standing_for(1, &wire("www.other.example")) < Standing::LastResort);
    assert_eq!(verdicts(&world), 1);
}

#[test]
fn a_validating_hop_that_is_in_order_is_never_convicted() {
    let mut world = World::new(3, vec![onward(1, &[1, 2]), forwarder(VALIDATING, &[2]), good()]);
    for n in 0..200 {
        assert_eq!(ask(&mut world, &name(n)).0, 0);
    }
    assert!(!world.nodes[0].onward().unwrap().convicts());
}
