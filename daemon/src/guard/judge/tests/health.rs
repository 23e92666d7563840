//! Who is down: nobody but who is silent to probes.

use super::*;

fn perhaps_down(world: &mut World, does: &impl Fn(UpstreamId, &[u8]) -> Does) {
    let event =
        Event::PerhapsDown { upstream: UpstreamId(0), transport: UDP, answered: Some(wire("corp.example").into()) };
    world.tell(event, does);
}

fn is_down(world: &World) -> bool {
    world.verdicts.down_since(UpstreamId(0), UDP).is_some()
}

#[test]
fn silence_about_names_does_not_make_a_server_down() {
    for does in [Does::Answers, Does::Fails, Does::Loops] {
        let mut world = World::new(&["8.8.8.8"], always(does));
        for _ in 0..100 {
            perhaps_down(&mut world, &always(does));
            world.run(1, &always(does));
            assert!(!is_down(&world), "{does:?}");
        }
    }
}

#[test]
fn silence_to_probes_does_until_it_says_something() {
    let mut world = World::new(&["8.8.8.8"], always(Does::Answers));
    perhaps_down(&mut world, &always(Does::Silent));
    world.run(1, &always(Does::Silent));
    assert!(is_down(&world));
    world.run(60, &always(Does::Silent));
    assert!(is_down(&world));
    assert!(world.sent.len() < 25, "{} probes", world.sent.len());
    world.run(4, &always(Does::Fails));
    assert!(!is_down(&world));
    perhaps_down(&mut world, &always(Does::Silent));
    world.run(1, &always(Does::Silent));
    world.tell(Event::Alive { upstream: UpstreamId(0), transport: UDP }, &always(Does::Silent));
    assert!(!is_down(&world), "a response to a query is life, too");
}

#[test]
fn a_server_that_drops_all_names_but_its_own_is_not_down() {
    let own = wire("corp.example");
    let does = |_: UpstreamId, message: &[u8]| match name::is_within(&qname(message), &own) {
        true => Does::Answers,
        false => Does::Silent,
    };
    let mut world = World::new(&["8.8.8.8"], does);
    for _ in 0..20 {
        perhaps_down(&mut world, &does);
        world.run(2, &does);
        assert!(!is_down(&world));
    }
}

#[test]
fn a_health_probe_that_comes_home_makes_the_judge_look() {
    let mut world = World::new(&["8.8.8.8"], always(Does::Answers));
    perhaps_down(&mut world, &always(Does::Loops));
    world.run(1, &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::Quarantined);
}

#[test]
fn suspicions_without_end_cost_one_probe_a_second() {
    let mut world = World::new(&["8.8.8.8"], always(Does::Fails));
    for _ in 0..10_000 {
        perhaps_down(&mut world, &always(Does::Fails));
        world.now += Duration::from_millis(1);
    }
    assert!(world.sent.len() <= 10, "{}", world.sent.len());
}
