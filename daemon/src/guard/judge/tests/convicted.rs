//! What becomes of a verdict: how long it holds, when it is halved, what ends it.

use super::*;

#[test]
fn a_quarantine_ends_by_an_own_answer_within_ten_seconds() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Loops));
    world.run(100, &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::Quarantined);
    world.run(10, &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
    assert_eq!(world.told(Kind::Released), 2);
    assert_eq!(world.told(Kind::Looping), 2);
}

/// An authoritative server refuses our probes, and some firewalls drop them.
#[test]
fn an_upstream_that_answers_no_probe_is_taken_back_within_ten_seconds_of_a_loops_end() {
    for after in [Does::Fails, Does::Silent] {
        let mut world = World::new(&["10.0.0.2"], always(Does::Loops));
        world.run(100, &always(Does::Loops));
        world.run(1, &always(after));
        assert_eq!(world.standing("any"), Standing::Quarantined, "a hop may be starting again");
        world.run(9, &always(after));
        assert_eq!(world.standing("any"), Standing::Free, "{after:?}");
        assert_eq!((world.told(Kind::Faded), world.told(Kind::Released)), (2, 0));
        // And should it loop after all, one query tells.
        world.run(60, &always(after));
        world.witness(Witness::Silence, "www.example", &always(Does::Loops));
        assert_eq!(world.standing("any"), Standing::Quarantined);
    }
}

#[test]
fn a_second_loop_within_ten_minutes_ends_within_ten_seconds_too() {
    let mut world = World::new(&["10.0.0.2", "10.0.0.3"], always(Does::Loops));
    for round in 0..4 {
        world.run(30, &always(Does::Loops));
        world.run(10, &always(Does::Answers));
        assert_eq!(world.standing("any"), Standing::Free, "{round}");
        world.run(20, &always(Does::Answers));
        world.witness(Witness::Tag, &format!("www.example{round}"), &always(Does::Loops));
        assert!(world.standing("any") >= Standing::LastResort, "{round}");
    }
}

#[test]
fn convicted_again_it_is_half_a_loop_until_no_probe_comes_home() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Loops));
    world.run(10, &always(Does::Answers));
    world.witness(Witness::Tag, "www.example.com", &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::LastResort);
    assert_eq!(world.told(Kind::HalfLooping), 2);
    world.run(300, &always(Does::LoopsAndAnswers));
    assert_eq!(world.standing("any"), Standing::LastResort);
    world.run(70, &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
}

/// CoreDNS with `policy random`, us and a good server: each probe is a toss.
#[test]
fn half_a_loop_that_is_the_only_upstream_is_found_to_be_half_at_once() {
    let tosses = std::cell::Cell::new(0);
    let does = |_: UpstreamId, _: &[u8]| {
        tosses.set(tosses.get() + 1);
        if tosses.get() < 7 { Does::Loops } else { Does::Answers }
    };
    let world = World::new(&["10.0.0.2"], does);
    assert_eq!((world.standing("any"), world.told(Kind::Looping)), (Standing::LastResort, 2));
    assert_eq!((world.told(Kind::Halved), world.told(Kind::Released)), (1, 1), "the other, over TCP, has ended");
    // A full loop is not: it costs four probes more, and its next is due a second later.
    let mut world = World::new(&[], always(Does::Loops));
    world.tell(Event::SetChanged(set(&["10.0.0.2"])), &always(Does::Loops));
    world.run(1, &always(Does::Loops));
    let over_udp = world.sent.iter().filter(|sent| sent.2 == UDP).count();
    assert_eq!((over_udp, world.standing("any")), (2 + 4, Standing::Quarantined));
    // Nor where another upstream is left.
    let first_loops = |number: UpstreamId, _: &[u8]| if number.0 == 0 { Does::Loops } else { Does::Answers };
    let mut world = World::new(&[], first_loops);
    world.tell(Event::SetChanged(set(&["10.0.0.2", "10.0.0.3"])), &first_loops);
    world.now += Duration::from_millis(500);
    world.tell(Event::Tick, &first_loops);
    assert_eq!(world.sent.iter().filter(|sent| (sent.1.0, sent.2) == (0, UDP)).count(), 2);
}

#[test]
fn one_that_was_seen_to_loop_and_yet_answers_wavers_for_a_minute() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Answers));
    world.witness(Witness::Silence, "www.example", &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
    world.run(5, &always(Does::Answers));
    world.witness(Witness::Tag, "www.example", &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Intermittent);
    world.run(61, &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
    world.witness(Witness::Tag, "www.example", &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::Quarantined);
    assert_eq!(world.told(Kind::Halved), 0);
}

#[test]
fn a_forwarder_that_answers_after_all_is_never_convicted() {
    let does = always(Does::LoopsAndAnswers);
    let mut world = World::new(&["10.0.0.2"], &does);
    for n in 0..100 {
        world.witness(Witness::Tag, &format!("n{n}.example.com"), &does);
        world.run(5, &does);
    }
    assert_eq!(world.verdicts.all(), &[]);
}

#[test]
fn verdicts_survive_a_reload() {
    let mut numbers = UpstreamIds::default();
    let mut make = |servers: &[&str]| {
        let servers = servers.iter().map(|server| (server.parse().unwrap(), "a".into())).collect();
        Arc::new(UpstreamSet::new(servers, None, &mut numbers))
    };
    let (both, one) = (make(&["10.0.0.2", "10.0.0.3"]), make(&["10.0.0.3"]));
    let mut world = World::new(&["10.0.0.2", "10.0.0.3"], always(Does::Loops));
    world.tell(Event::SetChanged(one), &always(Does::Silent));
    world.tell(Event::SetChanged(both), &always(Does::Silent));
    assert_eq!(world.standing("any"), Standing::Quarantined);
    assert_eq!(world.told(Kind::Looping), 4);
}
