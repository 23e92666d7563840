//! Questions that come back: those that ask for more than what they stem from are held, those that come back through an
//! upstream that wavers are asked of it again, witnesses that speak too early or too often are heard later, and probes
//! of other Onwards walk on to two upstreams only.

use std::time::Duration;

use super::onward::{Onward, Witnesses};
use super::servers::{Good, Manners, Replays};
use super::tests::{ALL, forwarder, good, ms};
use super::{Node, Place, ProbeInFlight, World};
use crate::guard::{Mark, Standing};
use crate::wire::flag;
use crate::wire::name::wire;

/// All queries are spelled, as those to suspects are.
const SPELLS: Witnesses = Witnesses { spelling: Mark::Always, ..ALL };

fn onward(seed: u8, upstreams: &[Place]) -> Box<dyn Node> {
    Box::new(Onward::new(seed, SPELLS, upstreams))
}

/// Sets DO, strips the tag and asks again, as unbound does.
const UNBOUND: Manners = Manners {
    strips: true,
    lowers: false,
    merges: true,
    all: false,
    sets: flag::DO,
    random: None,
    again: 4,
    zone: None,
    denies: false,
};

/// A name whose spelling is a hint only: it has fewer than 24 letters.
fn short(n: usize) -> Vec<u8> {
    wire(&format!("www-{n}.shop.example"))
}

/// A name whose spelling is a witness.
fn long(n: usize) -> Vec<u8> {
    wire(&format!("www-{n}.some-service.default.svc.cluster.local"))
}

fn at(world: &World, place: usize) -> &Onward {
    world.nodes[place].onward().unwrap()
}

fn took(asked: ProbeInFlight) -> (u8, Duration) {
    let (at, code) = asked.answered.expect("every question ends");
    (code, at - asked.sent)
}

/// Asks for a name that comes back asking for more, five times since the hop asks again; a good server is second.
fn comes_back_asking_for_more(name: &[u8], held: usize) {
    for sets in [flag::DO, flag::DO | flag::CD] {
        let hop = forwarder(Manners { sets, ..UNBOUND }, &[0]);
        let mut world = World::new(1, vec![onward(1, &[1, 2]), hop, good()]);
        world.ask(0, name); // before any probe is back
        world.run(ms(3_000));
        let (code, took) = took(world.asked[0]);
        assert!(code == 0 && took < ms(60), "{code} after {took:?}");
        // The client's, ours to both, and five times the hop's to us.
        assert_eq!(world.queries(name), 1 + 2 + 5);
        assert_eq!((at(&world, 0).queries_held(), at(&world, 0).refused), (held, 5));
        assert_eq!(at(&world, 0).standing(1), Standing::Quarantined);
    }
}

#[test]
fn what_perhaps_comes_back_asking_for_more_is_held_and_its_repeats_refused_at_once() {
    comes_back_asking_for_more(&short(0), 1);
}

/// The last of them come when the client has its answer and no lookup asks this any more.
#[test]
fn what_surely_comes_back_asking_for_more_is_refused_at_once_however_late_it_is_repeated() {
    comes_back_asking_for_more(&long(0), 0);
}

/// The hop asks five times, and only the first of them waits: so its client and ours hear of the failure soon.
#[test]
fn repeats_of_what_came_back_and_was_refused_do_not_wait_again() {
    let hop = forwarder(Manners { again: 4, ..Manners::default() }, &[0]);
    let mut world = World::new(7, vec![onward(1, &[1]), hop]);
    world.ask(0, &long(0));
    world.run(ms(3_000));
    let (code, took) = took(world.asked[0]);
    assert!(code == 2 && took < ms(90), "{code} after {took:?}");
    assert_eq!(world.queries(&long(0)), 1 + 1 + 5);
}

#[test]
fn a_hint_that_is_wrong_costs_50_ms_and_no_refusal() {
    let replays = Box::new(Replays { takes: ms(150), to: 0 });
    let mut world = World::new(2, vec![onward(1, &[1]), replays]);
    for n in 0..40 {
        world.ask(0, &short(n));
        world.run(ms(1_000));
        let (code, took) = took(world.asked[n]);
        assert!(code == 0 && took < ms(200), "{code} after {took:?}");
        // The client's and ours, the replay, which is asked once it was held, and the replay of that. Seen to send
        // something back and to answer, the upstream wavers, and each of both is asked of it three times more.
        assert_eq!(world.queries(&short(n)), if n == 0 { 5 } else { 5 + 2 * 2 * 3 });
    }
    assert_eq!((at(&world, 0).queries_held(), at(&world, 0).refused), (40, 0));
    assert!(!at(&world, 0).convicts());
}

/// The only upstream asks us or a good server, as chance has it. How many questions found it in `standing`, and how
/// many of these were answered.
fn half_a_loop_by_chance(seeds: std::ops::Range<u64>, standing: Standing) -> (usize, usize) {
    let (mut asked, mut answered) = (0, 0);
    for seed in seeds {
        let by_chance = forwarder(Manners { random: Some(seed), ..Manners::default() }, &[0, 2]);
        let mut world = World::new(seed, vec![onward(1, &[1]), by_chance, good()]);
        for n in 0..40 {
            world.run(ms(500));
            let is_so = at(&world, 0).standing(1) == standing;
            world.ask(0, &long(n));
            world.run(ms(2_000));
            asked += usize::from(is_so);
            answered += usize::from(is_so && took(world.asked[n]).0 == 0);
            assert!(world.queries(&long(n)) <= 1 + 2 * (1 + 3), "three times again at most");
        }
    }
    (asked, answered)
}

#[test]
fn what_comes_back_through_one_that_wavers_is_asked_of_it_again() {
    let (wavered, answered) = half_a_loop_by_chance(0..60, Standing::Intermittent);
    // One of sixteen comes back four times; without asking again one of two would stay without an answer.
    assert!(wavered > 150, "{wavered}");
    assert!(answered * 100 > wavered * 88, "{answered} of {wavered}");
}

#[test]
fn half_a_loop_by_chance_that_was_convicted_is_asked_again_too() {
    let (convicted, answered) = half_a_loop_by_chance(0..30, Standing::LastResort);
    assert!(convicted > 100, "{convicted}");
    assert!(answered * 100 > convicted * 88, "{answered} of {convicted}");
}

#[test]
fn a_witness_that_speaks_before_the_judge_knows_the_upstreams_is_heard_then() {
    let zone = forwarder(Manners { zone: Some("corp.example"), ..Manners::default() }, &[0, 2]);
    let mut first = Onward::new(1, SPELLS, &[1, 2]);
    first.judges_from = Some(crate::clock::now() + ms(1_000));
    let mut world = World::new(3, vec![Box::new(first), zone, good()]);
    let (looped, other) = (wire("www.loops-for-sure.corp.example"), wire("www.example"));
    world.ask(0, &looped);
    world.run(ms(500));
    assert_eq!(took(world.asked[0]).0, 0);
    assert_eq!(at(&world, 0).standing_for(1, &looped), Standing::Free, "the judge has not begun");
    world.run(ms(2_000));
    assert_eq!(at(&world, 0).standing_for(1, &looped), Standing::Quarantined);
    assert!(at(&world, 0).standing_for(1, &other) < Standing::LastResort);
}

#[test]
fn a_mark_that_the_limits_keep_waiting_is_heard_a_little_later() {
    let slow = || Box::new(Good { takes: ms(500) });
    let mut world = World::new(4, vec![onward(1, &[1]), forwarder(Manners::default(), &[2]), slow()]);
    world.run(ms(3_000));
    world.ask(0, &long(0)); // is late, so that a probe is sent, which is answered
    world.run(ms(1_000));
    world.nodes[1].reconfigure(&[0]);
    world.ask(0, &long(1));
    world.run(ms(150));
    assert_eq!(took(world.asked[1]).0, 2, "it came back");
    assert!(!at(&world, 0).convicts(), "one probe a second");
    world.run(ms(4_000));
    assert_eq!(at(&world, 0).standing(1), Standing::Quarantined);
}

/// How many probes there were, and how many queries were made of them.
fn probes(world: &World) -> (usize, usize) {
    let probes = world.queries.iter().filter(|(name, _)| name.starts_with(b"\x05probe"));
    probes.fold((0, 0), |(probes, queries), (_, count)| (probes + 1, queries + count))
}

/// Each asks all others through forwarders, half of which lose the tag.
#[test]
fn probes_of_others_walk_on_to_two_upstreams_in_a_mesh_that_loses_marks() {
    const SIZE: usize = 8;
    let others = |n| (0..SIZE).filter(|other| *other != n).map(|other| SIZE + other).collect::<Vec<_>>();
    let onwards = (0..SIZE).map(|n| onward(u8::try_from(n).unwrap(), &others(n)));
    let forwarders = (0..SIZE).map(|n| forwarder(Manners { strips: n % 2 == 0, ..Manners::default() }, &[n]));
    let mut world = World::new(5, onwards.chain(forwarders).collect());
    world.run(ms(3_000));
    let (probes, queries) = probes(&world);
    assert!(probes > 100 && queries <= probes * 20, "{queries} queries for {probes} probes");
    world.ask(0, &long(0));
    world.run(ms(10_000));
    assert!(world.queries(&long(0)) <= 60, "{}", world.queries(&long(0)));
}

#[test]
fn the_probe_of_another_that_comes_back_provokes_no_probe_of_ours() {
    // It asks us first, and the good server when we fail.
    let mut world = World::new(6, vec![onward(1, &[1]), forwarder(Manners::default(), &[0, 2]), good()]);
    world.run(ms(3_000));
    let (before, _) = probes(&world);
    let of_another = wire("probe.0123456789abcdef0123456789abcdef");
    world.ask(0, &of_another);
    world.run(ms(5_000));
    assert_eq!(took(world.asked[0]).0, 0);
    // The client's, ours, the one that comes back and the one to the good server; perhaps those once more.
    assert!((4..=7).contains(&world.queries(&of_another)), "{}", world.queries(&of_another));
    assert_eq!(probes(&world).0, before + 1, "it, and none of ours");
    world.ask(0, &long(0));
    world.run(ms(5_000));
    assert!(probes(&world).0 > before + 1, "an ordinary question that comes back does");
}
