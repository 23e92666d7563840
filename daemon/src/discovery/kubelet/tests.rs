mod facts;

use std::path::Path;

use super::yaml::Document;
use super::{Kubelet, read};
use crate::discovery::root::Root;

fn lay(directory: &Path, files: &[(&str, &str)]) -> Root {
    let root = Root::at(directory);
    for (path, text) in files {
        let path = root.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn kubelet(files: &[(&str, &str)]) -> Kubelet {
    let directory = tempfile::tempdir().unwrap();
    read(&lay(directory.path(), files))
}

/// As proc(5) has it of a process of root's.
const ROOTS: &str = "Name:\tkubelet\nUid:\t0\t0\t0\t0\nNSpid:\t42\n";

fn list(text: &str, key: &str) -> Vec<String> {
    Document::read(text).unwrap_or_else(|error| panic!("{error}: {text}")).list(key).unwrap()
}

#[test]
fn lists_are_read_in_every_style() {
    for text in [
        "clusterDNS:\n- 10.96.0.10\n- fd00::a\n",
        "kind: X\nclusterDNS:\n  # the Service\n\n  - \"10.96.0.10\" # v4\n  - 'fd00::a'\nother: 1\n",
        "clusterDNS: [10.96.0.10, \"fd00::a\"]",
        "clusterDNS: [ 10.96.0.10, # v4\n  fd00::a\n]\nother: [x]",
        "\"clusterDNS\" : [10.96.0.10,fd00::a]",
        "{\"kind\": \"X\", \"clusterDNS\": [\"10.96.0.10\", \"fd00::a\"]}",
        "{\n\t\"clusterDNS\": [\n\t\t\"10.96.0.10\",\n\t\t\"fd00::a\"\n\t]\n}\n",
        "clusterDNS:\r\n- 10.96.0.10\r\n- fd00::a\r\n---\r\n",
        "\u{feff}clusterDNS: [10.96.0.10, 'fd00::a']\n",
        "  kind: X\n  clusterDNS:\n  - 10.96.0.10\n  - fd00::a\n",
        "clusterDNS:\n  [10.96.0.10,\n   fd00::a]\n",
        "clusterDNS:\n-\n  10.96.0.10\n- >-\n  fd00::a\n",
        "clusterDNS: &dns [10.96.0.10, fd00::a]\n",
        "x: &dns\n- 10.96.0.10\n- fd00::a\nclusterDNS: *dns\n",
        "x: &one 10.96.0.10\nclusterDNS: [*one, fd00::a]\n",
        "base: &base {clusterDNS: [10.96.0.10, fd00::a]}\n<<: *base\n",
        "a: &a {clusterDNS: [10.96.0.10, fd00::a]}\nb: &b {kind: X}\n<<: [*b, *a]\n",
        "clusterDNS: !!seq [!!str 10.96.0.10, !!str \"fd00::a\"]\n",
        "%YAML 1.2\n---\nclusterDNS: [10.96.0.10, fd00::a]\n...\n",
        "--- # first\nkind: ClusterConfiguration\n---\nkind: KubeletConfiguration\nclusterDNS: [10.96.0.10, fd00::a]\n",
        "? clusterDNS\n: - 10.96.0.10\n  - fd00::a\n",
    ] {
        assert_eq!(list(text, "clusterDNS"), ["10.96.0.10", "fd00::a"], "{text}");
    }
}

#[test]
fn what_is_not_under_the_key_is_not_read() {
    for text in [
        "clusterDNSX: [1]",
        "nested:\n  clusterDNS: [1]",
        "#clusterDNS: [1]",
        "clusterDNS:\nother:\n- 1",
        "clusterDNS: []",
        "clusterDNS: null",
        "clusterDNS: [~, null, ]",
        "text: |\n  clusterDNS: [1]\n",
        "{\"nested\": {\"clusterDNS\": [\"1\"]}}",
        "# nothing\n",
        "",
    ] {
        assert_eq!(list(text, "clusterDNS"), [""; 0], "{text}");
    }
    assert_eq!(list("clusterDomain: 'cluster.local' # usual", "clusterDomain"), ["cluster.local"]);
    assert_eq!(list("clusterDomain: a#b", "clusterDomain"), ["a#b"]);
}

#[test]
fn what_is_no_configuration_is_not_understood_rather_than_empty() {
    for text in [
        "clusterDNS: [10.96.0.10",
        "clusterDNS:\n\t- 10.96.0.10\n",
        "clusterDNS: *nowhere",
        "{% if x %}\nclusterDNS: [10.96.0.10]\n",
        "- clusterDNS: [10.96.0.10]\n",
        "clusterDNS 10.96.0.10",
    ] {
        assert!(Document::read(text).is_err(), "{text}");
    }
    for text in ["clusterDNS: {a: 10.96.0.10}", "clusterDNS: [[10.96.0.10]]", "clusterDNS: [{{ dns }}]"] {
        assert!(Document::read(text).is_err_and(|_| true) || Document::read(text).unwrap().list("clusterDNS").is_err());
    }
}

#[test]
fn no_file_is_too_much() {
    let deep = "[".repeat(100_000);
    assert!(Document::read(&format!("clusterDNS: {deep}")).is_err());
    // Each line names the one before: a tree of a thousand levels without a bracket too many.
    let ladder: String = (1..1_000).map(|step| format!("a{step}: &a{step} [*a{}]\n", step - 1)).collect();
    assert!(Document::read(&format!("a0: &a0 [x]\n{ladder}")).is_err());
    // Each level names ten times the one before: 10^9 texts, were they copied.
    let laughs: String =
        (1..9).map(|step| format!("a{step}: &a{step} [{}]\n", vec![format!("*a{}", step - 1); 10].join(","))).collect();
    assert_eq!(list(&format!("a0: &a0 [x]\n{laughs}clusterDNS: [10.96.0.10]\n"), "clusterDNS"), ["10.96.0.10"]);
    let merges: String = (1..9)
        .map(|step| format!("a{step}: &a{step} {{<<: [{}]}}\n", vec![format!("*a{}", step - 1); 10].join(",")))
        .collect();
    assert_eq!(list(&format!("a0: &a0 {{x: y}}\n{merges}<<: *a8\n"), "clusterDNS"), [""; 0]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_fail(text in "[-a:\\[\\]{}&*!|>'\"#%@,? \n\t~<.0\u{feff}]{0,80}") {
        if let Ok(document) = Document::read(&text) {
            let _ = document.list("a");
        }
    }
}

#[test]
fn what_is_not_understood_is_unknown_and_leaves_the_other_files() {
    let found = kubelet(&[
        ("/var/lib/kubelet/config.yaml", "clusterDNS: [10.96.0.10]\n"),
        ("/etc/kubernetes/kubelet.conf.d/10-a.conf", "clusterDNS: [10.97.0.10\n"),
        ("/etc/kubernetes/kubelet.conf.d/20-b.conf", "clusterDNS: {a: b}\n"),
    ]);
    assert_eq!(found.cluster_dns, ["10.96.0.10".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(found.unknown.len(), 2, "{:?}", found.unknown);
    let found = kubelet(&[("/var/lib/kubelet/config.yaml", "clusterDNS: [10.96.0.10, dns.example]\n")]);
    assert_eq!((found.cluster_dns.len(), found.unknown.len()), (1, 1), "{:?}", found.unknown);
}

#[test]
fn k3s_adds_where_a_key_ends_with_a_plus() {
    let found = kubelet(&[
        ("/etc/rancher/k3s/config.yaml", "cluster-dns: 10.43.0.10\n"),
        ("/etc/rancher/k3s/config.yaml.d/1.yaml", "cluster-dns+: [\"fd00:43::a\"]\n"),
    ]);
    assert_eq!(found.cluster_dns.len(), 2, "{found:?}");
}

#[test]
fn the_usual_files_are_read_and_dropins_replace() {
    let found = kubelet(&[
        ("/var/lib/kubelet/config.yaml", "clusterDNS:\n- 10.96.0.10\nclusterDomain: cluster.local\n"),
        ("/etc/kubernetes/kubelet.conf.d/10-a.conf", "clusterDNS: [10.97.0.10]\n"),
        ("/etc/kubernetes/kubelet.conf.d/20-b.conf", "clusterDNS: [169.254.20.10]\n"),
        ("/etc/kubernetes/kubelet.conf.d/30-c.yaml", "clusterDNS: [1.1.1.1]\n"),
    ]);
    assert_eq!(found.cluster_dns, ["169.254.20.10".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn a_running_kubelet_tells_where_its_files_are() {
    let found = kubelet(&[
        ("/proc/1/cmdline", "/sbin/init\0"),
        ("/proc/7/cmdline", "/bin/sh\0-c\0kubelet --config=/no\0"),
        ("/proc/42/status", ROOTS),
        (
            "/proc/42/cmdline",
            "/usr/bin/kubelet\0--config=/etc/k/c.yaml\0--config-dir\0/etc/k/d\0--node-ip=10.0.0.5,fd00::5\0--v=2\0",
        ),
        ("/etc/k/c.yaml", "clusterDNS: [10.96.0.10]\nclusterDomain: one.example\n"),
        ("/etc/k/d/a.conf", "clusterDomain: two.example\n"),
        ("/var/lib/kubelet/config.yaml", "clusterDNS: [10.1.1.1]\n"),
    ]);
    assert_eq!(found.cluster_dns.len(), 1);
    assert_eq!(found.cluster_dns[0].to_string(), "10.96.0.10");
    let node_ips: Vec<_> = found.node_ips.iter().map(ToString::to_string).collect();
    assert_eq!(node_ips, ["10.0.0.5", "fd00::5"]);
}

#[test]
fn k3s_and_rke2_have_files_of_their_own() {
    let found = kubelet(&[
        ("/etc/rancher/k3s/config.yaml", "cluster-dns: \"10.43.0.10,fd00:43::a\"\nnode-ip:\n  - 10.0.0.5\n"),
        ("/etc/rancher/rke2/config.yaml.d/50-x.yaml", "kubelet-arg:\n  - \"node-ip=10.0.0.6\"\n  - v=2\n"),
    ]);
    assert_eq!(found.cluster_dns.len(), 2);
    assert_eq!(found.node_ips, ["10.0.0.6".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(found.unknown, [""; 0]);
}

#[test]
fn the_dns_of_k3s_is_the_tenth_address_of_its_services_where_none_is_named() {
    let (config, dropin) = ("/etc/rancher/k3s/config.yaml", "/etc/rancher/rke2/config.yaml.d/1.yaml");
    let never_asked = |files: &[(&str, &str)]| -> Vec<String> {
        kubelet(files).never_asked().iter().map(ToString::to_string).collect()
    };
    assert_eq!(never_asked(&[(config, "service-cidr: 10.50.0.0/16\n")]), ["10.50.0.10"]);
    assert_eq!(
        never_asked(&[(dropin, "service-cidr: [10.50.128.0/24, \"fd00:50::/112\"]\n")]),
        ["10.50.128.10", "fd00:50::a"]
    );
    assert_eq!(never_asked(&[(config, "service-cidr: 10.50.0.0/16\ncluster-dns: 10.50.0.53\n")]), ["10.50.0.53"]);
    let default = ["10.43.0.10", "fd00:43::a"];
    assert_eq!(never_asked(&[(config, "write-kubeconfig-mode: \"0600\"\n")]), default);
    assert_eq!(
        never_asked(&[("/proc/42/status", ROOTS), ("/proc/42/cmdline", "/usr/local/bin/k3s server\0")]),
        default
    );
    // A default tells nothing of the families that pods have.
    assert!(kubelet(&[(config, "node-name: a\n")]).cluster_dns.is_empty());
    assert_eq!(never_asked(&[("/var/lib/kubelet/config.yaml", "clusterDomain: a.example\n")]), [""; 0]);
    let odd = kubelet(&[(config, "service-cidr: 10.50\n")]);
    assert!(odd.unknown[0].contains("service-cidr has \"10.50\", which is not a network"), "{:?}", odd.unknown);
}

/// As k3s' installer writes the unit for `INSTALL_K3S_EXEC`; the running program has a title instead of its words.
#[test]
fn a_k3s_that_has_its_service_network_by_a_flag_never_has_its_dns_for_an_upstream() {
    let unit = "[Service]\nExecStartPre=-/sbin/modprobe overlay\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\t\
                '--service-cidr=10.50.0.0/16' \\\n\t'--resolv-conf' \\\n\t'/etc/k3s.conf' \\\n\nKillMode=process\n";
    let found = kubelet(&[
        ("/proc/42/status", ROOTS),
        ("/proc/42/cmdline", "/usr/local/bin/k3s server\0"),
        ("/etc/systemd/system/k3s.service", unit),
        ("/etc/rancher/k3s/config.yaml", "service-cidr: 10.60.0.0/16\n"),
    ]);
    assert_eq!(found.never_asked(), ["10.50.0.10".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(found.resolv_conf.as_deref(), Some("/etc/k3s.conf"));
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    // A directory where a file should be cannot be read, not even by root.
    std::fs::create_dir_all(directory.path().join("var/lib/kubelet/config.yaml")).unwrap();
    let found = read(&Root::at(directory.path()));
    assert_eq!(found.unknown.len(), 1);
    assert!(found.unknown[0].contains("/var/lib/kubelet/config.yaml"), "{:?}", found.unknown);
}
