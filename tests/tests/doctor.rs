//! `onward doctor` on a node in the outage, after its cure, and with port 53 shut: files as kubelet, containerd and
//! CoreDNS leave them, the program as a process, Onward really running.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use nix::sys::signal::Signal;
use onward_tests::host::Host;
use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, wait};
use serde_json::Value;

const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const SANDBOX: &str = "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/a1/resolv.conf";

/// Runs a program that is called kubelet, as far as the kernel shows it.
fn kubelet(host: &Host) -> Process {
    fs::create_dir_all(host.path("/run/bin")).expect("make its folder");
    fs::copy("/bin/sleep", host.path("/run/bin/kubelet")).expect("copy a program that waits");
    host.start(&["/run/bin/kubelet", "600"])
}

fn kubelet_is_told(host: &Host, file: &str) {
    host.write(CONFIG, &format!("kind: KubeletConfiguration\nclusterDNS:\n- 10.96.0.10\nresolvConf: {file}\n"));
}

fn doctor(host: &Host) -> (Option<i32>, Value) {
    let (code, said) = onward::run_to_end(host, &["doctor", "--json"]);
    (code, serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}")))
}

fn whats(said: &Value) -> Vec<String> {
    let findings = said["findings"].as_array().expect("findings");
    findings.iter().filter_map(|finding| finding["what"].as_str().map(str::to_owned)).collect()
}

#[test]
fn the_outage_is_found_before_onward_runs_and_nothing_is_wrong_after_its_cure() {
    let Some(lab) = Lab::new() else { return };
    let node = &lab.node;
    node.write("/etc/resolv.conf", "nameserver 127.0.0.53\n");
    kubelet_is_told(node, "/etc/resolv.conf");
    node.write(
        "/run/containerd/io.containerd.runtime.v2.task/k8s.io/a1/config.json",
        r#"{"annotations": {"io.kubernetes.cri.sandbox-namespace": "kube-system",
            "io.kubernetes.cri.sandbox-name": "coredns-1", "io.kubernetes.cri.sandbox-uid": "a1"}}"#,
    );
    node.write(SANDBOX, "nameserver 127.0.0.53\n");
    let _kubelet = kubelet(node);

    let (code, text) = onward::run_to_end(node, &["doctor"]);
    assert_eq!(code, Some(1), "{text}");
    for part in [
        "1. FAULT the resolv.conf for pods, /etc/resolv.conf, names loopback",
        "seen:  /etc/resolv.conf:1: nameserver 127.0.0.53",
        "2. FAULT 1 pod(s) have loopback as their DNS, kube-system/coredns-1 among them",
        "onward integrate kubelet --restart",
        "Do this first",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }

    let script = |seen: &Seen| Reply::now(seen.address(Ipv4Addr::new(192, 0, 2, 1).octets(), 300));
    let _upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let mut process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    let (_, said) = doctor(node);
    assert!(whats(&said)[0].contains("names loopback"), "Onward runs, and kubelet does not know: {said:#}");
    kubelet_is_told(node, onward::RESOLV_CONF);
    node.write(SANDBOX, &format!("nameserver {NODE}\n"));
    let (code, text) = onward::run_to_end(node, &["doctor", "--verbose"]);
    assert_eq!(code, Some(0), "{text}");
    for part in ["ok    Onward is well", "10.99.0.1 is reached over UDP and TCP from this node", "1 pod(s) ask"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }

    let (code, text) = onward::run_to_end(node, &["doctor", "--bundle", "/run/node.tar"]);
    assert!(code == Some(0) && text.contains("files/etc/resolv.conf") && text.contains("status.json"), "{text}");
    let listed = Command::new("tar").arg("-tf").arg(node.path("/run/node.tar")).output().expect("run tar");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for part in ["onward/doctor.json", "onward/status.json", "onward/files/run/onward/resolv.conf"] {
        assert!(listed.lines().any(|line| line == part), "{part} in\n{listed}");
    }
    assert!(!listed.contains(CONFIG), "kubelet's configuration may name secrets: {listed}");
    breaks(node, &mut process);
}

/// Long messages get lost; port 53 is shut; the daemon dies; the file goes.
fn breaks(node: &Host, process: &mut Process) {
    let rules = |rule: &str| {
        let table = format!("table inet test {{ chain input {{ type filter hook input priority 0; {rule}; }}; }}");
        let all = format!("table inet test; delete table inet test; {table}");
        node.net().within(|| assert!(Command::new("nft").arg(all).status().expect("run nft").success()));
    };
    rules("udp dport 53 meta length > 1000 drop");
    let (code, said) = doctor(node);
    let lost = whats(&said);
    assert_eq!((code, lost.len()), (Some(1), 1), "{said:#}");
    assert_eq!(lost[0], "the way from this node itself to 10.99.0.1 loses long messages");
    rules("tcp dport 53 drop");
    let (code, said) = doctor(node);
    let found = whats(&said);
    assert_eq!((code, found.len()), (Some(1), 1), "{said:#}");
    assert!(found[0].starts_with("this node itself does not reach 10.99.0.1 over TCP"), "{found:?}");
    process.signal(Signal::SIGKILL);
    process.wait(wait::seconds(5));
    let found = whats(&doctor(node).1);
    assert!(found.len() == 1 && found[0].starts_with("Onward does not run"), "{found:?}");
    fs::remove_file(node.path(onward::RESOLV_CONF)).expect("remove the file");
    let found = whats(&doctor(node).1);
    assert!(found[0].contains("/run/onward/resolv.conf, is not there"), "{found:?}");
}

#[test]
fn another_user_is_told_what_could_not_be_seen() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| Reply::now(seen.address([192, 0, 2, 1], 300));
    let _upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    lab.node.write("/etc/resolv.conf", &format!("nameserver {}\n", UPSTREAMS[0]));
    lab.node.write(CONFIG, "kind: KubeletConfiguration\n");
    fs::set_permissions(lab.node.path(CONFIG), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("close it");
    let binary = onward_tests::peers::onward().display().to_string();
    let mut process = lab.node.start(&["setpriv", "--reuid=65534", "--clear-groups", &binary, "doctor"]);
    let code = process.wait(wait::seconds(10)).code();
    let said = process.output();
    assert!(code == Some(0) && said.contains("Not seen:") && said.contains(CONFIG), "{code:?} {said}");
    assert!(said.contains("the networks of pods can be entered by root alone"), "{said}");
}
