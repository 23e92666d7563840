//! An address that pods were given is away for a moment, and comes back.

use super::world::World;

/// A node with the bridge of its pods, both served by no other rule than the default route.
const HOME: &str = "eth0; +10.99.0.1/24; > via 10.99.0.53; pod0; +10.244.0.1/24";
const AWAY: &str = "eth0; pod0; +10.244.0.1/24";
/// The address is back, but not the default route.
const BACK: &str = "eth0; +10.99.0.1/24; pod0; +10.244.0.1/24";

fn at_home() -> World {
    let mut world = World::new(HOME);
    world.settle();
    assert_eq!(world.named(), "10.99.0.1");
    world
}

#[test]
fn an_address_that_goes_and_comes_back_is_served_again_without_a_restart() {
    let mut world = World::new("eth0; +10.99.0.1/24; > via 10.99.0.53");
    world.settle();
    world.kernel("eth0");
    world.kernel("eth0; +10.99.0.77/24; > via 10.99.0.53");
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.99.0.77", "10.99.0.77"));
    world.kernel("eth0; +10.99.0.77/24; > via 10.99.0.53; +10.99.0.1/24");
    assert_eq!(world.named(), "10.99.0.77 10.99.0.1");
    assert_eq!(world.listening(), "10.99.0.77 10.99.0.1");
}

#[test]
fn another_links_address_does_not_take_over_while_the_one_of_the_pods_is_away_for_a_moment() {
    for (what, meanwhile) in [
        ("the address is gone", AWAY),
        ("the link is down", "eth0 down; +10.99.0.1/24; pod0; +10.244.0.1/24"),
        ("the default route is gone", BACK),
        ("the link is gone", "pod0; +10.244.0.1/24"),
        (
            "the link is down, and the default route is back already",
            "eth0 down; +10.99.0.1/24; >; pod0; +10.244.0.1/24",
        ),
    ] {
        let mut world = at_home();
        for after in [BACK, HOME] {
            world.kernel(meanwhile);
            assert_eq!(world.named(), "10.99.0.1", "{what}: at once");
            world.pass(200);
            assert_eq!(world.named(), "10.99.0.1", "{what}: for minutes");
            world.kernel(after);
            world.pass(900);
            assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.99.0.1", "10.99.0.1"), "{what}");
        }
        assert_eq!(world.remembered, Some(vec!["10.99.0.1".parse().unwrap()]), "{what}");
    }
}

#[test]
fn an_address_that_stood_in_leaves_the_file_when_that_of_the_pods_is_back() {
    for (what, minutes, named) in [("for a minute", 1, "10.99.0.1"), ("for long", 60, "10.99.0.1 10.244.0.1")] {
        let mut world = at_home();
        world.kernel(AWAY);
        world.pass(301);
        assert_eq!(world.named(), "10.244.0.1", "{what}: after five minutes");
        world.pass(minutes * 60);
        assert_eq!(world.named(), "10.244.0.1", "{what}");
        world.kernel(BACK);
        assert_eq!(world.named(), named, "{what}");
        assert_eq!(world.listening(), "10.244.0.1 10.99.0.1", "{what}: pods that were given it are answered");
        let remembered: Vec<_> = named.split(' ').map(|ip| ip.parse().unwrap()).collect();
        assert_eq!(world.remembered, Some(remembered), "{what}");
        world.restart();
        world.settle();
        assert_eq!(world.named(), named, "{what}, after a restart");
    }
}

#[test]
fn at_a_boot_the_address_of_the_pods_is_waited_for_no_longer_than_the_boot_can_wait() {
    let mut world = at_home();
    world.tables = Some(crate::node_address::tests::tables(AWAY));
    world.restart();
    world.pass(19);
    assert_eq!(world.named(), "");
    world.pass(2);
    assert_eq!(world.named(), "10.244.0.1");
    world.kernel(HOME);
    assert_eq!(world.named(), "10.99.0.1");
}

#[test]
fn an_address_that_stood_in_and_turns_out_to_be_the_nodes_stays_remembered() {
    let mut world = at_home();
    world.kernel("eth1; +10.1.0.5/24");
    world.pass(301);
    assert_eq!(world.named(), "10.1.0.5");
    world.kernel("eth1; +10.1.0.5/24; > via 10.1.0.1");
    world.pass(900);
    assert_eq!(world.named(), "10.1.0.5");
    assert_eq!(world.remembered.as_ref().and_then(|all| all.first()), Some(&"10.1.0.5".parse().unwrap()));
}

#[test]
fn another_address_of_the_same_network_takes_over_at_once() {
    let mut world = at_home();
    world.kernel("eth0; +10.99.0.77/24");
    assert_eq!(world.named(), "10.99.0.77");
}
