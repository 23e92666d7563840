//! The incident, reproduced and cured: a node whose `/etc/resolv.conf` names a stub on loopback, and the CoreDNS of its
//! cluster, which gets a copy of that file. Run by `tests/run incident` it tells what a person would see.

use std::net::Ipv4Addr;
use std::thread::sleep;

use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::{dns::Client, host::Host, onward, peers, servers, wait};

/// What every kubeadm cluster has, less the part about the cluster's own names.
const COREFILE: &str = "\
.:53 {
    errors
    log
    health :8080 {
        lameduck 1s
    }
    ready :8181
    cache 30
    loop
    forward . /etc/resolv.conf
    reload
}
";

#[test]
fn systemd_resolved() {
    let Some(lab) = Lab::new() else { return };
    println!("\nA node behind systemd-resolved\n");
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let _stub = servers::resolved(&lab.node, UPSTREAMS[0]);
    play(&lab, &lab.node.read("/run/systemd/resolve/stub-resolv.conf"));
}

#[test]
fn dnsmasq() {
    let Some(lab) = Lab::new() else { return };
    println!("\nA node behind dnsmasq\n");
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let _stub = servers::dnsmasq(&lab.node, "127.0.0.1", UPSTREAMS[0], &[]);
    play(&lab, "nameserver 127.0.0.1\n");
}

/// Both halves of the story, on a node with this `/etc/resolv.conf`.
fn play(lab: &Lab, node_file: &str) {
    lab.node.write("/etc/resolv.conf", node_file);
    tell("The node's /etc/resolv.conf names a stub on loopback:", node_file);
    without_onward(lab, node_file);
    with_onward(lab);
}

fn without_onward(lab: &Lab, node_file: &str) {
    tell("kubelet copies that file into the CoreDNS pod. CoreDNS starts, finds that it asks itself, and dies:", "");
    let mut coredns = start_coredns(&lab.pod, node_file);
    let line = coredns.wait_for_line("detected for zone", wait::seconds(20));
    assert!(line.contains("Loop ("), "{line}");
    let status = coredns.wait(wait::seconds(10));
    assert!(!status.success(), "CoreDNS must not end well");
    show(&format!("{}\n({status}; in a cluster: CrashLoopBackOff)\n", message(&line)));
}

fn with_onward(lab: &Lab) {
    let process = onward::start(&lab.node, NODE, &[]);
    tell("Onward starts on the node, with no configuration at all:", &process.output());
    let file = lab.node.read(onward::RESOLV_CONF);
    tell("It wrote /run/onward/resolv.conf, and kubelet is told `resolvConf: /run/onward/resolv.conf`:", &file);
    assert_eq!(nameservers(&file), [NODE], "{file}");

    let mut coredns = start_coredns(&lab.pod, &file);
    wait_until_ready(&lab.pod, &mut coredns);
    tell("CoreDNS starts with a copy of that file, and its readiness probe says:", "200 OK\n");
    let pod = Client::new(lab.pod.net(), Ipv4Addr::LOCALHOST.into());
    let answer = pod.udp(&Query::new("www.odd.example", types::A));
    assert_eq!(answer.addresses(), [Ipv4Addr::new(192, 0, 2, 10)], "{answer:?}");
    tell("A pod asks CoreDNS for www.odd.example, which only the upstream knows:", "192.0.2.10\n");

    sleep(wait::seconds(5));
    assert_eq!(coredns.ended(), None, "CoreDNS must live:\n{}", coredns.output());
    assert!(!coredns.output().contains("Loop ("), "{}", coredns.output());
    assert!(ready(&lab.pod), "CoreDNS must stay ready");
    tell("Five seconds later CoreDNS is alive and ready: there is no loop.", "");
}

/// One step: a sentence, and below it what the machine showed.
fn tell(sentence: &str, shown: &str) {
    println!("  {sentence}");
    show(shown);
}

fn show(text: &str) {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.for_each(|line| println!("      {line}"));
}

/// Starts CoreDNS in the pod, with this as its `/etc/resolv.conf`.
fn start_coredns(pod: &Host, resolv_conf: &str) -> Process {
    pod.write("/etc/resolv.conf", resolv_conf);
    pod.write("/etc/coredns/Corefile", COREFILE);
    pod.start(&[&peers::coredns().display().to_string(), "-conf", "/etc/coredns/Corefile"])
}

/// What CoreDNS said, without the name of its plugin.
fn message(line: &str) -> &str {
    line.find("Loop (").map_or(line, |start| &line[start..])
}

fn nameservers(file: &str) -> Vec<&str> {
    file.lines().filter_map(|line| line.strip_prefix("nameserver ")).collect()
}

fn wait_until_ready(pod: &Host, coredns: &mut Process) {
    let found = wait::until(wait::seconds(15), || {
        assert_eq!(coredns.ended(), None, "CoreDNS must live:\n{}", coredns.output());
        ready(pod).then_some(())
    });
    assert!(found.is_some(), "CoreDNS is not ready:\n{}", coredns.output());
}

/// Asks the readiness probe, as kubelet does.
fn ready(pod: &Host) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = pod.net().connect("127.0.0.1:8181".parse().unwrap()) else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.lines().next().is_some_and(|line| line.contains("200"))
}
