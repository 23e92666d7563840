//! The kernel's own answers, in a network namespace that the test makes (`unshare -rn`, `ip`: no privilege needed).

use std::process::Command;
use std::time::Duration;

use super::choose::{Place, Wanted, choose};
use super::{Bell, netlink};
use crate::admit::acl::{AllowList, Allowed};

/// Set for the inner test alone, so that nobody runs it on the machine's own links by mistake.
const INSIDE: &str = "ONWARD_TEST_IN_NAMESPACE";

/// Runs the test below in a namespace of its own; by itself that one is ignored.
#[test]
fn the_kernels_tables_are_read_and_its_changes_heard() {
    let test = "node_address::namespace_tests::in_a_namespace";
    let mut command = Command::new("unshare");
    command.arg("-rn").arg(std::env::current_exe().unwrap()).args(["--exact", test, "--ignored", "--nocapture"]);
    let output = command.env(INSIDE, "1").output().expect("unshare of util-linux is needed");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip of iproute2 is needed");
    assert!(status.success(), "ip {arguments}");
}

#[test]
#[ignore = "changes addresses: the test above runs it in a namespace of its own"]
fn in_a_namespace() {
    assert!(std::env::var_os(INSIDE).is_some(), "to be run by the test above only");
    let before = netlink::read().unwrap();
    assert!(before.links.iter().all(|link| link.loopback || !link.up), "not in a namespace of its own: {before:?}");
    for step in [
        "link set lo up",
        "link add up0 type veth peer name up1",
        "link add pod0 type veth peer name pod1",
        // No link-local addresses: finding out that they are unique makes changes for seconds.
        "link set up0 addrgenmode none",
        "link set up1 addrgenmode none",
        "link set pod0 addrgenmode none",
        "link set pod1 addrgenmode none",
        "link set up0 up",
        "link set up1 up",
        "link set pod0 up",
        "link set pod1 up",
        "address add 198.51.100.5/24 dev up0",
        "address add 198.51.100.100/32 dev up0",
        "route add default via 198.51.100.1 dev up0 metric 100",
        "route add 203.0.113.7 dev pod0",
        "route add blackhole 203.0.113.0/24",
        "route add 192.0.2.0/24 dev pod0 table 77",
    ] {
        ip(step);
    }
    let tables = netlink::read().unwrap();
    assert_eq!(tables.link_named("up0").map(|link| link.kind.as_str()), Some("veth"));
    let wanted = Wanted { places: vec![Place::Node], ..Wanted::default() };
    let chosen = choose(&wanted, &tables).unwrap();
    assert_eq!(chosen.addresses[0].socket.to_string(), "198.51.100.5:53");

    let list = AllowList::compile(&Allowed { local: true, ..Allowed::default() }, &tables);
    for (source, admitted) in [
        ("203.0.113.7", true),
        ("198.51.100.100", true),
        ("203.0.113.8", false),
        ("198.51.100.6", false),
        ("192.0.2.1", false),
        ("8.8.8.8", false),
    ] {
        assert_eq!(list.admits(source.parse().unwrap()), admitted, "{source}");
    }
    hear_of_changes();
}

/// Two changes make one ring, and after it there is silence.
fn hear_of_changes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut bell = Bell::hang().unwrap();
        ip("address add 10.9.0.5/24 dev up0");
        ip("route add 10.10.0.0/16 via 10.9.0.1");
        let within = |time| Duration::from_millis(time);
        // Dropped in the middle of a burst, the ring is not lost.
        assert!(tokio::time::timeout(within(50), bell.rung()).await.is_err());
        tokio::time::timeout(within(5_000), bell.rung()).await.expect("the bell rings").unwrap();
        assert!(tokio::time::timeout(within(500), bell.rung()).await.is_err(), "one burst rings once");
        assert!(netlink::read().unwrap().has("10.9.0.5".parse().unwrap()));
    });
}
