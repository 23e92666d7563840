//! Loops of odd shapes: through hops that deny our probes from a cache, under many parents, for one type or transport
//! alone, and beside strangers who provoke whatever they can.

use super::*;
use crate::guard::limits::Provocation;

/// Whether a probe goes right under the root.
fn is_of_root(message: &[u8]) -> bool {
    name::parent(name::parent(&qname(message))) == name::ROOT
}

/// A validating hop in a loop: it denies what the root does not have (RFC 8198).
fn denies(_: UpstreamId, message: &[u8]) -> Does {
    if is_of_root(message) { Does::Answers } else { Does::Loops }
}

#[test]
fn a_loop_of_all_names_behind_a_hop_that_denies_our_probes_is_convicted_once_for_all() {
    for witness in [Witness::Tag, Witness::Spelling, Witness::Silence] {
        let mut world = World::new(&["10.0.0.2", "10.0.0.3"], always(Does::Answers));
        for (number, name) in ["www.a.example", "www.b.corp", "www.c.shop"].into_iter().enumerate() {
            world.witness(witness, name, &denies);
            assert_eq!(world.standing(name), Standing::Quarantined, "{witness}, the {number}th");
            world.run(1, &denies);
        }
        assert_eq!(world.standing("any.other.world"), Standing::Quarantined, "{witness}");
        assert_eq!(world.verdicts.all().iter().filter(|verdict| verdict.transport == UDP).count(), 1);
    }
}

#[test]
fn what_such_a_hop_denies_releases_nothing_and_its_answers_do() {
    let mut world = World::new(&["10.0.0.2", "10.0.0.3"], always(Does::Answers));
    for name in ["www.a.example", "www.b.corp", "www.c.shop"] {
        world.witness(Witness::Silence, name, &denies);
        world.run(1, &denies);
    }
    world.run(120, &denies);
    assert_eq!(world.standing("any"), Standing::Quarantined);
    world.run(10, &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
}

/// Its cache covers some stretches of the root and not others, and in those our probes come home.
#[test]
fn a_hop_whose_cache_denies_most_probes_is_not_released_by_those() {
    let gap = std::cell::RefCell::new(None);
    let does = |_: UpstreamId, message: &[u8]| {
        let begins = qname(message)[7..11].to_vec();
        let mut gap = gap.borrow_mut();
        if *gap.get_or_insert(begins.clone()) == begins { Does::Loops } else { Does::Answers }
    };
    let mut world = World::new(&["8.8.8.8"], does);
    assert_eq!(world.standing("any"), Standing::Quarantined);
    world.run(120, &does);
    assert_eq!(world.standing("any"), Standing::Quarantined);
    assert_eq!(world.told(Kind::Released), 0);
}

#[test]
fn three_zones_that_loop_while_others_are_answered_are_not_all_names() {
    let mut world = World::new(&["10.0.0.2", "10.0.0.3"], always(Does::Answers));
    for (number, name) in ["www.a.example", "www.b.corp", "www.c.shop", "www.d.world"].into_iter().enumerate() {
        world.witness(Witness::Silence, name, &denies);
        world.run(1, &denies);
        for answered in 0..3 {
            let name = wire(&format!("www{answered}.answered{number}.test")).into();
            world.tell(Event::Answered { upstream: UpstreamId(0), name }, &denies);
        }
    }
    assert!(world.standing("any.other.test") < Standing::LastResort);
    assert_eq!(world.standing("www.a.example"), Standing::Quarantined);
}

#[test]
fn a_zone_that_loops_with_names_under_many_parents_is_convicted_as_one() {
    let zone = wire("loop.example");
    let does = |_: UpstreamId, message: &[u8]| match name::is_within(&qname(message), &zone) {
        true => Does::Loops,
        false => Does::Answers,
    };
    let mut world = World::new(&["10.0.0.2"], does);
    for parent in 0..2 {
        world.witness(Witness::Silence, &format!("www.parent{parent}.loop.example"), &does);
        world.run(1, &does);
    }
    assert_eq!(world.standing("www.parent99.loop.example"), Standing::Quarantined);
    assert_eq!(world.standing("www.example"), Standing::Free);
    assert_eq!(world.verdicts.all().iter().filter(|verdict| verdict.transport == UDP).count(), 1);
}

#[test]
fn a_loop_for_one_type_alone_is_convicted_for_that_type_alone() {
    const AAAA: u16 = 28;
    let looped = |message: &[u8]| message[12 + qname(message).len() + 1] == 28;
    for name_parts in [false, true] {
        let does = |_: UpstreamId, message: &[u8]| match looped(message) && (!name_parts || !is_of_root(message)) {
            true => Does::Loops,
            false => Does::Answers,
        };
        let mut world = World::new(&["10.0.0.2"], does);
        let event = |witness| Event::Witness {
            upstream: UpstreamId(0),
            transport: UDP,
            witness,
            name: wire("www.corp.example").into(),
            qtype: AAAA,
        };
        world.tell(event(Witness::Silence), &does);
        assert_eq!(world.standing_of("x.corp.example", AAAA), Standing::Quarantined, "{name_parts}");
        assert_eq!(world.standing("x.corp.example"), Standing::Free);
        world.run(30, &does);
        assert_eq!(world.standing_of("x.corp.example", AAAA), Standing::Quarantined);
        world.run(10, &always(Does::Answers));
        assert_eq!(world.standing_of("x.corp.example", AAAA), Standing::Free);
    }
}

#[test]
fn a_zone_that_loops_for_all_types_is_convicted_for_all_though_another_type_told() {
    let does = |_: UpstreamId, message: &[u8]| if is_of_root(message) { Does::Answers } else { Does::Loops };
    let mut world = World::new(&["10.0.0.2"], does);
    let (name, witness) = (wire("www.corp.example").into(), Witness::Silence);
    world.tell(Event::Witness { upstream: UpstreamId(0), transport: UDP, witness, name, qtype: 28 }, &does);
    assert_eq!(world.standing("x.corp.example"), Standing::Quarantined);
}

#[test]
fn a_loop_over_tcp_alone_is_found_by_a_mark_that_does_not_tell_the_transport() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Answers));
    world.over_tcp = Some(Does::Loops);
    world.witness(Witness::Tag, "www.example", &always(Does::Answers));
    let name = wire("any");
    let over_tcp = world.verdicts.standing(UpstreamId(0), Transport::Tcp, Asked { name: &name, qtype: 1 });
    assert_eq!(over_tcp, Standing::Quarantined);
    assert!(world.standing("any") < Standing::LastResort);
}

/// dnsmasq with `strict-order` and no server but us: after our SERVFAIL it says nothing more.
#[test]
fn the_last_upstream_that_says_nothing_more_is_convicted_within_a_hundred_milliseconds() {
    let mut world = World::new(&["8.8.8.8"], always(Does::Answers));
    world.witness(Witness::Tag, "www.example", &always(Does::LoopsSilently));
    let began = world.now;
    while world.standing("any") != Standing::Quarantined {
        world.now = world.judge.due(world.now).unwrap().max(world.now);
        world.tell(Event::Tick, &always(Does::LoopsSilently));
        assert!(world.now - began < Duration::from_millis(90), "{:?}", world.now - began);
    }
}

#[test]
fn where_another_is_left_the_end_of_such_a_probe_is_waited_for() {
    let does = |number: UpstreamId, _: &[u8]| if number.0 == 0 { Does::LoopsSilently } else { Does::Answers };
    let mut world = World::new(&["8.8.8.8", "1.1.1.1"], always(Does::Answers));
    world.witness(Witness::Tag, "www.example", &does);
    for _ in 0..10 {
        world.now += Duration::from_millis(100);
        world.tell(Event::Tick, &does);
    }
    assert!(world.standing("any") < Standing::LastResort, "its next server may be slow");
}

#[test]
fn strangers_who_provoke_all_that_they_can_do_not_delay_the_verdict_of_a_real_loop() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Answers));
    let does = always(Does::Answers);
    for n in 0..600 {
        world.tell(Event::LoopPlugin, &does);
        for witness in [Witness::Tag, Witness::Spelling, Witness::Silence] {
            world.witness(witness, &format!("n{n}.evil.example"), &does);
        }
        world.now += Duration::from_millis(200);
        world.tell(Event::Tick, &does);
    }
    world.run(1, &does);
    for (witness, name) in [(Witness::Spelling, "www.corp.example"), (Witness::Silence, "www.shop.example")] {
        assert!(
            world.judge.provoked[&UpstreamId(0)].clone().room_at(Provocation::Witness(witness, &wire(name))).is_none(),
            "{witness}"
        );
    }
    world.witness(Witness::Silence, "www.corp.example", &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::Quarantined);
}

#[test]
fn a_table_of_verdicts_that_is_full_has_room_for_the_next_and_for_the_root() {
    let only_names = |_: UpstreamId, message: &[u8]| match suffix_labels(message) {
        4.. => Does::Loops,
        _ => Does::Answers,
    };
    let mut world = World::new(&["10.0.0.2"], only_names);
    for n in 0..40 {
        // Others are answered all the while, so that these are no whole.
        for answered in 0..20 {
            let name = wire(&format!("www{answered}.zone{n}.test")).into();
            world.tell(Event::Answered { upstream: UpstreamId(0), name }, &only_names);
        }
        world.run(21, &only_names);
        world.witness(Witness::Silence, &format!("www.a.b.c.zone{n}.test"), &only_names);
        assert_eq!(world.standing(&format!("x.a.b.c.zone{n}.test")), Standing::Quarantined, "{n}");
    }
    world.run(21, &only_names);
    world.witness(Witness::Tag, "www.example", &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::Quarantined);
}

/// How many labels the suffix of a probe has.
fn suffix_labels(message: &[u8]) -> usize {
    crate::guard::suffix::labels(&qname(message)).saturating_sub(2)
}
