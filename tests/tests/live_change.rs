//! The upstream servers change while queries flow, as DHCP or a VPN changes them: by a new file that is renamed over
//! the old one.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Instant;

use onward_tests::lab::{Lab, NODE, NODE_IP, UPSTREAMS};
use onward_tests::load::{Load, addresses};
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{onward, servers, wait};

const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The file that systemd-resolved writes for those who do not want its stub.
const FILE: &str = "/run/systemd/resolve/resolv.conf";

/// Both upstreams, each with an address of its own in its answers.
fn upstreams(lab: &Lab) -> [Scripted; 2] {
    [(0, FIRST), (1, SECOND)].map(|(number, address)| {
        let script = move |seen: &onward_tests::upstream::Seen| Reply::now(seen.address(address.octets(), 60));
        Scripted::start(lab.upstream.net(), Lab::upstream_address(number), script)
    })
}

fn nameserver(number: usize) -> String {
    format!("nameserver {}\nsearch corp.example\n", UPSTREAMS[number])
}

#[test]
fn a_renamed_file_is_followed_and_an_empty_one_is_no_news() {
    let Some(lab) = Lab::new() else { return };
    let _upstreams = upstreams(&lab);
    lab.node.write("/etc/resolv.conf", "nameserver 127.0.0.53\n");
    lab.node.write(FILE, &nameserver(0));
    let mut process = onward::start(&lab.node, NODE, &[]);

    let load = Load::start(lab.pod.net(), NODE_IP);
    sleep(wait::millis(200));
    let changed = Instant::now();
    lab.node.write(FILE, &nameserver(1));
    sleep(wait::millis(1_200));
    let emptied = Instant::now();
    lab.node.write(FILE, "");
    sleep(wait::millis(700));
    let asked = addresses(&load.finish());

    assert!(asked.iter().filter(|(sent, _)| *sent < changed).all(|(_, address)| *address == FIRST));
    let later = asked.iter().filter(|(sent, _)| *sent > changed + wait::seconds(1));
    assert!(later.clone().all(|(_, address)| *address == SECOND), "the new server is used within a second");
    assert!(later.filter(|(sent, _)| *sent > emptied).count() > 50, "the last good list stays");
    assert!(lab.node.read(onward::RESOLV_CONF).contains(NODE));
    assert_eq!(process.ended(), None);
}

#[test]
fn the_last_good_list_survives_a_restart() {
    let Some(lab) = Lab::new() else { return };
    let _upstreams = upstreams(&lab);
    lab.node.write(FILE, &nameserver(0));
    let mut process = onward::start(&lab.node, NODE, &[]);
    process.signal(nix::sys::signal::Signal::SIGTERM);
    process.wait(wait::seconds(5));

    lab.node.write(FILE, "");
    let _process = onward::start(&lab.node, NODE, &[]);
    assert_eq!(lab.client().udp(&Query::new("again.test", types::A)).addresses(), [FIRST]);
}

#[test]
fn a_file_in_a_directory_that_comes_late_is_found() {
    let Some(lab) = Lab::new() else { return };
    let _upstreams = upstreams(&lab);
    let mut process = onward::spawn(&lab.node, &[]);
    onward::wait_until_serving(&lab.node, (NODE_IP, 53).into(), &mut process);
    let none = lab.client().udp(&Query::new("early.test", types::A).edns(1232));
    assert_eq!((none.rcode(), none.extended_errors()), (2, vec![14]), "no upstream is known");

    lab.node.write(FILE, &nameserver(0));
    let mut round = 0;
    let found = wait::until(wait::seconds(2), || {
        round += 1;
        (lab.client().addresses(&format!("late{round}.test")) == [FIRST]).then_some(())
    });
    assert!(found.is_some(), "{}", process.output());
}

#[test]
fn a_link_that_is_told_something_over_dbus_moves_queries_to_resolveds_own_stub() {
    let Some(lab) = Lab::new() else { return };
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let _resolved = servers::resolved(&lab.node, UPSTREAMS[0]);
    lab.node.write("/etc/resolv.conf", "nameserver 127.0.0.53\n");
    let mut process = onward::start(&lab.node, NODE, &[]);
    process.wait_for_line(&format!("asking {}:53", UPSTREAMS[0]), wait::seconds(3));
    // What `resolvectl domain` and NetworkManager leave behind; what is in it is for resolved alone.
    lab.node.write("/run/systemd/resolve/netif/2", "");
    process.wait_for_line("asking 127.0.0.54:53", wait::seconds(3));
    assert!(process.output().contains("over D-Bus"), "{}", process.output());
    assert_eq!(lab.client().addresses("www.odd.example"), [Ipv4Addr::new(192, 0, 2, 10)]);
}
