//! Nodes laid out in a directory, as a kubelet, containerd and CoreDNS leave them on disk.

use std::fs;

use super::*;

struct Laid(tempfile::TempDir);

impl Laid {
    /// A node with systemd-resolved's stub, whose kubelet gives that file to pods.
    fn outage() -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        node.write("/etc/resolv.conf", "# a stub\nnameserver 127.0.0.53\noptions edns0\n");
        node.write("/proc/1/comm", "systemd\n");
        node.write("/proc/700/comm", "kubelet\n");
        node.write("/proc/700/cmdline", "/usr/bin/kubelet\0--config=/var/lib/kubelet/config.yaml\0");
        node.kubelet("/etc/resolv.conf");
        node.pod("a1", "kube-system", "coredns-1", "nameserver 127.0.0.53\n");
        node.pod("b2", "default", "web-1", "search default.svc.cluster.local\nnameserver 10.96.0.10\n");
        node.corefile(
            "a1",
            ".:53 {\n    errors\n    loop\n    forward . /etc/resolv.conf {\n        max_concurrent 1000\n    }\n}\n",
        );
        node.write(
            "/var/log/pods/kube-system_coredns-1_a1/coredns/9.log",
            "2026-11-26T20:00:00Z stdout F [INFO] CoreDNS-1.12\n2026-11-26T20:00:01Z stdout F [FATAL] plugin/loop: Loop \
             (127.0.0.1:47954 -> :53) detected for zone \".\", see https://coredns.io/plugins/loop#troubleshooting.\n",
        );
        node.write("/var/log/pods/kube-system_coredns-1_a1/coredns/10.log", "");
        node.write("/var/log/pods/kube-system_coredns-1_a1/coredns/8.log", "old\n");
        node
    }

    fn write(&self, path: &str, text: &str) {
        let target = self.0.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, text).unwrap();
    }

    fn remove(&self, path: &str) {
        let _ = fs::remove_file(self.0.path().join(path.trim_start_matches('/')));
    }

    fn kubelet(&self, resolv_conf: &str) {
        let text = format!("kind: KubeletConfiguration\nclusterDNS:\n- 10.96.0.10\nresolvConf: {resolv_conf}\n");
        self.write("/var/lib/kubelet/config.yaml", &text);
    }

    fn pod(&self, id: &str, namespace: &str, name: &str, resolv_conf: &str) {
        let config = format!(
            "{{\"annotations\": {{\"io.kubernetes.cri.sandbox-namespace\": \"{namespace}\", \
             \"io.kubernetes.cri.sandbox-name\": \"{name}\", \"io.kubernetes.cri.sandbox-uid\": \"{id}\"}}}}"
        );
        self.write(&format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json"), &config);
        let folder = "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes";
        self.write(&format!("{folder}/{id}/resolv.conf"), resolv_conf);
        self.write(&format!("{folder}/gone/resolv.conf"), "nameserver 127.0.0.53\n"); // of a sandbox that has ended
    }

    fn corefile(&self, id: &str, text: &str) {
        self.write(&format!("/var/lib/kubelet/pods/{id}/volumes/kubernetes.io~configmap/config-volume/Corefile"), text);
    }

    fn cured(&self) {
        self.write("/run/onward/resolv.conf", "nameserver 10.0.0.5\n");
        self.kubelet("/run/onward/resolv.conf");
        self.pod("a1", "kube-system", "coredns-1", "nameserver 10.0.0.5\n");
        self.remove("/var/log/pods/kube-system_coredns-1_a1/coredns/9.log");
        self.write("/var/log/pods/kube-system_coredns-1_a1/coredns/10.log", "[INFO] CoreDNS-1.12\n");
    }

    fn onward() -> Onward {
        Onward {
            file: "/run/onward/resolv.conf".to_owned(),
            state_dir: "/var/lib/onward".into(),
            configured: Vec::new(),
            sources: vec![SourceName::Resolved, SourceName::File("/etc/resolv.conf".into())],
        }
    }

    fn diagnosis(&self) -> Diagnosis {
        self.diagnosis_where(&|_| true)
    }

    /// The diagnosis where these servers answer.
    fn diagnosis_where(&self, answers: &dyn Fn(IpAddr) -> bool) -> Diagnosis {
        let around = Around { pods: &[], answers, now: now(), machine: &Machine::default() };
        let mut diagnosis = examine(&Root::at(self.0.path()), &Self::onward(), &around);
        diagnosis.unseen.retain(|line| !line.contains("/var/run/containers"));
        diagnosis
    }
}

/// A moment after the logs were written.
fn now() -> SystemTime {
    humantime::parse_rfc3339("2026-11-26T20:01:00Z").unwrap()
}

fn whats(diagnosis: &Diagnosis) -> Vec<&str> {
    diagnosis.findings.iter().map(|finding| finding.what.as_str()).collect()
}

#[test]
fn the_outage_is_told_with_the_file_the_line_the_pod_its_log_and_the_cure() {
    let node = Laid::outage();
    node.remove("/var/log/pods/kube-system_coredns-1_a1/coredns/10.log");
    let diagnosis = node.diagnosis();
    assert_eq!(
        whats(&diagnosis),
        [
            "the resolv.conf for pods, /etc/resolv.conf, names loopback",
            "1 pod(s) have loopback as their DNS, kube-system/coredns-1 among them",
            "kube-system/coredns-1 has found that its queries come back to it, and ended; it was started 9 times again",
        ]
    );
    let evidence: Vec<&str> = diagnosis.findings.iter().flat_map(|it| &it.evidence).map(String::as_str).collect();
    for part in [
        "/etc/resolv.conf:2: nameserver 127.0.0.53",
        "sandboxes/a1/resolv.conf:1: nameserver 127.0.0.53 (kube-system/coredns-1)",
        "/coredns/9.log:2: [FATAL] plugin/loop: Loop (127.0.0.1:47954 -> :53) detected for zone \".\"",
        "its query came from loopback: it asks itself",
    ] {
        assert!(evidence.iter().any(|line| line.contains(part)), "{part} in {evidence:#?}");
    }
    let first = diagnosis.first().unwrap();
    assert_eq!(
        first.cure,
        [
            "systemctl enable --now onward",
            "onward integrate kubelet --restart",
            "kubectl -n kube-system rollout restart deployment coredns",
        ]
    );
}

#[test]
fn after_the_cure_all_is_well() {
    let node = Laid::outage();
    node.cured();
    let diagnosis = node.diagnosis();
    assert_eq!(whats(&diagnosis), [""; 0]);
    let well = diagnosis.well.join("\n");
    for part in ["names 10.0.0.5", "2 pod(s) ask", "forwards .:53 to what its /etc/resolv.conf names"] {
        assert!(well.contains(part), "{part} in {well}");
    }
    assert_eq!(diagnosis.unseen, [""; 0]);
}

#[test]
fn each_broken_node_is_told_by_its_own_fault() {
    let missing = Laid::outage();
    missing.cured();
    missing.remove("/run/onward/resolv.conf");
    assert_eq!(whats(&missing.diagnosis()), ["the resolv.conf for pods, /run/onward/resolv.conf, is not there"]);

    let empty = Laid::outage();
    empty.cured();
    empty.write("/run/onward/resolv.conf", "search corp.example\n");
    assert_eq!(whats(&empty.diagnosis())[0], "the resolv.conf for pods, /run/onward/resolv.conf, names no server");

    let older = Laid::outage();
    older.cured();
    older.pod("c3", "kube-system", "agent-1", "nameserver 10.0.0.2\n");
    let diagnosis = older.diagnosis();
    assert_eq!(whats(&diagnosis), ["1 pod(s) are older than the file for pods, kube-system/agent-1 among them"]);
    assert_eq!(diagnosis.findings[0].cure, ["kubectl -n kube-system delete pod agent-1"]);

    let itself = Laid::outage();
    itself.cured();
    itself.corefile("a1", "corp.example {\n forward . 10.0.0.2 10.96.0.10\n}\n.:53 {\n forward . 127.0.0.1:5353\n}\n");
    assert_eq!(
        whats(&itself.diagnosis()),
        [
            "CoreDNS forwards corp.example to 10.96.0.10, which is CoreDNS itself",
            "CoreDNS forwards .:53 to 127.0.0.1:5353, which is CoreDNS itself",
        ]
    );

    let unused = Laid::outage();
    unused.cured();
    unused.write("/etc/kubelet-resolv.conf", "nameserver 10.0.0.2\n");
    unused.kubelet("/etc/kubelet-resolv.conf");
    assert_eq!(whats(&unused.diagnosis())[0], "Onward runs on this node, but pods are given /etc/kubelet-resolv.conf");

    let cluster = Laid::outage();
    cluster.write("/etc/resolv.conf", "nameserver 10.96.0.10\n");
    assert_eq!(
        whats(&cluster.diagnosis())[0],
        "the resolv.conf for pods, /etc/resolv.conf, names the cluster's own DNS"
    );
}

#[test]
fn a_corefile_that_names_the_nodes_former_address_is_told() {
    let node = Laid::outage();
    node.cured();
    node.corefile("a1", ".:53 {\n    forward . 10.0.0.4 {\n        prefer_udp\n    }\n}\n");
    assert_eq!(whats(&node.diagnosis()), [""; 0], "any server of the network");
    let root = Root::at(node.0.path());
    let addresses = ["10.0.0.5".parse().unwrap(), "10.0.0.4".parse().unwrap()];
    crate::service::handed_out::save(&addresses, &root.path("/var/lib/onward"), &root).unwrap();
    assert_eq!(whats(&node.diagnosis()), ["CoreDNS forwards .:53 to 10.0.0.4, where the node used to be"]);
}

#[test]
fn corefiles_are_read_in_every_form() {
    let text = "# forward . 10.0.0.9\n(snippet) {\n  cache 30\n}\nexample.org:53 example.net {\n  forward example.org tls://9.9.9.9 \
                10.0.0.2:5353 {\n    except forward.example\n    forward 10.0.0.8\n  } # forward . 10.0.0.7\n}\n. {\n  forward . \
                /etc/resolv.conf\n}\n}\n";
    let found = forwards_of(text);
    assert_eq!(
        found,
        [
            (6, "example.org:53 example.net", "tls://9.9.9.9"),
            (6, "example.org:53 example.net", "10.0.0.2:5353"),
            (12, ".", "/etc/resolv.conf"),
        ]
        .map(|(line, zones, target)| (line, zones.to_owned(), target.to_owned()))
    );
}

fn forwards_of(text: &str) -> Vec<(usize, String, String)> {
    let found = coredns::forwards(text);
    found.into_iter().map(|forward| (forward.line, forward.zones, forward.target)).collect()
}

#[test]
fn what_is_there_by_crio_or_k3s_is_found_too() {
    let node = Laid(tempfile::tempdir().unwrap());
    node.write("/etc/resolv.conf", "nameserver 10.0.0.2\n");
    let folder = "/var/run/containers/storage/overlay-containers/x1/userdata";
    node.write(
        &format!("{folder}/config.json"),
        "{\"annotations\": {\"io.kubernetes.pod.namespace\": \"kube-system\", \"io.kubernetes.pod.name\": \"coredns-9\"}}",
    );
    node.write(&format!("{folder}/resolv.conf"), "nameserver 127.0.0.1\n");
    node.write(
        "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/y2/config.json",
        "{\"annotations\": {\"io.kubernetes.cri.sandbox-namespace\": \"a\", \"io.kubernetes.cri.sandbox-name\": \"b\"}}",
    );
    let k3s = "/var/lib/rancher/k3s/agent/containerd/io.containerd.grpc.v1.cri/sandboxes/y2/resolv.conf";
    node.write(k3s, "nameserver ::1\n");
    let diagnosis = node.diagnosis();
    assert_eq!(whats(&diagnosis), ["2 pod(s) have loopback as their DNS, a/b among them"]);
}

#[test]
fn a_corefile_that_is_no_configmap_is_found_by_what_its_coredns_was_told() {
    let node = Laid::outage();
    node.cured();
    node.remove("/var/lib/kubelet/pods/a1/volumes/kubernetes.io~configmap/config-volume/Corefile");
    node.write(
        "/run/containerd/io.containerd.runtime.v2.task/k8s.io/c3/config.json",
        r#"{"process": {"args": ["/coredns", "-conf", "/etc/coredns/Corefile"]},
            "annotations": {"io.kubernetes.cri.sandbox-namespace": "kube-system", "io.kubernetes.cri.sandbox-name": "coredns-1"},
            "mounts": [{"destination": "/", "source": "/nowhere"}, {"destination": "/proc", "source": "proc"},
                       {"destination": "/etc/coredns", "source": "/srv/dns"}]}"#,
    );
    node.write("/srv/dns/Corefile", ".:53 {\n    forward . 127.0.0.1\n}\n");
    let diagnosis = node.diagnosis();
    assert_eq!(whats(&diagnosis), ["CoreDNS forwards .:53 to 127.0.0.1, which is CoreDNS itself"]);
    assert_eq!(
        diagnosis.findings[0].evidence,
        ["/srv/dns/Corefile:2: forward 127.0.0.1, for .:53 (kube-system/coredns-1)"]
    );
}

#[test]
fn a_probe_that_came_back_names_the_file_and_the_way() {
    let laid = Laid::outage();
    laid.corefile("a1", ".:53 {\n    forward . tls://10.0.0.9 10.0.0.8:5353 dns.example /etc/resolv.conf\n}\n");
    let root = Root::at(laid.0.path());
    let onward = Laid::onward();
    let mut diagnosis = Diagnosis::default();
    let around = Around { pods: &[], answers: &|_| true, now: now(), machine: &Machine::default() };
    let node = Node::look(&root, &onward, &around, &mut diagnosis);
    let pod = node.sandboxes.iter().find(|sandbox| sandbox.name == "coredns-1").unwrap();
    let targets = loop_probe::targets(&root, pod);
    let servers: Vec<String> = targets.iter().map(|target| target.server.to_string()).collect();
    assert_eq!(servers, ["10.0.0.9:53", "10.0.0.8:5353", "127.0.0.53:53"]);

    let from = |text: &str| loop_probe::Seen::Back(text.parse().unwrap());
    let seen = [loop_probe::Seen::NotBack, from("10.0.0.1:4711"), from("127.0.0.1:4712")];
    let mut diagnosis = Diagnosis::default();
    loop_probe::judge(&node, "kube-system/coredns-1", &targets, &seen, &mut diagnosis);
    assert_eq!(
        whats(&diagnosis),
        ["a loop would form now: what kube-system/coredns-1 asks 10.0.0.8 comes back to it, through 10.0.0.1"]
    );
    let evidence = &diagnosis.findings[0].evidence;
    assert!(evidence[0].contains("Corefile:2: forward 10.0.0.8:5353 (kube-system/coredns-1)"), "{evidence:?}");
    assert!(evidence[1].contains("/a1/resolv.conf:1: nameserver 127.0.0.53"), "{evidence:?}");

    for (seen, said) in
        [(loop_probe::Seen::NotBack, "no loop would form now"), (loop_probe::Seen::Taken, "runs: no probe")]
    {
        let mut diagnosis = Diagnosis::default();
        loop_probe::judge(&node, "kube-system/coredns-1", &targets, &[seen; 3], &mut diagnosis);
        assert!(diagnosis.findings.is_empty() && diagnosis.well[0].contains(said), "{:?}", diagnosis.well);
    }
}

#[test]
fn a_coredns_that_was_just_started_again_does_not_hide_what_the_one_before_it_said() {
    let node = Laid::outage();
    let latest = "/var/log/pods/kube-system_coredns-1_a1/coredns/10.log";
    let told = |text: &str| {
        node.write(latest, text);
        whats(&node.diagnosis()).into_iter().filter(|what| what.contains("10 times again")).count()
    };
    assert_eq!(told(""), 1, "it has said nothing yet");
    assert_eq!(told("2026-11-26T20:00:50Z stdout F .:53\n"), 1, "ten seconds old");
    assert_eq!(told("2026-11-26T20:00:20Z stdout F .:53\n"), 0, "it has run for longer than the plugin tries");
    assert_eq!(told("of no form\n"), 0);
}

#[test]
fn a_server_that_does_not_answer_is_told_with_its_line_and_who_was_told_of_the_file() {
    let node = Laid::outage();
    node.write("/etc/kubernetes/resolv.conf", "nameserver 10.0.0.9\nnameserver 10.0.0.2\n");
    node.kubelet("/etc/kubernetes/resolv.conf");
    let mut told = Vec::new();
    for dead in [1, 2] {
        let living: &[&str] = if dead == 1 { &["10.0.0.2"] } else { &[] };
        let diagnosis = node.diagnosis_where(&|ip| living.contains(&ip.to_string().as_str()));
        told.push(diagnosis.findings[0].clone());
    }
    assert_eq!([told[0].severity, told[1].severity], [Severity::Risk, Severity::Fault]);
    assert_eq!(
        told[0].what,
        "the resolv.conf for pods, /etc/kubernetes/resolv.conf, names a server that does not answer"
    );
    assert_eq!(
        told[0].evidence,
        [
            "/etc/kubernetes/resolv.conf:1: nameserver 10.0.0.9",
            "kubelet is told to give /etc/kubernetes/resolv.conf to pods, by /var/lib/kubelet/config.yaml:4: \
             resolvConf: /etc/kubernetes/resolv.conf"
        ]
    );
    // What beats the configuration is named instead.
    node.write(
        "/etc/default/kubelet",
        "# --resolv-conf=/etc/kubernetes/resolv.conf\nX=--resolv-conf=/etc/kubernetes/resolv.conf\n",
    );
    let diagnosis = node.diagnosis_where(&|_| false);
    assert!(diagnosis.findings[0].evidence[2].contains("/etc/default/kubelet:2: X="), "{:?}", diagnosis.findings[0]);
}
