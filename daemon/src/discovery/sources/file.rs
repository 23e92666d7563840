//! A plain resolv.conf. Stubs in it are unwrapped; `/etc/resolv.conf` without a server falls back on what the kernel
//! learnt at boot (`ip=dhcp`, /proc/net/pnp).

use std::path::PathBuf;

use super::{Reading, Source, listed};
use crate::discovery::root::Root;
use crate::discovery::unwrap;

/// The host's own file.
pub(in crate::discovery) const ETC: &str = "/etc/resolv.conf";
/// What the kernel learnt at boot.
const PNP: &str = "/proc/net/pnp";

/// A file in the form of resolv.conf.
#[derive(Debug, Clone)]
pub struct File {
    path: PathBuf,
}

impl File {
    /// The source that reads `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Source for File {
    fn read(&self, root: &Root) -> Reading {
        let mut reading = Reading::default();
        let path = self.path.to_string_lossy();
        for path in [&*path, PNP] {
            if reading.lists_any() || (path == PNP && self.path.as_os_str() != ETC) {
                continue;
            }
            let Some(conf) = reading.resolv_conf(root, path) else { continue };
            let list = unwrap::all(listed(&conf, path), root, &mut reading);
            reading.lists.push(list);
            reading.options = conf.options.words();
            reading.search = conf.search;
        }
        reading
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}
