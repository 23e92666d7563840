//! `/etc/resolv.conf` linked to the file that Onward writes, which is the first thing that people try: the node keeps
//! its upstream servers, over restarts and reboots.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;
use onward_tests::lab::{Lab, NODE, NODE_IP, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, servers, wait};

const GOOD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FILE: &str = "/run/systemd/resolve/resolv.conf";
const KEPT: &str = "/var/lib/onward/upstreams.json";

fn upstream(lab: &Lab) -> Scripted {
    let script = |seen: &Seen| Reply::now(seen.address(GOOD.octets(), 60));
    Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script)
}

fn link(lab: &Lab, target: &str) {
    let etc = lab.node.path("/etc/resolv.conf");
    fs::remove_file(&etc).unwrap();
    symlink(target, etc).unwrap();
}

fn end(mut process: Process) {
    process.signal(Signal::SIGTERM);
    process.wait(wait::seconds(5));
}

/// A boot: `/run` is empty, `/etc` and `/var/lib` are as they were.
fn reboot(lab: &Lab) {
    let run = lab.node.path("/run");
    for entry in fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
}

fn resolves(lab: &Lab, name: &str, process: &Process) {
    let found = wait::until(wait::seconds(3), || (lab.client().addresses(name) == [GOOD]).then_some(()));
    assert!(found.is_some(), "{name} is not resolved:\n{}", process.output());
}

fn kept(lab: &Lab) -> String {
    let text = wait::until(wait::seconds(3), || fs::read_to_string(lab.node.path(KEPT)).ok());
    text.expect("a last good list on disk")
}

/// Whether it said that it asks this server.
fn asks(process: &Process, server: &str) -> bool {
    process.output().lines().any(|line| line.starts_with(&format!("asking {server}:")))
}

#[test]
fn a_host_linked_to_our_file_resolves_after_restart_and_reboot() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    lab.node.write("/etc/resolv.conf", &format!("nameserver {}\n", UPSTREAMS[0]));
    let process = onward::start(&lab.node, NODE, &[]);
    resolves(&lab, "first.test", &process);
    assert!(kept(&lab).contains(UPSTREAMS[0]));

    link(&lab, "/run/onward/resolv.conf");
    end(process);
    let process = onward::start(&lab.node, NODE, &[]);
    resolves(&lab, "restarted.test", &process);
    assert!(kept(&lab).contains(UPSTREAMS[0]), "{}", kept(&lab));

    end(process);
    reboot(&lab);
    let process = onward::start(&lab.node, NODE, &[]);
    resolves(&lab, "rebooted.test", &process);
    assert!(kept(&lab).contains(UPSTREAMS[0]), "{}", kept(&lab));
    assert!(!asks(&process, NODE), "{}", process.output());
}

#[test]
fn a_copy_of_our_file_in_place_of_the_hosts_is_seen_through_after_a_reboot() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    lab.node.write(FILE, &format!("nameserver {}\n", UPSTREAMS[0]));
    let process = onward::start(&lab.node, NODE, &[]);
    resolves(&lab, "first.test", &process);

    let ours = lab.node.read(onward::RESOLV_CONF);
    lab.node.write("/etc/resolv.conf", &ours);
    end(process);
    reboot(&lab);
    // resolved takes the host's plain file for its own configuration.
    lab.node.write(FILE, &format!("nameserver {NODE}\n"));
    // The node's address is late: nothing tells yet that the server in the file is Onward.
    lab.node.net().ip("address del 10.99.0.1/24 dev eth0");
    let mut process = onward::spawn(&lab.node, &["--listen", NODE]);
    process.wait_for_line("asking", wait::seconds(5));
    lab.node.net().address("eth0", &format!("{NODE}/24"));
    lab.node.net().ip(&format!("route replace default via {}", UPSTREAMS[0]));
    onward::wait_until_serving(&lab.node, (NODE_IP, 53).into(), &mut process);
    resolves(&lab, "rebooted.test", &process);
    assert!(kept(&lab).contains(UPSTREAMS[0]), "{}", kept(&lab));
    assert!(!asks(&process, NODE), "{}", process.output());
}

#[test]
fn real_resolved_that_reads_our_file_as_its_configuration_makes_no_loop() {
    let Some(lab) = Lab::new() else { return };
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    lab.node.write("/etc/resolv.conf", &format!("nameserver {}\n", UPSTREAMS[0]));
    let mut resolved = servers::start_resolved_with(&lab.node, &format!("FallbackDNS={}\n", UPSTREAMS[0]));
    servers::answers(&lab.node, "127.0.0.53", "www.odd.example", &mut resolved);
    let process = onward::start(&lab.node, NODE, &[]);
    let asked = || lab.client().udp(&Query::new("www.odd.example", types::A)).addresses();
    assert_eq!(asked(), [Ipv4Addr::new(192, 0, 2, 10)]);

    link(&lab, "../run/onward/resolv.conf");
    resolved.signal(Signal::SIGTERM);
    resolved.wait(wait::seconds(10));
    let _resolved = servers::start_resolved_with(&lab.node, &format!("FallbackDNS={}\n", UPSTREAMS[0]));
    let ours = format!("nameserver {NODE}\n");
    let took_over = wait::until(wait::seconds(10), || lab.node.read(FILE).contains(&ours).then_some(()));
    assert!(took_over.is_some(), "{}", lab.node.read(FILE));
    end(process);
    let process = onward::start(&lab.node, NODE, &[]);
    let found = wait::until(wait::seconds(3), || (asked() == [Ipv4Addr::new(192, 0, 2, 10)]).then_some(()));
    assert!(found.is_some(), "{}", process.output());
    assert!(!asks(&process, NODE), "{}", process.output());
    assert!(kept(&lab).contains(UPSTREAMS[0]), "{}", kept(&lab));
}

#[test]
fn a_torn_list_on_disk_is_put_aside_and_told() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    lab.node.write(KEPT, "{ \"machine_id\": \"0123");
    lab.node.write("/etc/resolv.conf", &format!("nameserver {}\n", UPSTREAMS[0]));
    let process = onward::start(&lab.node, NODE, &[]);
    resolves(&lab, "torn.test", &process);
    assert!(process.output().contains("upstreams.json.broken"), "{}", process.output());
    assert_eq!(lab.node.read(&format!("{KEPT}.broken")), "{ \"machine_id\": \"0123");
    assert!(kept(&lab).contains(UPSTREAMS[0]));
}
