//! The real node-problem-detector runs the monitor that is shipped, and what it finds becomes a condition of the Node:
//! a loop, and a node that resolves nothing.

use std::net::Ipv4Addr;

use onward_tests::api_server::ApiServer;
use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::relay::Relay;
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, peers, wait};

const API: &str = "127.0.0.1:8080";
const MONITOR: &str = "/etc/node-problem-detector.json";

/// Starts it with the monitor as it is shipped, but for the script's place and the time between two looks.
fn detector(lab: &Lab) -> Process {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/node-problem-detector");
    let monitor = std::fs::read_to_string(format!("{folder}/onward.json")).expect("the monitor");
    let shipped = "/usr/libexec/onward/node-problem";
    assert!(monitor.contains(shipped) && monitor.contains("\"invoke_interval\": \"30s\""), "{monitor}");
    let monitor = monitor.replace(shipped, &format!("{folder}/node-problem"));
    lab.node.write(MONITOR, &monitor.replace("\"30s\"", "\"1s\""));
    let onward = peers::onward().parent().expect("its folder").display().to_string();
    let program = peers::node_problem_detector().display().to_string();
    lab.node.start(&[
        "env",
        &format!("PATH={onward}:/usr/bin:/bin"),
        &program,
        &format!("--config.custom-plugin-monitor={MONITOR}"),
        &format!("--apiserver-override=http://{API}?inClusterConfig=false"),
        "--hostname-override=node",
        "--prometheus-port=0",
        "--port=0",
    ])
}

#[test]
fn a_loop_and_a_node_that_resolves_nothing_become_conditions_of_the_node() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| Reply::now(seen.address(Ipv4Addr::new(192, 0, 2, 1).octets(), 300));
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let _loop = Relay::start(lab.upstream.net(), Lab::upstream_address(2), format!("{NODE}:53").parse().unwrap(), 1);
    let process = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let api = ApiServer::start(lab.node.net(), API);
    let detector = detector(&lab);
    let mut number = 0;
    let mut until = |condition: &str, status: &str| {
        wait::until(wait::seconds(30), || {
            number += 1;
            let _ = lab.client().exchange(&Query::new(&format!("{number}.test"), types::A).bytes(), wait::millis(300));
            let (is, message) = api.conditions().get(condition).cloned().unwrap_or_default();
            (is == status).then_some(message)
        })
        .unwrap_or_else(|| panic!("{condition} is never {status}: {:?}\n{}", api.conditions(), detector.output()))
    };
    until("DNSForwardingLoop", "False");
    until("NodeDNSUnavailable", "False");

    drop(process);
    let process = onward::with_upstreams(&lab, &[UPSTREAMS[2], UPSTREAMS[0]]);
    let message = until("DNSForwardingLoop", "True");
    assert!(message.starts_with("loop: 10.99.0.55:53 sends our queries back"), "{message}");
    until("NodeDNSUnavailable", "False");

    drop(process);
    let _process = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    until("DNSForwardingLoop", "False");
    drop(upstream);
    let message = until("NodeDNSUnavailable", "True");
    assert!(message.starts_with("no DNS: "), "{message}");
}
