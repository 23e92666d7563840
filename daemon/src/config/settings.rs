//! The checked configuration, as the rest of the program sees it. Ranges stand in `schema.rs`, with their reasons.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::admit::acl::Allow;
use crate::admit::local_names;
use crate::control::client;
use crate::discovery::{RouteSettings, SourceName};
use crate::exchange::stream::tls;
use crate::logging::Level;
use crate::node_address::choose::{Families, Place};
use crate::server::tcp::TcpLimits;
use crate::upstream::Endpoint;
use crate::{cache, guard, kubelet_resolv_conf, metrics};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Where to listen; 1 to 16.
    pub listen: Vec<Place>,
    /// Address families of `node` and `interface:`.
    pub families: Families,
    /// The node's own address, at most one of each family; empty: find it.
    pub node_ip: Vec<IpAddr>,
    /// Who may ask; 1 to 256.
    pub allow: Vec<Allow>,
    /// Threads that answer over UDP, 1 to 64; none: one for each processor, at most 4.
    pub workers: Option<u8>,
    /// Where the last good list and the cache are kept.
    pub state_dir: PathBuf,
    /// Domains that have servers of their own; at most 32.
    pub routes: Vec<RouteSettings>,
    /// Which servers are asked for all other names, and where they are found.
    pub upstreams: Upstreams,
    /// Encrypted upstreams.
    pub tls: tls::Settings,
    /// Names that are answered here.
    pub names: local_names::Settings,
    /// The file that kubelet reads.
    pub resolv_conf: kubelet_resolv_conf::Settings,
    /// What is remembered, and for how long.
    pub cache: cache::Settings,
    /// What may be in progress at once.
    pub limits: Limits,
    /// The marks of the loop guard.
    pub guard: guard::Settings,
    /// The log.
    pub log: Log,
    /// How the daemon is asked how things are.
    pub control: Control,
    /// Metrics.
    pub metrics: metrics::Settings,
}

/// How the daemon is asked how things are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Control {
    /// The socket.
    pub socket: PathBuf,
}

/// Which servers are asked, and where they are found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Upstreams {
    /// Asked in this order; at most 16; empty: discover.
    pub servers: Vec<Endpoint>,
    /// Where to look, the first with a usable server gives the list; at most 16.
    pub sources: Vec<SourceName>,
    /// Whether the servers of a list know the same names; none: Onward judges by source and address.
    pub equivalent: Option<bool>,
    /// How long a source that fell empty keeps its list; 0 to 1 hour.
    pub hold: Duration,
    /// Local ports that no socket to an upstream may take; at most 64.
    pub reserved_ports: Vec<u16>,
}

/// What may be in progress at once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limits {
    /// Questions being asked of upstreams; 16 to 65,536.
    pub misses: usize,
    /// Askers that wait for the answer to one question; 1 to 65,536.
    pub waiters: usize,
    /// TCP connections from clients (1 to 16,384), queries in progress on one (1 to 1,024), and how long one may be
    /// idle (1 second to 5 minutes).
    pub tcp: TcpLimits,
    /// The largest UDP message that clients are sent, and that clients and upstreams are told we take; 512 to 4,096.
    pub udp_payload: u16,
}

/// The log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Log {
    /// How much is logged.
    pub level: Level,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Place::Node],
            families: Families::Auto,
            node_ip: Vec::new(),
            allow: vec![Allow::Local, Allow::Private],
            workers: None,
            state_dir: "/var/lib/onward".into(),
            routes: Vec::new(),
            upstreams: Upstreams::default(),
            tls: tls::Settings::default(),
            names: local_names::Settings::default(),
            resolv_conf: kubelet_resolv_conf::Settings::default(),
            cache: cache::Settings::default(),
            limits: Limits::default(),
            guard: guard::Settings::default(),
            log: Log::default(),
            control: Control::default(),
            metrics: metrics::Settings::default(),
        }
    }
}

impl Default for Upstreams {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            sources: vec![
                SourceName::Resolved,
                SourceName::NetworkManager,
                SourceName::Networkd,
                SourceName::Resolvconf,
                SourceName::File("/etc/resolv.conf".into()),
            ],
            equivalent: None,
            hold: Duration::from_secs(30),
            // VXLAN (RFC 7348) and Geneve (RFC 8926), the kernel's older VXLAN port, WireGuard and its second port,
            // Cilium.
            reserved_ports: vec![4789, 6081, 8472, 51820, 51821, 51871],
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { misses: 4096, waiters: 2048, tcp: TcpLimits::default(), udp_payload: 1232 }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: client::SOCKET.into() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info }
    }
}
