//! k0s and MicroK8s as they lay themselves out.

use std::fs;
use std::os::unix::fs::symlink;

use super::{FILE, Node};
use crate::integrate::Program;

const WORKER: &str = "/etc/systemd/system/k0sworker.service";
const DROPIN: &str = "/etc/systemd/system/k0sworker.service.d/90-onward.conf";

fn k0s(command: &str) -> Node {
    let node = Node::new(&[(WORKER, &format!("[Service]\nExecStart=/usr/local/bin/k0s {command}\n"))]);
    node.runs(42, &format!("/usr/local/bin/k0s {command}"));
    node
}

#[test]
fn k0s_is_started_with_the_flag_by_a_dropin() {
    let node = k0s("worker --token-file=/etc/k0s/token");
    let plan = node.integrate(Program::K0s);
    let text = node.read(DROPIN);
    let command = "ExecStart=/usr/local/bin/k0s worker --token-file=/etc/k0s/token \
                   \"--kubelet-extra-args=--resolv-conf=/run/onward/resolv.conf\"\n";
    assert!(text.ends_with(&format!("[Service]\nExecStart=\n{command}")), "{text}");
    let restarts: Vec<_> = plan.restarts.iter().map(ToString::to_string).collect();
    assert_eq!(restarts, ["systemctl daemon-reload", "systemctl try-restart k0sworker"]);
    node.is_settled(Program::K0s);
    // Its kubelet is none of kubelet's.
    node.runs(43, "/var/lib/k0s/bin/kubelet --config=/var/lib/k0s/kubelet-config.yaml");
    assert!(node.refusal(Program::Kubelet).contains("onward integrate k0s"));
    // The unit is installed again, with other flags: our drop-in follows.
    node.write(WORKER, "[Service]\nExecStart=/usr/local/bin/k0s worker --debug\n");
    node.integrate(Program::K0s);
    assert!(node.read(DROPIN).contains("k0s worker --debug \"--kubelet"));
    node.revert(Program::K0s);
    assert!(!node.has(DROPIN) && node.has(WORKER));
}

#[test]
fn other_arguments_for_kubelet_are_kept() {
    let node = k0s("worker \"--kubelet-extra-args=--v=2 --resolv-conf=/etc/a\"");
    node.integrate(Program::K0s);
    assert!(node.read(DROPIN).contains(" \"--kubelet-extra-args=--v=2 --resolv-conf=/run/onward/resolv.conf\"\n"));
    k0s(&format!("worker --kubelet-extra-args=--resolv-conf={FILE}")).is_settled(Program::K0s);
    assert!(k0s("worker \"--kubelet-extra-args=--a='b c'\"").refusal(Program::K0s).contains("quotes"));
}

#[test]
fn what_starts_no_pods_or_would_not_take_effect_is_refused() {
    let node = Node::new(&[(
        "/etc/systemd/system/k0scontroller.service",
        "[Service]\nExecStart=/usr/local/bin/k0s controller\n",
    )]);
    assert!(node.refusal(Program::K0s).contains("starts no pods"));
    node.write(
        "/etc/systemd/system/k0scontroller.service",
        "[Service]\nExecStart=/usr/local/bin/k0s controller --single\n",
    );
    assert_eq!(node.plan(Program::K0s).unwrap().changes.len(), 1);
    assert!(Node::new(&[]).refusal(Program::K0s).contains("k0s is not installed here"));
    let node = k0s("worker");
    node.integrate(Program::K0s);
    let site = "/etc/systemd/system/k0sworker.service.d/99-site.conf";
    node.write(site, "[Service]\nExecStart=\nExecStart=/usr/local/bin/k0s worker\n");
    let refusal = node.refusal(Program::K0s);
    assert!(refusal.contains(site) && refusal.contains("comes after"), "{refusal}");
}

#[test]
fn microk8s_has_the_flag_in_its_file_of_arguments() {
    let arguments = "/var/snap/microk8s/7/args/kubelet";
    let before = "--kubeconfig=${SNAP_DATA}/x\n--resolv-conf=/etc/resolv.conf\n--v=2\n";
    let node = Node::new(&[(arguments, before)]);
    symlink("7", node.root.path("/var/snap/microk8s/current")).unwrap();
    node.runs(42, "/snap/microk8s/7/kubelite --scheduler-args-file=x");
    let plan = node.integrate(Program::Microk8s);
    assert_eq!(node.read(arguments), format!("--kubeconfig=${{SNAP_DATA}}/x\n--v=2\n--resolv-conf={FILE}\n"));
    assert_eq!(plan.restarts[0].to_string(), "systemctl try-restart snap.microk8s.daemon-kubelite");
    node.is_settled(Program::Microk8s);
    // A refresh copies the files of the revision.
    fs::create_dir_all(node.root.path("/var/snap/microk8s/8/args")).unwrap();
    fs::copy(node.root.path(arguments), node.root.path("/var/snap/microk8s/8/args/kubelet")).unwrap();
    fs::remove_file(node.root.path("/var/snap/microk8s/current")).unwrap();
    symlink("8", node.root.path("/var/snap/microk8s/current")).unwrap();
    node.is_settled(Program::Microk8s);
    node.revert(Program::Microk8s);
    assert_eq!(node.read("/var/snap/microk8s/8/args/kubelet"), before);
}

#[test]
fn a_microk8s_that_may_not_read_the_file_is_refused() {
    let node = Node::new(&[("/var/snap/microk8s/current/args/kubelet", "")]);
    assert_eq!(node.plan(Program::Microk8s).unwrap().changes.len(), 1);
    node.write("/snap/microk8s/current/meta/snap.yaml", "name: microk8s\nconfinement: strict\n");
    assert!(node.refusal(Program::Microk8s).contains("strictly confined"));
    assert!(Node::new(&[]).refusal(Program::Microk8s).contains("not installed"));
}
