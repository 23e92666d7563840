//! The pods that run on this node, by the control groups of their processes, and work that is done from inside the
//! network of one.
//!
//! Nothing runs in a pod, and none of its files is opened, which could be anything: a thread of this process enters its
//! network namespace, and ends. It needs CAP_SYS_ADMIN.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};
use nix::unistd::gethostname;

use crate::discovery::Root;
use crate::upstream::server::DNS_PORT;

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
        choose(networks(root), &name_of)
    }

    /// Does `work` on a thread of its own inside the pod's network.
    ///
    /// # Errors
    /// Where it cannot be entered: the pod has ended, or a privilege is missing.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        within(self.process, "net", CloneFlags::CLONE_NEWNET, work)
    }

    /// The address that the pod sends from to that one; none where it has no way there. Nothing is sent.
    #[must_use]
    pub(crate) fn address_towards(&self, ip: IpAddr) -> Option<IpAddr> {
        let any = if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let address = || {
            let socket = UdpSocket::bind((any, 0)).ok()?;
            socket.connect((ip, DNS_PORT)).ok()?;
            Some(socket.local_addr().ok()?.ip())
        };
        self.within(address).ok()?
    }
}

/// The networks of pods, other than the node's, and the first process of each.
fn networks(root: &Root) -> BTreeMap<PathBuf, u32> {
    let network = |process: &str| std::fs::read_link(root.path(format!("/proc/{process}/ns/net"))).ok();
    let own = network("self").or_else(|| network("1"));
    let mut processes: Vec<u32> =
        root.list("/proc").unwrap_or_default().iter().filter_map(|name| name.parse().ok()).collect();
    processes.sort_unstable();
    let mut networks = BTreeMap::new();
    for process in processes {
        let groups = root.read_text(format!("/proc/{process}/cgroup")).ok().flatten().unwrap_or_default();
        let network = network(&process.to_string()).filter(|_| groups.contains(CONTROL_GROUP));
        if let Some(network) = network.filter(|network| Some(network) != own.as_ref()) {
            networks.entry(network).or_insert(process);
        }
    }
    networks
}

fn choose(networks: BTreeMap<PathBuf, u32>, name_of: &dyn Fn(u32) -> Option<String>) -> Vec<Pod> {
    let named = |process| {
        let name = name_of(process).filter(|name| is_name(name));
        Pod { process, name: name.unwrap_or_else(|| format!("the pod of process {process}")) }
    };
    let mut pods: Vec<Pod> = networks.into_values().map(named).collect();
    pods.sort_by_key(|pod| (!pod.name.contains("dns"), pod.process));
    pods.truncate(PODS_MAX);
    pods
}

/// The name of the host that a process sees itself on, which kubelet makes that of the pod.
fn name_of(process: u32) -> Option<String> {
    within(process, "uts", CloneFlags::CLONE_NEWUTS, gethostname).ok()?.ok()?.into_string().ok()
}

/// Whether a name may be shown: a pod can give itself any.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// Does `work` on a thread of its own in a namespace of a process (namespaces(7)).
fn within<T: Send>(process: u32, kind: &str, flag: CloneFlags, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = File::open(format!("/proc/{process}/ns/{kind}"))?;
    let entered = || {
        setns(namespace, flag)?;
        Ok(work())
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("pod".to_owned()).spawn_scoped(scope, entered)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that asked has ended")))
    })
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
        let process = |id: &str, group: &str, network: &str| {
            fs::create_dir_all(root.path(format!("/proc/{id}/ns"))).unwrap();
            fs::write(root.path(format!("/proc/{id}/cgroup")), format!("0::{group}\n")).unwrap();
            symlink(network, root.path(format!("/proc/{id}/ns/net"))).unwrap();
        };
        process("1", "/init.scope", "net:[1]");
        process("20", "/kubepods.slice/a/pause", "net:[2]");
        process("121", "/kubepods.slice/a/app", "net:[2]");
        process("30", "/kubepods.slice/b/pause", "net:[3]");
        process("40", "/kubepods/burstable/c", "net:[4]");
        process("50", "/kubepods.slice/host", "net:[1]");
        process("60", "/system.slice/cron.service", "net:[5]");
        let name_of = |process| match process {
            20 => Some("app-1".to_owned()),
            30 => Some("\u{1b}[2J".to_owned()),
            40 => Some("coredns-2".to_owned()),
            _ => None,
        };
        let pods = choose(networks(&root), &name_of);
        let names: Vec<_> = pods.iter().map(|pod| (pod.process, pod.name.as_str())).collect();
        assert_eq!(names, [(40, "coredns-2"), (20, "app-1"), (30, "the pod of process 30")]);
    }

    #[test]
    fn a_pod_that_has_ended_is_an_error() {
        let pod = Pod { process: 0, name: String::new() };
        assert!(pod.within(|| ()).is_err());
    }
}
