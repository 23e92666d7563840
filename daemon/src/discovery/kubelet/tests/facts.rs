//! What another process could see, in the file for the service: when it counts, and what becomes of one that is bad.

use super::super::{Kubelet, facts, read, read_by_itself};
use super::{ROOTS, lay};
use crate::discovery::root::Root;

/// /proc as a sandbox shows it: the process's own, and no other.
const HIDDEN: (&str, &str) = ("/proc/90/cmdline", "/usr/bin/onward\0run\0");

/// What was learnt on some node.
fn learnt() -> Kubelet {
    Kubelet {
        cluster_dns: vec!["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()],
        cluster_domain: Some("cluster.local".to_owned()),
        node_ips: vec!["10.0.0.5".parse().unwrap()],
        resolv_conf: Some("/run/onward/resolv.conf".to_owned()),
        starts_pods: vec!["kubelet".to_owned()],
        ..Kubelet::default()
    }
}

fn kubelet(files: &[(&str, &str)]) -> Kubelet {
    let directory = tempfile::tempdir().unwrap();
    read(&lay(directory.path(), files))
}

#[test]
fn a_service_that_sees_no_processes_knows_what_another_learnt() {
    let text = facts::render(&learnt()).unwrap();
    for name in ["\"clusterDNS\"", "\"clusterDomain\"", "\"nodeIP\"", "\"resolvConf\"", "\"startsPods\""] {
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(kubelet(&[HIDDEN, (facts::PATH, &text)]), learnt());
    // Where a file is for root alone, processes need not be hidden.
    let directory = tempfile::tempdir().unwrap();
    let root = lay(directory.path(), &[("/proc/1/cmdline", "init\0"), (facts::PATH, &text)]);
    std::fs::create_dir_all(root.path("/var/lib/kubelet/config.yaml")).unwrap(); // cannot be read, not even by root
    assert_eq!(read(&root), learnt());
    assert_ne!(read_by_itself(&root), learnt());
}

#[test]
fn who_sees_all_by_itself_needs_no_file_that_may_be_old() {
    let text = facts::render(&learnt()).unwrap();
    let files = [
        ("/proc/1/cmdline", "init\0"),
        ("/var/lib/kubelet/config.yaml", "clusterDNS: [10.97.0.10]\n"),
        (facts::PATH, &text),
    ];
    assert_eq!(kubelet(&files).cluster_dns, ["10.97.0.10".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn a_file_that_is_missing_or_bad_is_unknown_rather_than_none() {
    let missing = kubelet(&[HIDDEN, ("/var/lib/kubelet/config.yaml", "clusterDNS: [10.97.0.10]\n")]);
    assert_eq!((missing.cluster_dns.len(), missing.unknown.len()), (1, 1), "{missing:?}");
    assert!(missing.unknown[0].contains("onward-cluster.service"), "{missing:?}");
    let whole = facts::render(&learnt()).unwrap();
    let later = whole.replace("\"format\": 1", "\"format\": 2");
    let odd = whole.replace("10.0.0.5", "node.example");
    for (text, why) in
        [(&whole[..40], "EOF"), (&later, "its format is 2"), (&odd, "invalid IP"), ("[]", "invalid"), ("", "EOF")]
    {
        let found = kubelet(&[HIDDEN, (facts::PATH, text)]);
        assert_eq!((found.cluster_dns.len(), found.unknown.len()), (0, 1), "{text}: {found:?}");
        assert!(found.unknown[0].contains(facts::PATH) && found.unknown[0].contains(why), "{found:?}");
    }
    // A node that is in no cluster yet is no reason to say anything.
    let none = facts::render(&Kubelet::default()).unwrap();
    assert_eq!(kubelet(&[HIDDEN, (facts::PATH, &none)]), Kubelet::default());
}

#[test]
fn only_roots_own_kubelet_counts() {
    let flags = "kubelet\0--cluster-dns=8.8.8.8\0--config=/etc/shadow\0";
    let users = ROOTS.replace("Uid:\t0", "Uid:\t1000");
    let in_a_pod = ROOTS.replace("NSpid:\t42", "NSpid:\t42\t1");
    for status in [users.as_str(), in_a_pod.as_str(), ""] {
        let files = [("/proc/1/cmdline", "init\0"), ("/proc/42/cmdline", flags), ("/proc/42/status", status)];
        assert_eq!(kubelet(&files), Kubelet::default(), "{status}");
    }
}

#[test]
fn the_programs_that_start_pods_and_their_words_are_told() {
    let found = kubelet(&[
        ("/proc/1/cmdline", "init\0"),
        ("/proc/42/cmdline", "/usr/local/bin/k3s server\0"),
        ("/proc/42/status", ROOTS),
        ("/proc/43/cmdline", "/usr/local/bin/rke2\0server\0"),
        ("/proc/43/status", ROOTS),
        ("/proc/44/cmdline", "kubelet\0--cluster-domain\0flag.example\0"),
        ("/proc/44/status", ROOTS),
        ("/proc/45/cmdline", "kubelet\0--cluster-domain\0second.example\0"),
        ("/proc/45/status", ROOTS),
        ("/var/lib/kubelet/config.yaml", "clusterDomain: file.example\nresolvConf: /run/onward/resolv.conf\n"),
    ]);
    assert_eq!(found.starts_pods, ["k3s", "rke2", "kubelet"]);
    assert_eq!(found.cluster_domain.as_deref(), Some("flag.example"), "flags beat files");
    assert_eq!(found.resolv_conf.as_deref(), Some("/run/onward/resolv.conf"));
    let k3s =
        kubelet(&[("/etc/rancher/k3s/config.yaml", "resolv-conf: /a\nkubelet-arg: [\"cluster-domain=b.example\"]\n")]);
    assert_eq!((k3s.resolv_conf.as_deref(), k3s.cluster_domain.as_deref()), (Some("/a"), Some("b.example")));
}

#[test]
fn a_machine_without_any_of_it_is_no_fault() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(read(&Root::at(directory.path())), Kubelet::default());
}
