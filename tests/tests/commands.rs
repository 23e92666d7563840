//! Each command of the operator on nodes that are not well: in the outage, in a loop that formed later, with a slow
//! server, without servers, with a daemon that is dead, stuck, another user's, or of another version. What a command
//! says of one fault in particular is held by `control`, `doctor` and others; here each has to come to an end, with the
//! exit code that is its own, and to name the fault where it is its business.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use onward_tests::host::Host;
use onward_tests::lab::{Lab, UPSTREAMS};
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{can_run, dns::Client, hops, onward, peers, servers, wait};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// What a person has.
const COMMANDS: [&[&str]; 6] = [
    &["status"],
    &["doctor"],
    &["explain", "www.example"],
    &["explain", "www.example", "--ask"],
    &["monitor", "--seconds", "1"],
    &["flush", "www.example"],
];
/// The longest that a command may take, whatever the daemon does.
const PATIENCE: u64 = 12;

/// What each command says, after its name and its exit code.
struct Said(Vec<(&'static [&'static str], Option<i32>, String)>);

impl Said {
    /// Runs each of them by `run`, which is given the words.
    fn by(run: impl Fn(&[&str]) -> (Option<i32>, String)) -> Self {
        Self(
            COMMANDS
                .iter()
                .map(|words| {
                    let begun = Instant::now();
                    let (code, said) = run(words);
                    assert!(begun.elapsed() < wait::seconds(PATIENCE), "{words:?} took {:?}:\n{said}", begun.elapsed());
                    assert!(!said.contains("panicked"), "{words:?}: {said}");
                    (*words, code, said)
                })
                .collect(),
        )
    }

    fn on(host: &Host) -> Self {
        Self::by(|words| onward::run_to_end(host, words))
    }

    /// The exit codes, in the order of the commands.
    fn codes(&self) -> Vec<i32> {
        self.0.iter().map(|(_, code, _)| code.unwrap_or(-1)).collect()
    }

    /// Fails unless the `number`th command says each of these.
    fn has(&self, number: usize, parts: &[&str]) {
        for part in parts {
            assert!(self.0[number].2.contains(part), "{part:?} is not said:\n{self}");
        }
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        for (words, code, said) in &self.0 {
            writeln!(text, "$ onward {} ({code:?})\n{said}", words.join(" "))?;
        }
        f.write_str(&text)
    }
}

const STATUS: usize = 0;
const DOCTOR: usize = 1;
const EXPLAIN: usize = 2;
const ASK: usize = 3;
const MONITOR: usize = 4;
const FLUSH: usize = 5;

fn upstream(lab: &Lab, number: usize) -> Scripted {
    let script = |seen: &Seen| Reply::now(seen.address(ADDRESS.octets(), 300));
    Scripted::start(lab.upstream.net(), Lab::upstream_address(number), script)
}

#[test]
fn in_the_outage_with_a_real_coredns_and_the_stub_of_a_real_resolved() {
    let Some(lab) = Lab::new() else { return };
    let node = &lab.node;
    let _knot = servers::knot(&lab.upstream, UPSTREAMS[0]);
    let _stub = servers::resolved(node, UPSTREAMS[0]);
    let file = node.read("/run/systemd/resolve/stub-resolv.conf");
    node.write("/etc/resolv.conf", &file);
    node.write("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\nresolvConf: /etc/resolv.conf\n");
    lab.pod.write("/etc/resolv.conf", &file);
    lab.pod.write("/etc/coredns/Corefile", ".:53 {\n    errors\n    loop\n    forward . /etc/resolv.conf\n}\n");
    let coredns = peers::coredns().display().to_string();
    let mut coredns = lab.pod.start(&[&coredns, "-conf", "/etc/coredns/Corefile"]);
    coredns.wait_for_line("detected for zone", wait::seconds(20));
    coredns.wait(wait::seconds(10));
    let log = "/var/log/pods/kube-system_coredns-1_a1/coredns/0.log";
    let lines = coredns.output().lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "2026-01-01T00:00:00.000000000Z stdout F {line}");
        all
    });
    node.write(log, &lines);

    let said = Said::on(node);
    assert_eq!(said.codes(), [69, 1, 69, 69, 69, 69], "{said}");
    said.has(STATUS, &["does not run", "systemctl status onward"]);
    said.has(
        DOCTOR,
        &[
            "names loopback",
            "/etc/resolv.conf:",
            "says \"Loop … detected\" and ends",
            "onward integrate kubelet --restart",
        ],
    );
}

#[test]
fn in_a_loop_that_formed_later() {
    if !can_run() {
        return;
    }
    let host = hops::host(&[]);
    let _beyond = hops::server(&host, hops::BEYOND, 1);
    let mut hop = hops::dnsmasq(&host, hops::HOPS[0], &[hops::BEYOND]);
    let process = onward::start(&host, hops::NODE, &["--listen", hops::NODE, "--upstream", hops::HOPS[0]]);
    let client = Client::at(host.net(), hops::port(hops::NODE));
    assert_eq!(client.addresses("before.example"), [Ipv4Addr::new(192, 0, 2, 1)]);
    hop.signal(Signal::SIGKILL);
    hop.wait(wait::seconds(5));
    let _loop = hops::dnsmasq(&host, hops::HOPS[0], &[hops::NODE]);
    let _ = client.try_udp(&Query::new("looping.example", types::A));
    let held = wait::until(wait::seconds(10), || {
        let (_, said) = onward::run_to_end(&host, &["status"]);
        said.contains("looping").then_some(())
    });
    assert!(held.is_some(), "{}", process.output());
    let said = Said::on(&host);
    assert_eq!(said.codes(), [2, 1, 0, 0, 0, 0], "{said}");
    let sends_back = "10.99.0.21:53 sends our queries back to us: it is not asked";
    said.has(STATUS, &["no DNS", sends_back, "looping for ", "through 10.99.0.1"]);
    said.has(
        DOCTOR,
        &[
            sends_back,
            "came home through 10.99.0.1",
            "Whatever answers at that address has this node among its servers",
        ],
    );
    said.has(EXPLAIN, &["10.99.0.21:53 (looping)", "not asked: it sends our queries back to us"]);
    said.has(ASK, &["the answer: SERVFAIL, by Onward itself"]);
}

#[test]
fn with_one_slow_server_and_then_with_none() {
    let Some(lab) = Lab::new() else { return };
    let slow = |seen: &Seen| Reply::after(wait::millis(900), seen.address(ADDRESS.octets(), 300));
    let slow = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), slow);
    let quick = upstream(&lab, 1);
    let _process = onward::with_upstreams(&lab, &UPSTREAMS[..2]);
    for number in 0..20 {
        assert_eq!(lab.client().addresses(&format!("n{number}.test")), [ADDRESS]);
    }
    let said = Said::on(&lab.node);
    assert_eq!(said.codes(), [1, 1, 0, 0, 0, 0], "{said}");
    said.has(STATUS, &["degraded", "10.99.0.53:53 is slow", "10.99.0.54:53  up"]);
    said.has(DOCTOR, &["risk  10.99.0.53:53 is slow", "half of its responses take more than ", "onward explain "]);
    said.has(EXPLAIN, &["10.99.0.53:53 (slow)", "asked when the one before has failed, or is slow"]);
    said.has(ASK, &["asked 10.99.0.53:53 over UDP", "the answer: NOERROR, by 10.99.0.54:53"]);

    drop((slow, quick));
    let client = lab.client();
    let mut number = 0;
    wait::until(wait::seconds(20), || {
        number += 1;
        let _ = client.try_udp(&Query::new(&format!("dead-{number}.test"), types::A));
        (onward::run_to_end(&lab.node, &["status"]).0 == Some(2)).then_some(())
    })
    .expect("no DNS is told");
    let said = Said::on(&lab.node);
    assert_eq!(said.codes(), [2, 1, 0, 0, 0, 0], "{said}");
    said.has(STATUS, &["no DNS", "10.99.0.53:53 does not answer", "10.99.0.54:53 does not answer"]);
    said.has(
        DOCTOR,
        &["FAULT 10.99.0.53:53 does not answer", "it answered last ", "pods get what is remembered, else SERVFAIL"],
    );
    said.has(ASK, &["the answer: SERVFAIL, by Onward itself"]);
}

#[test]
fn with_a_daemon_that_is_stuck_and_one_that_is_dead() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab, 0);
    let mut process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    process.signal(Signal::SIGSTOP);
    let said = Said::on(&lab.node);
    assert_eq!(said.codes(), [69, 1, 69, 69, 69, 69], "{said}");
    for command in [STATUS, DOCTOR, EXPLAIN, ASK, MONITOR, FLUSH] {
        said.has(command, &["runs, but does not reply within 3 s"]);
    }
    process.signal(Signal::SIGKILL);
    process.wait(wait::seconds(5));
    let said = Said::on(&lab.node);
    assert_eq!(said.codes(), [69, 1, 69, 69, 69, 69], "{said}");
    for command in [STATUS, DOCTOR, EXPLAIN, ASK, MONITOR, FLUSH] {
        said.has(command, &["does not run"]);
    }
}

#[test]
fn without_the_right_to_ask() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab, 0);
    let _process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    let binary = peers::onward().display().to_string();
    let said = Said::by(|words| {
        let all = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", &binary];
        let mut process = lab.node.start(&[&all, words].concat());
        let code = process.wait(wait::seconds(PATIENCE)).code();
        (code, process.output())
    });
    assert_eq!(said.codes(), [77, 0, 77, 77, 77, 77], "{said}");
}

/// The daemon was not restarted after an upgrade, or the command was not upgraded: neither understands the other whole.
#[test]
fn with_a_daemon_of_another_version() {
    let Some(lab) = Lab::new() else { return };
    let socket = lab.node.path("/run/onward/control.sock");
    std::fs::create_dir_all(socket.parent().expect("its folder")).expect("make its folder");
    let listener = UnixListener::bind(&socket).expect("listen");
    thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            thread::spawn(move || {
                let (mut calls, mut replies) = (BufReader::new(stream.try_clone().expect("clone")), stream);
                let mut call = Vec::new();
                while calls.read_until(0, &mut call).is_ok_and(|bytes| bytes > 0) {
                    call.clear();
                    let reply = br#"{"error": "org.varlink.service.MethodNotFound", "parameters": {"method": "it"}}"#;
                    if replies.write_all(&[&reply[..], &[0]].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let said = Said::on(&lab.node);
    assert_eq!(said.codes(), [69, 1, 69, 69, 69, 69], "{said}");
    for command in [STATUS, DOCTOR, EXPLAIN, ASK, MONITOR, FLUSH] {
        said.has(command, &["another version: restart it"]);
    }
}
