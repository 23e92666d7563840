//! When it cannot listen: the message says who is in the way and what to do, and the port is waited for. And the way to
//! try it without privileges.

use std::os::unix::fs::{PermissionsExt, chown};
use std::thread::sleep;

use nix::sys::signal::Signal;
use onward_tests::dns::Client;
use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{onward, peers, servers, wait};

/// The user and group "nobody".
const NOBODY: u32 = 65534;

/// The words that run a program as nobody, without any capability.
const AS_NOBODY: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];

fn upstream(lab: &Lab) -> Scripted {
    Scripted::start(lab.upstream.net(), Lab::upstream_address(0), |seen| Reply::now(seen.address([192, 0, 2, 1], 60)))
}

/// Lays the binary where nobody can read it, and gives its path.
fn binary_for_all(lab: &Lab) -> String {
    let path = lab.node.path("/onward");
    std::fs::copy(peers::onward(), &path).expect("copy the binary");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("let all run it");
    path.display().to_string()
}

#[test]
fn a_port_that_is_taken_is_waited_for_and_its_holder_named() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let holder = servers::dnsmasq(&lab.node, NODE, UPSTREAMS[0], &[]);
    let mut process = onward::spawn(&lab.node, &["--listen", NODE, "--upstream", UPSTREAMS[0]]);
    process.wait_for_line("trying again every", wait::seconds(5));
    sleep(wait::seconds(6));
    assert_eq!(process.ended(), None, "it waits in the process:\n{}", process.output());
    let said = process.output();
    for part in ["10.99.0.1:53", "dnsmasq", &holder.id().to_string()] {
        assert!(said.contains(part), "\"{part}\" is missing in:\n{said}");
    }
    assert_eq!(said.matches("cannot listen on").count(), 1, "told once:\n{said}");
    assert!(!lab.node.path(onward::RESOLV_CONF).exists(), "no file without a listener");
    drop(holder);
    onward::wait_until_serving(&lab.node, (onward_tests::lab::NODE_IP, 53).into(), &mut process);
    onward::wait_for_file(&lab.node, &mut process);
}

#[test]
fn a_second_onward_is_told_of_the_first_and_takes_over_when_it_ends() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    let first = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let mut second = onward::spawn(&lab.node, &["--listen", NODE, "--upstream", UPSTREAMS[0]]);
    second.wait_for_line("cannot listen on", wait::seconds(5));
    assert!(second.output().contains(&first.id().to_string()), "{}", second.output());
    assert_eq!(lab.client().addresses("first.test").len(), 1, "the first goes on");
    drop(first);
    second.wait_for_line("listening on", wait::seconds(8));
    assert_eq!(lab.client().addresses("second.test").len(), 1);
}

#[test]
fn an_address_whose_port_is_taken_does_not_take_the_place_of_one_that_answers() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    const OTHER: &str = "10.99.0.9";
    lab.node.net().address("eth0", &format!("{OTHER}/24"));
    let configuration =
        |address: &str| format!("listen = [\"{address}\"]\n[upstreams]\nservers = [\"{}\"]\n", UPSTREAMS[0]);
    lab.node.write(onward::CONFIGURATION, &configuration(NODE));
    let mut process = onward::start(&lab.node, NODE, &[]);
    let holder = servers::dnsmasq(&lab.node, OTHER, UPSTREAMS[0], &[]);
    lab.node.write(onward::CONFIGURATION, &configuration(OTHER));
    process.signal(Signal::SIGHUP);
    process.wait_for_line("cannot listen on", wait::seconds(5));
    let named = || {
        let file = std::fs::read_to_string(lab.node.path(onward::RESOLV_CONF)).unwrap_or_default();
        file.lines().filter_map(|line| line.strip_prefix("nameserver ").map(str::to_owned)).collect::<Vec<_>>()
    };
    sleep(wait::seconds(1));
    assert_eq!(named(), [NODE], "the one that is still served stays:\n{}", process.output());
    assert_eq!(lab.client().addresses("old.test").len(), 1);
    drop(holder);
    let mended = wait::until(wait::seconds(8), || (named() == [OTHER, NODE]).then_some(()));
    assert!(mended.is_some(), "{:?}:\n{}", named(), process.output());
}

#[test]
fn without_privileges_it_says_what_to_do() {
    let Some(lab) = Lab::new() else { return };
    let binary = binary_for_all(&lab);
    let mut words = AS_NOBODY.to_vec();
    words.extend([&binary, "run", "--listen", NODE, "--upstream", UPSTREAMS[0]]);
    let mut process = lab.node.start(&words);
    let status = process.wait(wait::seconds(10));
    let said = process.output();
    assert_eq!(status.code(), Some(77), "no permission (sysexits):\n{said}");
    assert!(said.contains("--listen") || said.contains("CAP_NET_BIND_SERVICE"), "{said}");
}

#[test]
fn without_privileges_another_port_works() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    let binary = binary_for_all(&lab);
    let place = lab.node.path("/run/try");
    std::fs::create_dir(&place).unwrap();
    chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut words = AS_NOBODY.to_vec();
    words.extend([&binary, "run", "--listen", "10.99.0.1:5353", "--upstream", UPSTREAMS[0]]);
    words.extend(["--resolv-conf", "/run/try/resolv.conf", "--state-dir", "/run/try/state"]);
    let mut process = lab.node.start(&words);
    onward::wait_until_serving(&lab.node, "10.99.0.1:5353".parse().unwrap(), &mut process);
    let client = Client::at(lab.pod.net(), "10.99.0.1:5353".parse().unwrap());
    assert_eq!(client.addresses("unprivileged.test").len(), 1);
    // A resolv.conf cannot carry a port (resolv.conf(5)), so there is none, and the reason is told.
    process.wait_for_line("resolv.conf is not written", wait::seconds(3));
    assert!(!place.join("resolv.conf").exists());
}

#[test]
fn loopback_is_refused_with_the_reason() {
    let Some(lab) = Lab::new() else { return };
    for address in ["127.0.0.1", "::1"] {
        let (code, said) = onward::run_to_end(&lab.node, &["run", "--listen", address, "--upstream", UPSTREAMS[0]]);
        assert!(code.is_some_and(|code| code == 64 || code == 78), "{code:?}:\n{said}");
        assert!(said.contains("loopback") && said.contains(address), "{said}");
    }
}
