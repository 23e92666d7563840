//! kubelet as distributions start it.

use super::{FILE, Node, ROOTS};
use crate::integrate::Program;
use crate::integrate::plan::Content;

/// kubeadm's own drop-in for kubelet's unit, as its package installs it.
const KUBEADM_UNIT: &str = "[Service]\n\
    Environment=\"KUBELET_KUBECONFIG_ARGS=--kubeconfig=/etc/kubernetes/kubelet.conf\"\n\
    Environment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\n\
    EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\n\
    EnvironmentFile=-/etc/default/kubelet\n\
    ExecStart=\n\
    ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n";
const UNIT: &str = "/usr/lib/systemd/system/kubelet.service";
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const BASE: &str = "kind: KubeletConfiguration\nresolvConf: /run/systemd/resolve/resolv.conf\nstaticPodPath: /etc/x\n";

/// A node of kubeadm's, whose kubelet has these words.
fn kubeadm(words: &str) -> Node {
    let node = Node::new(&[
        (UNIT, "[Service]\nExecStart=/usr/bin/kubelet\n"),
        ("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", KUBEADM_UNIT),
        (CONFIG, BASE),
        ("/var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.5\"\n"),
    ]);
    node.runs(42, &format!("/usr/bin/kubelet --config={CONFIG} {words}"));
    node
}

#[test]
fn a_kubelet_with_a_directory_of_dropins_gets_one() {
    let node = kubeadm("--config-dir=/etc/kubernetes/kubelet.conf.d");
    let path = "/etc/kubernetes/kubelet.conf.d/90-onward.conf";
    node.write("/etc/kubernetes/kubelet.conf.d/10-a.conf", "resolvConf: /etc/resolv.conf\n");
    let plan = node.integrate(Program::Kubelet);
    assert_eq!(plan.changes[0].path.as_os_str(), path);
    assert_eq!((plan.changes.len(), plan.process), (1, Some(42)));
    assert_eq!(plan.restarts[0].to_string(), "systemctl try-restart kubelet");
    let text = node.read(path);
    for line in [
        "apiVersion: kubelet.config.k8s.io/v1beta1",
        "kind: KubeletConfiguration",
        "resolvConf: /run/onward/resolv.conf",
    ] {
        assert!(text.lines().any(|has| has == line), "{text}");
    }
    node.is_settled(Program::Kubelet);
    node.revert(Program::Kubelet);
    assert!(!node.has(path) && node.has("/etc/kubernetes/kubelet.conf.d/10-a.conf"));
}

#[test]
fn a_dropin_that_comes_later_is_named() {
    let node = kubeadm("--config-dir=/etc/kubernetes/kubelet.conf.d");
    node.write("/etc/kubernetes/kubelet.conf.d/99-site.conf", "resolvConf: /etc/resolv.conf\n");
    let refusal = node.refusal(Program::Kubelet);
    assert!(refusal.contains("99-site.conf says resolvConf: /etc/resolv.conf, and comes after"), "{refusal}");
    node.write("/etc/kubernetes/kubelet.conf.d/99-site.conf", &format!("resolvConf: {FILE}\n"));
    node.is_settled(Program::Kubelet);
}

#[test]
fn kubeadms_kubelet_without_a_directory_gets_a_flag_in_the_administrators_file() {
    let node = kubeadm("--node-ip=10.0.0.5");
    let plan = node.integrate(Program::Kubelet);
    assert_eq!(plan.changes[0].before, Content::Absent);
    assert_eq!(node.read("/etc/default/kubelet"), format!("KUBELET_EXTRA_ARGS=--resolv-conf={FILE}\n"));
    assert_eq!(node.read(CONFIG), BASE, "what kubeadm writes stays");
    node.is_settled(Program::Kubelet);
    // kubelet is restarted, and has the flag.
    node.runs(42, &format!("/usr/bin/kubelet --config={CONFIG} --node-ip=10.0.0.5 --resolv-conf={FILE}"));
    node.is_settled(Program::Kubelet);
    node.revert(Program::Kubelet);
    assert!(!node.has("/etc/default/kubelet"));
}

#[test]
fn other_flags_of_the_administrators_stay_and_come_back_as_they_were() {
    let node = kubeadm("--resolv-conf=/etc/mine.conf");
    let before = "# mine\nKUBELET_EXTRA_ARGS=\"--v=2 --resolv-conf=/etc/mine.conf\"\n";
    node.write("/etc/default/kubelet", before);
    node.integrate(Program::Kubelet);
    let after = format!("# mine\nKUBELET_EXTRA_ARGS=\"--v=2 --resolv-conf={FILE}\"\n");
    assert_eq!(node.read("/etc/default/kubelet"), after);
    // The administrator adds a line meanwhile.
    node.write("/etc/default/kubelet", &format!("{after}GODEBUG=x\n"));
    node.revert(Program::Kubelet);
    assert_eq!(node.read("/etc/default/kubelet"), format!("{before}GODEBUG=x\n"));
}

#[test]
fn flags_that_the_unit_sets_itself_are_not_lost_to_a_file_that_replaces_them() {
    let node = kubeadm("--v=2");
    let path = "/etc/systemd/system/kubelet.service.d/20-site.conf";
    node.write(path, "[Service]\nEnvironment=\"KUBELET_EXTRA_ARGS=--v=2 --max-pods=9\" A=b\n");
    let refusal = node.refusal(Program::Kubelet);
    assert!(refusal.starts_with(&format!("{path} sets KUBELET_EXTRA_ARGS")), "{refusal}");
    // Where the administrator's file has it, that one counts already.
    node.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=3\n");
    assert_eq!(node.plan(Program::Kubelet).unwrap().changes.len(), 1);
}

#[test]
fn lines_that_were_changed_since_are_left_unless_forced() {
    let node = kubeadm("");
    node.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n");
    node.integrate(Program::Kubelet);
    node.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=\"--v=9 --resolv-conf=/run/onward/resolv.conf\"\n");
    let undoing = node.undoing(Program::Kubelet, false).unwrap();
    assert_eq!((undoing.changes.len(), undoing.changed.len()), (0, 1));
    let undoing = node.undoing(Program::Kubelet, true).unwrap();
    assert_eq!(undoing.changes[0].after, Content::Text("KUBELET_EXTRA_ARGS=--v=2\n".to_owned()));
}

#[test]
fn a_flag_in_the_unit_itself_is_refused_since_it_beats_every_file() {
    let node = Node::new(&[(
        UNIT,
        "[Service]\nExecStart=/usr/bin/kubelet --resolv-conf=/etc/resolv.conf --config-dir=/etc/k\n",
    )]);
    node.runs(42, "/usr/bin/kubelet --resolv-conf=/etc/resolv.conf --config-dir=/etc/k");
    let refusal = node.refusal(Program::Kubelet);
    assert!(refusal.contains("--resolv-conf=/etc/resolv.conf, which beats") && refusal.contains(UNIT), "{refusal}");
}

#[test]
fn kubeadms_files_are_changed_where_no_other_place_is_read_and_a_patch_keeps_it() {
    let node = Node::new(&[
        (UNIT, "[Service]\nExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml\n"),
        (CONFIG, BASE),
        ("/etc/kubernetes/kubelet.conf", ""),
    ]);
    let plan = node.integrate(Program::Kubelet);
    assert_eq!(node.read(CONFIG), BASE.replace("/run/systemd/resolve/resolv.conf", FILE));
    let patch = "/etc/kubernetes/patches/kubeletconfiguration90-onward+merge.yaml";
    assert_eq!(node.read(patch), format!("resolvConf: {FILE}\n"));
    assert!(plan.notes[0].contains("--patches /etc/kubernetes/patches"), "{plan:?}");
    assert_eq!(plan.process, None);
    node.is_settled(Program::Kubelet);
    node.revert(Program::Kubelet);
    assert_eq!(node.read(CONFIG), BASE);
    assert!(!node.has("/etc/kubernetes/patches") && node.has("/etc/kubernetes"));

    // What newer versions merge by themselves.
    let instance = "/var/lib/kubelet/instance-config.yaml";
    node.write(instance, "containerRuntimeEndpoint: \"unix:///x\"\n");
    node.integrate(Program::Kubelet);
    assert_eq!(node.read(instance), format!("containerRuntimeEndpoint: \"unix:///x\"\nresolvConf: {FILE}\n"));
    assert!(!node.has(patch));
}

#[test]
fn a_configuration_of_unknown_origin_is_refused() {
    let node = Node::new(&[
        (UNIT, "[Service]\nExecStart=/usr/bin/kubelet --config=/etc/mine/kubelet.yaml\n"),
        ("/etc/mine/kubelet.yaml", BASE),
    ]);
    let refusal = node.refusal(Program::Kubelet);
    assert!(
        refusal.contains("/etc/mine/kubelet.yaml is not kubeadm's") && refusal.contains("--config-dir"),
        "{refusal}"
    );
    node.write("/etc/mine/kubelet.yaml", &format!("resolvConf: {FILE}\n"));
    node.is_settled(Program::Kubelet);
}

#[test]
fn what_is_not_a_kubelet_of_this_node_is_refused_with_what_to_do() {
    let node = Node::new(&[]);
    assert!(node.refusal(Program::Kubelet).contains("no kubelet runs here"));
    node.runs(42, "/usr/local/bin/k3s server");
    assert!(node.refusal(Program::Kubelet).contains("onward integrate k3s"));
    // One in a container, which has an /etc of its own.
    let node = kubeadm("");
    node.write(FILE, "nameserver 10.0.0.1\n");
    node.write("/proc/42/root/etc/hostname", "x\n");
    assert!(node.refusal(Program::Kubelet).contains("(process 42) does not see /run/onward/resolv.conf"));
    node.write(&format!("/proc/42/root{FILE}"), "nameserver 10.0.0.1\n");
    assert_eq!(node.plan(Program::Kubelet).unwrap().changes.len(), 1);
}

#[test]
fn a_file_in_a_form_that_is_not_understood_is_refused() {
    let node = kubeadm("");
    node.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2 \\\n  --w=3\n");
    assert!(node.refusal(Program::Kubelet).contains("/etc/default/kubelet has KUBELET_EXTRA_ARGS in a form"));
    let node = kubeadm("--config-dir=/etc/k");
    node.write("/etc/k/10.conf", "resolvConf: [\n");
    assert!(node.refusal(Program::Kubelet).contains("/etc/k/10.conf is not understood"));
}

#[test]
fn a_kubelet_that_knows_nothing_of_the_change_is_waited_for() {
    let node = kubeadm("");
    node.write("/proc/42/stat", &stat(5_000));
    node.integrate(Program::Kubelet);
    assert!(Program::Kubelet.is_awaited(&node.root));
    node.write("/proc/42/stat", &stat(9_000));
    assert!(!Program::Kubelet.is_awaited(&node.root), "another process has its number");
    node.write("/proc/42/status", ROOTS);
}

/// As proc_pid_stat(5) has it; the name may have anything in it.
fn stat(ticks: u64) -> String {
    format!("42 (a) (b) S 1 {} {ticks} 0 0\n", ["0"; 17].join(" "))
}
