//! The pods that there are, by what the container runtime keeps of each sandbox on disk: containerd, also that of k3s
//! and RKE2, and CRI-O. And which file of the node's the program in a container was told to read.

use std::path::{Path, PathBuf};

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
/// What the annotations of a pod's name are called, by containerd and by CRI-O.
const BY_CONTAINERD: [&str; 3] =
    ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-uid"];
const BY_CRIO: [&str; 3] = ["io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.pod.uid"];
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
            sandboxes.extend(read(root, &format!("{run}/{TASKS}/{id}/config.json"), file, BY_CONTAINERD));
        }
    }
    for id in list(CRIO) {
        let folder = format!("{CRIO}/{id}/userdata");
        sandboxes.extend(read(root, &format!("{folder}/config.json"), format!("{folder}/resolv.conf"), BY_CRIO));
    }
    sandboxes.truncate(MOST);
    sandboxes
}

/// A file that the program of a container was told to read, as the node has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// The pod, as `NAMESPACE/NAME`.
    pub(super) pod: String,
    pub(super) path: PathBuf,
}

/// Finds what follows `flag` on the command lines of containers that run, where it lies in a mount of the container's.
pub(super) fn told_by_flag(root: &Root, flag: &str) -> Vec<Told> {
    let tasks = ["/run/containerd", "/run/k3s/containerd"].map(|run| format!("{run}/{TASKS}"));
    let each = |folder: &str, rest: &str, keys: [&'static str; 3]| {
        let ids = root.list(folder).unwrap_or_default();
        ids.into_iter().take(MOST).map(|id| (format!("{folder}/{id}{rest}/config.json"), keys)).collect::<Vec<_>>()
    };
    let containerds = tasks.iter().flat_map(|folder| each(folder, "", BY_CONTAINERD));
    let all = containerds.chain(each(CRIO, "/userdata", BY_CRIO));
    all.filter_map(|(path, keys)| {
        let config: Value = serde_json::from_slice(&root.read(path).ok().flatten()?).ok()?;
        let [namespace, name, _] = names(&config, keys);
        let arguments = config.get("process")?.get("args")?.as_array()?.iter().filter_map(Value::as_str);
        let file = arguments.skip_while(|argument| *argument != flag).nth(1)?;
        Some(Told { pod: format!("{}/{}", namespace?, name?), path: on_the_node(&config, Path::new(file))? })
    })
    .collect()
}

/// Where the node has a file of a container's: the innermost mount that it lies in says so.
fn on_the_node(config: &Value, file: &Path) -> Option<PathBuf> {
    let mounts = config.get("mounts")?.as_array()?.iter();
    let text = |mount: &Value, key: &str| mount.get(key)?.as_str().map(PathBuf::from);
    let within = mounts.filter_map(|mount| {
        let (destination, source) = (text(mount, "destination")?, text(mount, "source")?);
        let rest = file.strip_prefix(&destination).ok()?;
        Some((destination.components().count(), if rest.as_os_str().is_empty() { source } else { source.join(rest) }))
    });
    within.max_by_key(|(depth, _)| *depth).map(|(_, path)| path)
}

/// The pod's namespace, name and UID.
fn names(config: &Value, keys: [&str; 3]) -> [Option<String>; 3] {
    keys.map(|key| config.get("annotations")?.get(key)?.as_str().map(str::to_owned))
}

/// Reads one; none where it has ended, or has no resolv.conf of its own.
fn read(root: &Root, config: &str, resolv_conf: String, keys: [&str; 3]) -> Option<Sandbox> {
    let content = root.read(config).ok().flatten()?;
    let config: Value = serde_json::from_slice(&content).ok()?;
    root.path(PathBuf::from(&resolv_conf)).symlink_metadata().ok()?;
    let [namespace, name, uid] = names(&config, keys);
    Some(Sandbox { namespace: namespace?, name: name?, uid: uid.unwrap_or_default(), resolv_conf })
}
