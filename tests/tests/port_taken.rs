//! When it cannot listen: the message says who is in the way and what to do. And the way to try it without privileges.

use std::os::unix::fs::{PermissionsExt, chown};

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
fn the_holder_of_the_port_is_named() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let holder = servers::dnsmasq(&lab.node, NODE, UPSTREAMS[0], &[]);
    let (code, said) = onward::run_to_end(&lab.node, &["run", "--listen", NODE, "--upstream", UPSTREAMS[0]]);
    assert!(code.is_some_and(|code| code != 0), "{code:?}:\n{said}");
    for part in ["10.99.0.1:53", "dnsmasq", &holder.id().to_string()] {
        assert!(said.contains(part), "\"{part}\" is missing in:\n{said}");
    }
    assert!(!lab.node.path(onward::RESOLV_CONF).exists(), "no file without a listener");
}

#[test]
fn a_second_onward_is_told_of_the_first() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    let first = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let (code, said) = onward::run_to_end(&lab.node, &["run", "--listen", NODE, "--upstream", UPSTREAMS[0]]);
    assert!(code.is_some_and(|code| code != 0), "{code:?}:\n{said}");
    assert!(said.contains(&first.id().to_string()), "{said}");
    assert_eq!(lab.client().addresses("first.test").len(), 1, "the first goes on");
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
