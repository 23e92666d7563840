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

#[test]
fn lists_are_read_in_every_style() {
    for text in [
        "clusterDNS:\n- 10.96.0.10\n- fd00::a\n",
        "kind: X\nclusterDNS:\n  # the Service\n\n  - \"10.96.0.10\" # v4\n  - 'fd00::a'\nother: 1\n",
        "clusterDNS: [10.96.0.10, \"fd00::a\"]",
        "clusterDNS: [ 10.96.0.10, # v4\n  fd00::a\n]\nother: [x]",
        "\"clusterDNS\" : [10.96.0.10,fd00::a]",
        "{\"kind\": \"X\", \"clusterDNS\": [\"10.96.0.10\", \"fd00::a\"]}",
        "clusterDNS:\r\n- 10.96.0.10\r\n- fd00::a\r\n---\r\n",
    ] {
        assert_eq!(Document::new(text).list("clusterDNS"), ["10.96.0.10", "fd00::a"], "{text}");
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
        "clusterDNS:\n---\n- 1",
        "{\"nested\": {\"clusterDNS\": [\"1\"]}}",
        "",
    ] {
        assert_eq!(Document::new(text).list("clusterDNS"), [""; 0], "{text}");
    }
    assert_eq!(Document::new("clusterDomain: 'cluster.local' # usual").list("clusterDomain"), ["cluster.local"]);
    assert_eq!(Document::new("clusterDomain: a#b").list("clusterDomain"), ["a#b"]);
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
    assert_eq!(found.cluster_domain.as_deref(), Some("cluster.local"));
}

#[test]
fn a_running_kubelet_tells_where_its_files_are() {
    let found = kubelet(&[
        ("/proc/7/cmdline", "/bin/sh\0-c\0kubelet --config=/no\0"),
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
    assert_eq!(found.cluster_domain.as_deref(), Some("two.example"));
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
fn what_cannot_be_read_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    // A directory where a file should be cannot be read, not even by root.
    std::fs::create_dir_all(directory.path().join("var/lib/kubelet/config.yaml")).unwrap();
    let found = read(&Root::at(directory.path()));
    assert_eq!(found.unknown.len(), 1);
    assert!(found.unknown[0].contains("/var/lib/kubelet/config.yaml"), "{:?}", found.unknown);
}
