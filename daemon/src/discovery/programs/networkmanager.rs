//! NetworkManager: `no-stub-resolv.conf`, which always has the real servers, and `resolv.conf`, which it gives or would
//! give the host, and which may name a stub.
//!
//! Which link a server belongs to, and which domains it is for, NetworkManager tells over D-Bus only.

use super::host::HostFile;
use crate::discovery::listed::{Listed, listed};
use crate::discovery::reader::{Fact, Reader};
use crate::discovery::resolv_conf::ResolvConf;
use std::net::IpAddr;

/// The directory of its files.
pub(in crate::discovery) const DIRECTORY: &str = "/run/NetworkManager";
/// The real servers, whatever stub is in front of them.
pub(in crate::discovery) const NO_STUB: &str = "/run/NetworkManager/no-stub-resolv.conf";
/// What NetworkManager gives, or would give, the host.
pub(in crate::discovery) const RESOLV_CONF: &str = "/run/NetworkManager/resolv.conf";
/// A file for each device, by index.
const DEVICES: &str = "/run/NetworkManager/devices";

/// Where changes show. Devices are not among them: each pod that starts makes one, and a connection that comes or goes
/// shows in these files, too.
pub(super) const PATHS: [&str; 2] = [NO_STUB, RESOLV_CONF];

/// What NetworkManager tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NetworkManager {
    /// What it gives the host.
    pub given: Fact<ResolvConf>,
    /// The real servers.
    pub real: Fact<ResolvConf>,
    /// How many devices have a connection; counted only where a stub is given to the host.
    pub connections: usize,
}

impl NetworkManager {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let given = reader.resolv_conf(RESOLV_CONF);
        let real = reader.resolv_conf(NO_STUB);
        let is_connected = |text: &str| text.lines().any(|line| line.starts_with("connection-uuid="));
        let gives_stub = given.known().is_some_and(|conf| listed(conf, RESOLV_CONF).iter().any(Listed::may_be_stub));
        let names = if gives_stub { reader.names(DEVICES) } else { Vec::new() };
        let mut connections = 0;
        for name in names {
            let text = reader.text(&format!("{DEVICES}/{name}"));
            connections += usize::from(text.known().is_some_and(|text| is_connected(text)));
        }
        Self { given, real, connections }
    }

    /// The servers that it gives the host.
    #[must_use]
    pub(crate) fn given_servers(&self) -> Vec<Listed> {
        self.given.known().map(|conf| listed(conf, RESOLV_CONF)).unwrap_or_default()
    }

    /// The real servers.
    #[must_use]
    pub(crate) fn real_servers(&self) -> Vec<Listed> {
        self.real.known().map(|conf| listed(conf, NO_STUB)).unwrap_or_default()
    }

    /// Whether it points the host to this address, by its own file or by one that it wrote to /etc.
    #[must_use]
    pub(crate) fn points_to(&self, ip: IpAddr, host: &HostFile) -> bool {
        let is_in = |list: &[Listed]| list.iter().any(|listed| listed.server.ip().to_canonical() == ip);
        is_in(&self.given_servers()) || (host.by_network_manager && is_in(&host.servers()))
    }
}
