//! The plan on nodes as they are: what is listened on, what pods are told, what systemd is told, and when.

use super::world::World;
use crate::service::change::Change;

const V4: &str = "lo; +127.0.0.1/8; eth0; +10.0.0.5/24; > via 10.0.0.1";
const V6: &str = "eth0; +2001:db8::5/64; 6>";
const DUAL: &str = "eth0; +10.0.0.5/24; >; +2001:db8::5/64; 6>";
const NOTHING: &str = "lo; +127.0.0.1/8; eth0";

#[test]
fn a_plain_node_is_ready_at_once() {
    let mut world = World::new(V4);
    assert_eq!(world.settle(), None, "nothing is waited for");
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.0.0.5", "10.0.0.5"));
    assert_eq!(world.remembered, Some(vec!["10.0.0.5".parse().unwrap()]));
    assert_eq!(world.notified, [Change::Ready("10.0.0.5:53 → 10.0.0.2:53".to_owned())]);
    world.pass(86_400);
    assert_eq!((world.notified.len(), world.tries), (1, 1), "and nothing more is done");
}

#[test]
fn a_port_that_is_taken_at_start_is_waited_for() {
    let mut world = World::new(V4);
    world.taken.insert("10.0.0.5:53".parse().unwrap());
    world.pass(19);
    assert_eq!((world.named().as_str(), world.is_ready()), ("", false), "no file names an address that is not ours");
    world.pass(2);
    assert!(world.is_ready(), "the boot goes on");
    let Some(Change::Ready(status)) = world.notified.last() else { panic!("{:?}", world.notified) };
    assert!(status.starts_with("degraded: 10.0.0.5:53 is taken"), "{status}");
    assert!(world.file.is_none() && world.tries <= 6, "tried every 5 s: {}", world.tries);
    world.taken.clear();
    world.pass(5);
    assert_eq!(world.named(), "10.0.0.5");
    assert_eq!(world.notified.last(), Some(&Change::Status("10.0.0.5:53 → 10.0.0.2:53".to_owned())));
}

#[test]
fn an_address_whose_port_is_taken_does_not_take_the_place_of_one_that_answers() {
    for (what, change) in [
        ("a reload", (|world: &mut World| world.listen(&["10.0.0.6"])) as fn(&mut World)),
        ("the default route moves", |world| world.kernel("eth0; +10.0.0.5/24; eth1; +10.0.0.6/24; >")),
    ] {
        let mut world = World::new("eth0; +10.0.0.5/24; > via 10.0.0.1; eth1; +10.0.0.6/24");
        world.settle();
        world.taken.insert("10.0.0.6:53".parse().unwrap());
        change(&mut world);
        world.pass(60);
        assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.0.0.5", "10.0.0.5"), "{what}");
        world.taken.clear();
        world.pass(5);
        assert_eq!(world.named(), "10.0.0.6 10.0.0.5", "{what}: the old one is still served");
        world.kernel("eth0; eth1; +10.0.0.6/24; >");
        assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.0.0.6", "10.0.0.6"), "{what}");
    }
}

#[test]
fn an_address_that_does_not_answer_is_not_named() {
    let mut world = World::new(V4);
    world.mute.insert("10.0.0.5:53".parse().unwrap());
    world.pass(10);
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("", "10.0.0.5"));
    world.mute.clear();
    world.pass(5);
    assert_eq!(world.named(), "10.0.0.5");
}

#[test]
fn an_address_that_can_be_bound_before_it_exists_is_named_when_it_does() {
    let mut world = World::new(NOTHING);
    world.listen(&["10.0.0.5"]);
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("", "10.0.0.5"));
    world.kernel(V4);
    assert_eq!(world.named(), "10.0.0.5");
}

#[test]
fn a_family_that_cannot_be_listened_on_does_not_hold_up_the_other() {
    let mut world = World::new(DUAL);
    world.kubelet.cluster_dns = vec!["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()];
    world.taken.insert("[2001:db8::5]:53".parse().unwrap());
    world.settle();
    assert_eq!((world.named().as_str(), world.is_ready()), ("10.0.0.5", true));
    world.taken.clear();
    world.pass(5);
    assert_eq!(world.named(), "10.0.0.5 2001:db8::5");
}

#[test]
fn ipv4_that_comes_late_is_waited_for() {
    let mut world = World::new(V6);
    world.pass(8);
    assert_eq!(world.named(), "", "pods may need IPv4");
    world.kernel(DUAL);
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.0.0.5", "10.0.0.5"));
}

#[test]
fn a_node_without_ipv4_waits_for_it_once_in_its_life() {
    let mut world = World::new(V6);
    world.pass(19);
    assert_eq!(world.named(), "");
    world.pass(2);
    assert_eq!((world.named().as_str(), world.is_ready()), ("2001:db8::5", true));
    world.restart();
    world.settle();
    assert_eq!((world.named().as_str(), world.is_ready()), ("2001:db8::5", true), "at once");
}

#[test]
fn both_families_are_waited_for_where_pods_have_both() {
    let mut world = World::new(V6);
    world.kubelet.cluster_dns = vec!["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()];
    world.pass(8);
    assert_eq!(world.named(), "");
    world.kernel(DUAL);
    assert_eq!(world.named(), "10.0.0.5 2001:db8::5");
}

#[test]
fn a_restart_on_a_node_that_lacks_a_family_of_the_pods_waits_for_nothing() {
    let mut world = World::new("eth0; +10.0.0.5/24; >");
    world.kubelet.cluster_dns = vec!["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()];
    world.pass(21);
    assert_eq!(world.named(), "10.0.0.5", "after 20 s at the first start");
    world.restart();
    world.settle();
    assert_eq!((world.named().as_str(), world.is_ready()), ("10.0.0.5", true));
}

#[test]
fn ipv4_that_is_gone_for_a_moment_does_not_flip_the_family() {
    let mut world = World::new(DUAL);
    world.settle();
    world.kernel(V6);
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.0.0.5", "10.0.0.5"));
    assert_eq!(world.has_told("lost 10.0.0.5"), 1);
    world.pass(3);
    world.kernel(DUAL);
    world.pass(600);
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.0.0.5", "10.0.0.5"));
}

#[test]
fn ipv4_that_stays_away_gives_way_and_is_preferred_again_when_it_is_back() {
    let mut world = World::new(DUAL);
    world.settle();
    world.kernel(V6);
    world.pass(299);
    assert_eq!(world.named(), "10.0.0.5");
    world.pass(2);
    assert_eq!(world.named(), "2001:db8::5");
    world.pass(3_600);
    assert_eq!(world.named(), "2001:db8::5");
    world.kernel(DUAL);
    assert_eq!(world.named(), "10.0.0.5 2001:db8::5", "the one that stood in is still served");
}

#[test]
fn at_a_boot_the_family_that_pods_have_is_waited_for_no_longer_than_the_boot_can_wait() {
    let mut world = World::new(DUAL);
    world.settle();
    world.kernel(V6);
    world.restart();
    world.pass(19);
    assert_eq!(world.named(), "");
    world.pass(2);
    assert_eq!(world.named(), "2001:db8::5");
}

#[test]
fn a_second_interface_does_not_drop_the_address_that_pods_have() {
    let mut world = World::new("eth0; +10.0.0.5/24");
    world.pass(6);
    assert_eq!(world.named(), "10.0.0.5", "after five seconds without a default route");
    let two = "eth1; +10.1.0.5/24; eth0; +10.0.0.5/24";
    world.kernel(two);
    assert_eq!((world.named().as_str(), world.state.waiting.clone()), ("10.0.0.5", None));
    world.restart();
    world.settle();
    assert_eq!(world.named(), "10.0.0.5", "also over a restart, and at once");
    let mut stranger = World::new(two);
    stranger.pass(6);
    assert!(stranger.has_told("cannot be told") == 1 && stranger.file.is_none(), "without it there is no saying which");
}

#[test]
fn after_a_restart_pods_with_a_former_address_are_answered() {
    let moved = "eth0; +10.0.0.5/24; eth1; +10.1.0.5/24; >";
    let mut world = World::new("eth0; +10.0.0.5/24; >");
    world.settle();
    world.kernel(moved);
    world.restart();
    world.settle();
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.1.0.5 10.0.0.5", "10.1.0.5 10.0.0.5"));
    world.restart();
    world.taken.insert("10.0.0.5:53".parse().unwrap());
    world.settle();
    assert_eq!((world.named().as_str(), world.is_ready()), ("10.1.0.5", true), "unless somebody else has it now");
    let status = world.state.status.clone();
    assert!(!status.contains("degraded"), "{status}");
    world.restart();
    world.taken.clear();
    world.listen(&["10.1.0.5"]);
    assert_eq!(world.listening(), "10.1.0.5", "whoever names addresses has decided");
}

#[test]
fn a_family_that_is_ruled_out_leaves_the_file() {
    let mut world = World::new(DUAL);
    world.kubelet.cluster_dns = vec!["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()];
    world.settle();
    world.settings.families = crate::node_address::choose::Families::Ipv4;
    world.settle();
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.0.0.5", "10.0.0.5 2001:db8::5"));
}

#[test]
fn an_address_that_is_deprecated_and_back_stays_and_an_interface_may_be_renamed() {
    let one = "eth0; +2001:db8::5/64; 6>";
    let mut world = World::new(one);
    world.kubelet.cluster_dns = vec!["fd00::a".parse().unwrap()];
    world.settle();
    for kernel in ["eth0; +2001:db8::5/64 deprecated; 6>", one, "ens3; +2001:db8::5/64; 6>"] {
        world.kernel(kernel);
        assert_eq!((world.named().as_str(), world.listening().as_str()), ("2001:db8::5", "2001:db8::5"), "{kernel}");
    }
    world.kernel("eth0; +2001:db8::5/64 deprecated; +2001:db8::9/64; 6>");
    assert_eq!(world.named(), "2001:db8::9 2001:db8::5");
    world.kernel("eth0; +2001:db8::5/64; +2001:db8::9/64; 6>");
    assert_eq!(world.named(), "2001:db8::9 2001:db8::5", "the latest breaks the tie");
    assert_eq!(world.tries, 2);
}

#[test]
fn a_full_disk_is_tried_again_and_nothing_is_ready_before_the_file_is_there() {
    let mut world = World::new(V4);
    world.is_disk_full = true;
    world.pass(12);
    assert!(!world.is_ready() && world.file.is_none());
    world.is_disk_full = false;
    world.pass(5);
    assert_eq!((world.named().as_str(), world.is_ready()), ("10.0.0.5", true));
    assert!(world.remembered.is_some());
}

#[test]
fn a_file_that_was_changed_or_removed_is_written_again() {
    let mut world = World::new(V4);
    world.settle();
    for file in [None, Some("nameserver 8.8.8.8\n".to_owned())] {
        world.file = file;
        world.settle();
        assert_eq!(world.named(), "10.0.0.5");
    }
}

#[test]
fn a_listener_on_another_port_is_ready_without_a_file() {
    let mut world = World::new(V4);
    world.listen(&["10.0.0.5:5300"]);
    assert!(world.is_ready() && world.file.is_none());
    assert_eq!(world.has_told("is not written"), 1);
    world.pass(60);
    assert_eq!(world.has_told("is not written"), 1, "told once");
}

#[test]
fn without_an_address_the_boot_goes_on_and_the_address_is_followed_when_it_comes() {
    let mut world = World::new(NOTHING);
    world.pass(19);
    assert!(!world.is_ready());
    world.pass(2);
    let Some(Change::Ready(status)) = world.notified.last() else { panic!("{:?}", world.notified) };
    assert!(status.starts_with("degraded: this node has no address yet"), "{status}");
    world.kernel(V4);
    assert_eq!(world.notified.len(), 2, "one status more, once the file is there: {:?}", world.notified);
    assert!(world.state.gave_way.is_none(), "no family was handed out that could give way");
    assert_eq!(world.named(), "10.0.0.5");
    assert_eq!(
        world.has_told("this node has no address yet"),
        2,
        "at once, and when the boot goes on: {:?}",
        world.told
    );
    world.kernel(NOTHING);
    assert_eq!(world.named(), "10.0.0.5", "the file is never empty");
    assert_eq!(world.has_told("lost 10.0.0.5, the IPv4 address"), 1, "{:?}", world.told);
}

#[test]
fn tables_that_cannot_be_read_change_nothing() {
    let mut world = World::new(V4);
    world.settle();
    world.tables = None;
    assert_eq!(world.settle(), Some(world.now + super::RETRY), "read again soon");
    assert_eq!((world.named().as_str(), world.listening().as_str()), ("10.0.0.5", "10.0.0.5"));
}

#[test]
fn the_status_says_when_no_upstream_answers() {
    let mut world = World::new(V4);
    world.settle();
    world.upstreams[0].is_down = true;
    world.settle();
    assert_eq!(world.state.status, "degraded: no upstream answers; 10.0.0.5:53 → 10.0.0.2:53 (down)");
    world.upstreams.clear();
    world.settle();
    assert_eq!(world.state.status, "10.0.0.5:53 → no upstream known");
}

#[test]
fn the_state_can_be_shown() {
    let mut world = World::new(V4);
    world.settle();
    let shown = serde_json::to_value(&world.state).unwrap();
    assert_eq!(shown["listeners"][0]["address"], "10.0.0.5:53");
    assert_eq!(shown["handed_out"]["addresses"][0], "10.0.0.5");
}
