//! What the programs that manage DNS on this node tell: facts, one file for each program, and no decisions.
//!
//! All reading of files is here. What follows from the facts is decided without any I/O: `unwrap` (what is behind a
//! stub), `sources` (who is asked), `governance` (whose word counts).

mod dnsmasq;
pub(crate) mod dropins;
mod entry;
mod glob;
pub(crate) mod host;
pub(crate) mod link;
pub(crate) mod networkd;
pub(crate) mod networkmanager;
pub(crate) mod resolvconf;
pub(crate) mod resolved;

use std::path::{Path, PathBuf};

use super::listed::{Listed, listed};
use super::reader::{Fact, Reader};
use super::resolv_conf::ResolvConf;
use super::source_name::SourceName;
use crate::kubelet_resolv_conf;
pub(crate) use dnsmasq::Dnsmasq;
pub(super) use dnsmasq::RESOLV_CONF as DNSMASQ_RESOLV_CONF;
use host::{ETC, HostFile};
use networkd::Networkd;
use networkmanager::NetworkManager;
use resolvconf::Resolvconf;
use resolved::Resolved;

/// What the kernel learnt at boot (`ip=dhcp`); people know it as /proc/net/pnp.
const PNP: &str = "/proc/self/net/pnp";

/// Where facts come from: files today. What programs tell over D-Bus becomes a field each, which is empty until they
/// answered, and is read here as files are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeView<'a> {
    /// The file that we write for kubelet.
    pub written: &'a Path,
    /// The sources, whose plain files are read.
    pub sources: &'a [SourceName],
}

/// A file in the form of resolv.conf that the configuration names as a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlainFile {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub conf: Fact<ResolvConf>,
}

/// Everything that the node's programs tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Programs {
    /// `/etc/resolv.conf`.
    pub host: HostFile,
    /// systemd-resolved.
    pub resolved: Resolved,
    /// NetworkManager.
    pub network_manager: NetworkManager,
    /// systemd-networkd.
    pub networkd: Networkd,
    /// resolvconf or openresolv.
    pub resolvconf: Resolvconf,
    /// dnsmasq.
    pub dnsmasq: Dnsmasq,
    /// What the kernel learnt at boot.
    pub kernel: Fact<ResolvConf>,
    /// The other files that are sources.
    pub files: Vec<PlainFile>,
    /// The servers in the file that we write, each of which is Onward.
    pub written: Vec<Listed>,
}

impl Programs {
    /// Reads everything that there is.
    #[must_use]
    pub(crate) fn read(view: &NodeView<'_>, reader: &mut Reader<'_>) -> Self {
        let mut files = Vec::new();
        for source in view.sources {
            if let SourceName::File(path) = source
                && path.as_os_str() != ETC
            {
                files.push(PlainFile { path: path.clone(), conf: reader.resolv_conf(&path.to_string_lossy()) });
            }
        }
        let written = view.written.to_string_lossy();
        Self {
            host: HostFile::read(reader, view.written),
            resolved: Resolved::read(reader),
            network_manager: NetworkManager::read(reader),
            networkd: Networkd::read(reader),
            resolvconf: Resolvconf::read(reader),
            dnsmasq: Dnsmasq::read(reader),
            kernel: reader.resolv_conf(PNP),
            files,
            written: named_by_us(reader, &written),
        }
    }

    /// What the kernel learnt at boot, as a list of servers.
    #[must_use]
    pub(crate) fn kernels_servers(&self) -> Vec<Listed> {
        self.kernel.known().map(|conf| listed(conf, PNP)).unwrap_or_default()
    }
}

/// Reads the file that we write. Returns no server of one that was left when Onward was removed: those are the node's
/// own.
fn named_by_us(reader: &mut Reader<'_>, path: &str) -> Vec<Listed> {
    match reader.bytes(path) {
        Fact::Known(content) if !kubelet_resolv_conf::is_of_node(&content) => {
            listed(&reader.parse(path, &content), path)
        }
        _ => Vec::new(),
    }
}

/// All files and directories that facts are read from, whichever sources are configured: stubs may lead to any of them.
pub(super) fn paths(sources: &[SourceName]) -> Vec<PathBuf> {
    let fixed = networkmanager::PATHS.into_iter().chain(networkd::PATHS).chain(resolvconf::PATHS).chain(dnsmasq::PATHS);
    let mut paths: Vec<PathBuf> = fixed.chain([ETC]).map(PathBuf::from).collect();
    paths.extend(resolved::paths().map(PathBuf::from));
    paths.extend(sources.iter().filter_map(|source| match source {
        SourceName::File(path) => Some(path.clone()),
        _ => None,
    }));
    paths
}
