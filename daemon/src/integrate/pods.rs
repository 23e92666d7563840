//! The pods that run on this node, by the control groups of their processes, and work that is done from inside the
//! network of one.
//!
//! Nothing runs in a pod: a thread of this process enters its network namespace, and ends. It needs CAP_SYS_ADMIN.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use nix::sched::{CloneFlags, setns};

use crate::discovery::Root;

/// Maximum number of pods that are asked from: one shows it, and policies may hold for some alone.
const PODS_MAX: usize = 4;
/// What is in the path of every control group that kubelet makes.
const CONTROL_GROUP: &str = "kubepods";

/// A pod with a network of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    /// One of its processes.
    process: u32,
    /// Its name, as its containers know it.
    pub(crate) name: String,
}

impl Pod {
    /// Looks for pods that run, those of DNS first, one for each network; those that use the node's own are left out.
    #[must_use]
    pub(crate) fn find(root: &Root) -> Vec<Self> {
        let network = |process: &str| std::fs::read_link(root.path(format!("/proc/{process}/ns/net"))).ok();
        let own = network("self").or_else(|| network("1"));
        let mut pods = BTreeMap::new();
        let names = root.list("/proc").unwrap_or_default();
        for process in names.iter().filter_map(|name| name.parse::<u32>().ok()) {
            let groups = root.read_text(format!("/proc/{process}/cgroup")).ok().flatten().unwrap_or_default();
            let Some(network) = network(&process.to_string()).filter(|_| groups.contains(CONTROL_GROUP)) else {
                continue;
            };
            if Some(&network) == own.as_ref() {
                continue;
            }
            // The process that holds a pod's network has no name of its own.
            let name = root.read_text(format!("/proc/{process}/root/etc/hostname")).ok().flatten();
            let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
            let known = pods.entry(network).or_insert((process, None));
            if known.1.is_none() {
                *known = (process, name);
            }
        }
        let named = |(process, name): (u32, Option<String>)| Self {
            process,
            name: name.unwrap_or_else(|| format!("the pod of process {process}")),
        };
        let mut pods: Vec<Self> = pods.into_values().map(named).collect();
        pods.sort_by_key(|pod| (!pod.name.contains("dns"), pod.process));
        pods.truncate(PODS_MAX);
        pods
    }

    /// Does `work` on a thread of its own inside the pod's network.
    ///
    /// # Errors
    /// Where it cannot be entered: the pod has ended, or a privilege is missing.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let network = File::open(format!("/proc/{}/ns/net", self.process))?;
        let entered = || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("pod".to_owned()).spawn_scoped(scope, entered)?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that asked has ended")))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_process_stands_for_each_network_and_dns_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let process = |id: &str, group: &str, network: &str, name: Option<&str>| {
            fs::create_dir_all(root.path(format!("/proc/{id}/ns"))).unwrap();
            fs::create_dir_all(root.path(format!("/proc/{id}/root/etc"))).unwrap();
            fs::write(root.path(format!("/proc/{id}/cgroup")), format!("0::{group}\n")).unwrap();
            symlink(network, root.path(format!("/proc/{id}/ns/net"))).unwrap();
            if let Some(name) = name {
                fs::write(root.path(format!("/proc/{id}/root/etc/hostname")), format!("{name}\n")).unwrap();
            }
        };
        process("1", "/init.scope", "net:[1]", Some("node"));
        process("20", "/kubepods.slice/a/pause", "net:[2]", None);
        process("21", "/kubepods.slice/a/app", "net:[2]", Some("app-1"));
        process("30", "/kubepods.slice/b/pause", "net:[3]", None);
        process("40", "/kubepods/burstable/c", "net:[4]", Some("coredns-2"));
        process("50", "/kubepods.slice/host", "net:[1]", Some("proxy"));
        process("60", "/system.slice/cron.service", "net:[5]", Some("node"));
        let pods = Pod::find(&root);
        let names: Vec<_> = pods.iter().map(|pod| (pod.process, pod.name.as_str())).collect();
        assert_eq!(names, [(40, "coredns-2"), (21, "app-1"), (30, "the pod of process 30")]);
    }

    #[test]
    fn a_pod_that_has_ended_is_an_error() {
        let pod = Pod { process: 0, name: String::new() };
        assert!(pod.within(|| ()).is_err());
    }
}
