//! k3s and RKE2 as their installers lay them out.

use super::{FILE, Node};
use crate::integrate::Program;

const UNIT: &str = "/etc/systemd/system/k3s.service";
const DROPIN: &str = "/etc/rancher/k3s/config.yaml.d/onward.yaml";

fn k3s(words: &str) -> Node {
    let node = Node::new(&[(UNIT, &format!("[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n{words}\n"))]);
    node.runs(42, "/usr/local/bin/k3s server");
    node
}

#[test]
fn k3s_gets_a_dropin_and_loses_it_with_its_directories() {
    let node = k3s("");
    let plan = node.integrate(Program::K3s);
    assert!(node.read(DROPIN).ends_with("\nresolv-conf: /run/onward/resolv.conf\n"));
    assert_eq!(plan.restarts[0].to_string(), "systemctl try-restart k3s");
    node.is_settled(Program::K3s);
    node.revert(Program::K3s);
    assert!(!node.has("/etc/rancher"));
}

#[test]
fn an_agent_of_rke2_has_its_own_unit() {
    let node = Node::new(&[(
        "/usr/local/lib/systemd/system/rke2-agent.service",
        "[Service]\nExecStart=/usr/local/bin/rke2 agent\n",
    )]);
    let plan = node.integrate(Program::Rke2);
    assert_eq!(plan.restarts[0].to_string(), "systemctl try-restart rke2-agent");
    assert!(node.has("/etc/rancher/rke2/config.yaml.d/onward.yaml"));
    assert!(node.refusal(Program::K3s).contains("k3s is not installed here"));
}

#[test]
fn a_value_of_the_administrators_is_beaten_and_comes_back() {
    let node = k3s("");
    let config = "/etc/rancher/k3s/config.yaml";
    node.write(config, "resolv-conf: /etc/mine.conf\n");
    node.integrate(Program::K3s);
    assert_eq!(node.read(config), "resolv-conf: /etc/mine.conf\n");
    node.revert(Program::K3s);
    node.write(config, &format!("resolv-conf: {FILE}\n"));
    node.is_settled(Program::K3s);
}

#[test]
fn what_beats_a_dropin_is_named() {
    let refusal = k3s("\t'--resolv-conf' \\\n\t'/etc/k3s.conf' \\\n").refusal(Program::K3s);
    assert!(refusal.contains(UNIT) && refusal.contains("resolv-conf=/etc/k3s.conf, which beats"), "{refusal}");
    let refusal = k3s("--kubelet-arg=resolv-conf=/etc/k3s.conf").refusal(Program::K3s);
    assert!(refusal.contains("resolv-conf=/etc/k3s.conf, which beats"), "{refusal}");
    k3s(&format!("--resolv-conf={FILE}")).is_settled(Program::K3s);
    let node = k3s("");
    node.write("/etc/rancher/k3s/config.yaml", "kubelet-arg:\n- \"resolv-conf=/etc/k3s.conf\"\n");
    assert!(node.refusal(Program::K3s).contains("config.yaml has kubelet-arg: resolv-conf=/etc/k3s.conf"));
    let node = k3s("");
    node.write("/etc/rancher/k3s/config.yaml.d/site.yaml", "resolv-conf: /etc/k3s.conf\n");
    assert!(node.refusal(Program::K3s).contains("site.yaml says resolv-conf: /etc/k3s.conf, and is read after"));
}

#[test]
fn a_configuration_elsewhere_has_its_dropins_there() {
    let node = k3s("--config=/srv/k3s.yaml");
    node.integrate(Program::K3s);
    assert!(node.has("/srv/k3s.yaml.d/onward.yaml") && !node.has("/etc/rancher"));
}
