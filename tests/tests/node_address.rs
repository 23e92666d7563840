//! The node's own address: it may come late, and it may change while Onward runs.

use std::thread::sleep;

use onward_tests::dns::Client;
use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{onward, wait};

/// The address that takes the place of the first.
const NEW: &str = "10.98.0.7";

fn upstream(lab: &Lab) -> Scripted {
    lab.upstream.net().address("eth0", "10.98.0.53/24");
    Scripted::start(lab.upstream.net(), Lab::upstream_address(0), |seen| Reply::now(seen.address([192, 0, 2, 1], 60)))
}

/// Waits until the file names this address alone, and it answers.
fn wait_for(lab: &Lab, address: &str, process: &Process) {
    let line = format!("nameserver {address}");
    let written = wait::until(wait::seconds(5), || {
        let file = std::fs::read_to_string(lab.node.path(onward::RESOLV_CONF)).unwrap_or_default();
        let servers: Vec<_> = file.lines().filter(|line| line.starts_with("nameserver")).collect();
        (servers == [line.as_str()]).then_some(())
    });
    assert!(written.is_some(), "the file does not say \"{line}\":\n{}", process.output());
    let client = Client::new(lab.pod.net(), address.parse().unwrap());
    let name = format!("at-{}.test", address.replace('.', "-"));
    assert_eq!(client.addresses(&name).len(), 1, "{}", process.output());
}

#[test]
fn an_address_that_comes_late_is_waited_for() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    lab.node.net().ip(&format!("address del {NODE}/24 dev eth0"));
    lab.node.net().ip("address del 10.244.0.1/24 dev pod0");
    let mut process = onward::spawn(&lab.node, &["--upstream", UPSTREAMS[0]]);
    sleep(wait::seconds(1));
    assert_eq!(process.ended(), None, "it waits:\n{}", process.output());
    assert!(!lab.node.path(onward::RESOLV_CONF).exists(), "no file before there is a listener");
    lab.node.net().address("eth0", &format!("{NODE}/24"));
    lab.node.net().ip(&format!("route add default via {}", UPSTREAMS[0]));
    lab.node.net().address("pod0", "10.244.0.1/24");
    wait_for(&lab, NODE, &process);
}

#[test]
fn a_change_of_the_address_is_followed() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    let process = onward::start(&lab.node, NODE, &["--upstream", UPSTREAMS[0]]);
    wait_for(&lab, NODE, &process);

    lab.node.net().address("eth0", &format!("{NEW}/24"));
    sleep(wait::millis(500));
    assert_eq!(lab.client().addresses("both.test").len(), 1, "the old address answers while it exists");

    lab.node.net().ip("route replace default via 10.98.0.53");
    lab.node.net().ip(&format!("address del {NODE}/24 dev eth0"));
    wait_for(&lab, NEW, &process);
}

#[test]
fn a_link_that_flaps_and_a_lease_that_is_renewed_leave_the_address_of_the_pods_in_the_file_alone() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    let process = onward::start(&lab.node, NODE, &["--upstream", UPSTREAMS[0]]);
    wait_for(&lab, NODE, &process);
    let right = lab.node.read(onward::RESOLV_CONF);
    let net = lab.node.net();
    let (remove, add) = (format!("address del {NODE}/24 dev eth0"), format!("address add {NODE}/24 dev eth0"));
    for (what, away, back) in [("the link", "link set eth0 down", "link set eth0 up"), ("the lease", &remove, &add)] {
        net.ip(away);
        let changed = wait::until(wait::seconds(2), || {
            let file = lab.node.read(onward::RESOLV_CONF);
            (file != right).then_some(file)
        });
        assert_eq!(changed, None, "{what}:\n{}", process.output());
        net.ip(back);
        net.ip(&format!("route replace default via {}", UPSTREAMS[0]));
        wait_for(&lab, NODE, &process);
    }
    assert!(!lab.node.read("/var/lib/onward/addresses.json").contains("10.244.0.1"), "{}", process.output());
}

#[test]
fn an_address_that_goes_and_comes_back_beside_a_new_one_is_served_again() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    let process = onward::start(&lab.node, NODE, &["--upstream", UPSTREAMS[0]]);
    wait_for(&lab, NODE, &process);
    let net = lab.node.net();
    net.ip(&format!("address del {NODE}/24 dev eth0"));
    sleep(wait::millis(500));
    net.address("eth0", "10.99.0.77/24");
    net.ip(&format!("route replace default via {}", UPSTREAMS[0]));
    wait_for(&lab, "10.99.0.77", &process);
    net.address("eth0", &format!("{NODE}/24"));
    let named = wait::until(wait::seconds(12), || lab.node.read(onward::RESOLV_CONF).contains(NODE).then_some(()));
    assert!(named.is_some(), "{}", process.output());
    assert_eq!(lab.client().addresses("back.test").len(), 1, "{}", process.output());
}
