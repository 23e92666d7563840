//! The pods that there are, by what the container runtime keeps of each sandbox on disk: containerd, also that of k3s
//! and RKE2, and CRI-O.

use std::path::PathBuf;

use serde_json::Value;

use crate::discovery::Root;

/// Where containerd keeps its sandboxes, and where those that run have their configuration.
const CONTAINERD: [(&str, &str); 3] = [
    ("/var/lib/containerd", "/run/containerd"),
    ("/var/lib/rancher/k3s/agent/containerd", "/run/k3s/containerd"),
    ("/var/lib/rancher/rke2/agent/containerd", "/run/k3s/containerd"),
];
const SANDBOXES: &str = "io.containerd.grpc.v1.cri/sandboxes";
const TASKS: &str = "io.containerd.runtime.v2.task/k8s.io";
/// Where CRI-O keeps both.
const CRIO: &str = "/var/run/containers/storage/overlay-containers";
/// Maximum number of sandboxes that are looked at; kubelet starts 110 pods unless told otherwise.
const MOST: usize = 1_000;

/// One pod's sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sandbox {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// The resolv.conf that its containers have.
    pub(super) resolv_conf: String,
}

impl Sandbox {
    /// As `kubectl` names it.
    pub(super) fn shown(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Finds all that run. What cannot be seen is added to `unseen`.
pub(super) fn find(root: &Root, unseen: &mut Vec<String>) -> Vec<Sandbox> {
    let mut sandboxes = Vec::new();
    let mut list = |folder: &str| match root.list(folder) {
        Ok(names) => names,
        Err(error) => {
            unseen.push(format!("{folder}: {error}; what pods really have is unknown"));
            Vec::new()
        }
    };
    for (state, run) in CONTAINERD {
        let folder = format!("{state}/{SANDBOXES}");
        for id in list(&folder) {
            let file = format!("{folder}/{id}/resolv.conf");
            sandboxes.extend(read(
                root,
                &format!("{run}/{TASKS}/{id}/config.json"),
                file,
                [
                    "io.kubernetes.cri.sandbox-namespace",
                    "io.kubernetes.cri.sandbox-name",
                    "io.kubernetes.cri.sandbox-uid",
                ],
            ));
        }
    }
    for id in list(CRIO) {
        let folder = format!("{CRIO}/{id}/userdata");
        sandboxes.extend(read(
            root,
            &format!("{folder}/config.json"),
            format!("{folder}/resolv.conf"),
            ["io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.pod.uid"],
        ));
    }
    sandboxes.truncate(MOST);
    sandboxes
}

/// Reads one; none where it has ended, or has no resolv.conf of its own.
fn read(root: &Root, config: &str, resolv_conf: String, keys: [&str; 3]) -> Option<Sandbox> {
    let content = root.read(config).ok().flatten()?;
    let config: Value = serde_json::from_slice(&content).ok()?;
    root.path(PathBuf::from(&resolv_conf)).symlink_metadata().ok()?;
    let annotation = |key: &str| config.get("annotations")?.get(key)?.as_str().map(str::to_owned);
    let [namespace, name, uid] = keys.map(annotation);
    Some(Sandbox { namespace: namespace?, name: name?, uid: uid.unwrap_or_default(), resolv_conf })
}
