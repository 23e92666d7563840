//! Follows what is answered here for some names: hosts files are read again when they change, and the cluster's domain
//! is what kubelet is told.

use std::path::Path;
use std::sync::Arc;

use crate::admit::local_names::cluster::ClusterNames;
use crate::admit::local_names::hosts::Hosts;
use crate::admit::local_names::{ClusterDomain, LocalNames, Settings};
use crate::discovery::Root;
use crate::discovery::kubelet::Kubelet;
use crate::discovery::watch::ChangeWatch;
use crate::failure::Failure;
use crate::forwarder::Shared;
use crate::logging::LogEvent;

/// The cluster's domain where kubelet is told none that can be read: nearly all clusters have it.
const USUAL_DOMAIN: &str = "cluster.local";
/// What the names of files end with that editors and package managers leave beside the real ones.
const LEFTOVERS: [&str; 6] = ["~", ".bak", ".swp", ".dpkg-old", ".dpkg-new", ".rpmsave"];

/// The files, and what they say.
#[derive(Debug)]
pub(super) struct Names {
    root: Root,
    settings: Settings,
    watch: ChangeWatch,
    hosts: Arc<Hosts>,
    /// What was told of the files last.
    told: Vec<String>,
}

impl Names {
    /// Begins to watch the files.
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let root = Root::machine();
        let watch = watch(&root, settings)?;
        Ok(Self { root, settings: settings.clone(), watch, hosts: Arc::default(), told: Vec::new() })
    }

    /// Other settings hold from now on.
    pub(super) fn reload(&mut self, settings: &Settings) -> Result<(), Failure> {
        self.watch = watch(&self.root, settings)?;
        self.settings = settings.clone();
        self.told.clear();
        Ok(())
    }

    /// Waits until a file may have changed.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Reads the files.
    pub(super) fn read(&mut self) {
        let mut notes = Vec::new();
        self.hosts = Arc::new(read(&self.root, &self.settings, &mut notes));
        for note in notes.iter().filter(|note| !self.told.contains(note)) {
            log::warn!(event = LogEvent::HostsNote; "{note}");
        }
        self.told = notes;
    }

    /// Has these names answered from now on. The cache forgets those of which something else is said.
    pub(super) fn adopt(&self, kubelet: &Kubelet, shared: &Shared) {
        let names = self.names(kubelet);
        let old = shared.names.load_full();
        if *old == names {
            return;
        }
        let names = Arc::new(names);
        shared.names.store(Arc::clone(&names));
        let set = shared.set.load_full();
        let is_cluster_news = (&old.cluster, old.answers_cluster) != (&names.cluster, names.answers_cluster);
        let is_news = |name: &[u8]| {
            names.hosts.differs(&old.hosts, name)
                || (is_cluster_news && names.answers_cluster && names.cluster.has(name, &set))
        };
        let forgotten = shared.cache.flush(is_news);
        let count = names.hosts.len();
        log::debug!(event = LogEvent::HostsNote, names = count, forgotten; "{count} names of hosts files are answered here");
    }

    fn names(&self, kubelet: &Kubelet) -> LocalNames {
        let answers_cluster = self.settings.cluster_domain == ClusterDomain::Answer;
        let has_cluster = answers_cluster || !kubelet.starts_pods.is_empty() || kubelet.cluster_domain.is_some();
        let domain = kubelet.cluster_domain.as_deref().unwrap_or(USUAL_DOMAIN);
        let cluster = ClusterNames::new(domain, &kubelet.never_asked(), &self.settings.service_networks);
        LocalNames {
            hosts: Arc::clone(&self.hosts),
            cluster: if has_cluster { cluster } else { ClusterNames::default() },
            answers_cluster,
        }
    }
}

/// Reads all files, those of directories in lexical order. What is odd goes into `notes`.
fn read(root: &Root, settings: &Settings, notes: &mut Vec<String>) -> Hosts {
    let mut hosts = Hosts::default();
    for path in &settings.hosts {
        if !root.path(path).is_dir() {
            read_file(root, path, &mut hosts, notes);
            continue;
        }
        let is_meant = |name: &String| !name.starts_with('.') && !LEFTOVERS.iter().any(|end| name.ends_with(end));
        match root.list(path) {
            Ok(names) => {
                names
                    .iter()
                    .filter(|name| is_meant(name))
                    .for_each(|name| read_file(root, &path.join(name), &mut hosts, notes));
            }
            Err(error) => notes.push(format!("{} cannot be listed ({error}); its names are forwarded", path.display())),
        }
    }
    if hosts.is_full {
        notes.push(format!("the hosts files have more than {} names; the rest is forwarded", hosts.len()));
    }
    hosts
}

fn read_file(root: &Root, path: &Path, hosts: &mut Hosts, notes: &mut Vec<String>) {
    match root.read_text(path) {
        Ok(Some(text)) => {
            let odd = hosts.add(&text).into_iter();
            notes.extend(odd.map(|odd| format!("{}:{}: {}", path.display(), odd.line, odd.what)));
        }
        Ok(None) => {}
        Err(error) => notes.push(format!("{} cannot be read ({error}); its names are forwarded", path.display())),
    }
}

fn watch(root: &Root, settings: &Settings) -> Result<ChangeWatch, Failure> {
    ChangeWatch::subscribe(settings.hosts.iter().map(|path| root.path(path)).collect())
        .map_err(|error| Failure::System(format!("cannot watch hosts files: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_without_what_editors_leave_and_what_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        std::fs::create_dir_all(root.path("/etc/hosts.d/sub")).unwrap();
        for (path, text) in [
            ("/etc/hosts", "10.0.0.1 one\n10.0.0 odd\n"),
            ("/etc/hosts.d/20-b", "10.0.0.3 two\n"),
            ("/etc/hosts.d/10-a", "10.0.0.2 two\n"),
            ("/etc/hosts.d/10-a~", "10.0.0.9 left\n"),
            ("/etc/hosts.d/.hidden", "10.0.0.9 left\n"),
        ] {
            std::fs::write(root.path(path), text).unwrap();
        }
        let hosts = ["/etc/hosts", "/etc/hosts.d", "/etc/none"].map(Into::into).into();
        let settings = Settings { hosts, ..Settings::default() };
        let mut notes = Vec::new();
        let hosts = read(&root, &settings, &mut notes);
        let mut expected = Hosts::default();
        expected.add("10.0.0.1 one\n10.0.0.2 two\n10.0.0.3 two");
        assert_eq!(hosts, expected);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("/etc/hosts:2: \"10.0.0\" is no address"), "{notes:?}");
        assert!(notes[1].starts_with("/etc/hosts.d/sub cannot be read"), "{notes:?}");
    }
}
