//! The checked configuration, as the rest of the program sees it. Ranges stand in `schema.rs`, with their reasons.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Allow, Domain, Families, Level, Listen, Mark, Policy, ResolverOption, SourceName};
use crate::upstream::Server;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where to listen; 1 to 16.
    pub listen: Vec<Listen>,
    /// Address families of `node` and `interface:`.
    pub families: Families,
    /// The node's own address, at most one of each family; empty: find it.
    pub node_ip: Vec<IpAddr>,
    /// Who may ask; 1 to 256.
    pub allow: Vec<Allow>,
    /// Threads that answer over UDP, 1 to 64; none: as many as fit the machine.
    pub workers: Option<u8>,
    /// Where the last good list and the cache are kept.
    pub state_dir: PathBuf,
    /// Which servers are asked, and where they are found.
    pub upstreams: Upstreams,
    /// The file that kubelet reads.
    pub resolv_conf: ResolvConf,
    /// What is remembered, and for how long.
    pub cache: Cache,
    /// What may be in progress at once.
    pub limits: Limits,
    /// The marks of the loop guard.
    pub guard: Guard,
    /// The log.
    pub log: Log,
}

/// Which servers are asked, and where they are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstreams {
    /// ProbeInFlight in this order; at most 16; empty: discover.
    pub servers: Vec<Server>,
    /// Where to look, the first with a usable server gives the list; at most 16.
    pub sources: Vec<SourceName>,
    /// Whether the servers of a list know the same names; none: Onward judges by source and address.
    pub equivalent: Option<bool>,
    /// How long a source that fell empty keeps its list; 0 to 1 hour.
    pub hold: Duration,
    /// Local ports that no socket to an upstream may take; at most 64.
    pub reserved_ports: Vec<u16>,
}

/// The file that kubelet reads.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvConf {
    /// Where it is written; absolute.
    pub path: PathBuf,
    /// Its `search` line; at most 29 domains and 1,792 characters.
    pub search: Policy<Domain>,
    /// Its `options` line; at most 32.
    pub options: Policy<ResolverOption>,
}

/// What is remembered, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Cache {
    /// Bytes of all entries together; 1 MiB to 16 GiB.
    pub max_bytes: u64,
    /// UpstreamId of entries; 1,000 to 10,000,000.
    pub max_entries: u32,
    /// An answer lives at least as long; 0 to 1 hour. An answer with TTL 0 is not reused all the same.
    pub ttl_min: Duration,
    /// An answer lives at most as long; 1 minute to 7 days.
    pub ttl_max: Duration,
    /// A negative answer lives at most as long; 0 to 1 day (RFC 2308, section 5).
    pub negative_ttl_max: Duration,
    /// How long a failure is remembered; 1 second to 5 minutes (RFC 9520, section 3.2).
    pub failure_ttl: Duration,
    /// For how long after its end an answer may still be served; 0 (never) to 7 days (RFC 8767, section 4).
    pub stale_max: Duration,
    /// Whether popular entries are asked anew before they end.
    pub prefetch: bool,
}

/// What may be in progress at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Questions being asked of upstreams; 16 to 65,536.
    pub misses: u32,
    /// Askers that wait for the answer to one question; 1 to 65,536.
    pub waiters: u32,
    /// TCP connections from clients; 1 to 16,384.
    pub tcp_connections: u32,
    /// A connection is closed after so long without a question; 1 second to 5 minutes.
    pub tcp_idle: Duration,
    /// Questions in progress on one connection; 1 to 1,024.
    pub tcp_pipelined: u32,
    /// The largest UDP message that clients are sent, and that clients and upstreams are told we take; 512 to 4,096.
    pub udp_payload: u16,
}

/// The marks of the loop guard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// The EDNS option that names the Onwards a question has passed.
    pub tag: Mark,
    /// The pattern of upper and lower case in names.
    pub spelling: Mark,
}

/// The log.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// How much is logged.
    pub level: Level,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Listen::Node],
            families: Families::Auto,
            node_ip: Vec::new(),
            allow: vec![Allow::Local, Allow::Private],
            workers: None,
            state_dir: "/var/lib/onward".into(),
            upstreams: Upstreams::default(),
            resolv_conf: ResolvConf::default(),
            cache: Cache::default(),
            limits: Limits::default(),
            guard: Guard::default(),
            log: Log::default(),
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
            // VXLAN (RFC 7348) and Geneve (RFC 8926), the kernel's older VXLAN port, WireGuard and its second port, Cilium.
            reserved_ports: vec![4789, 6081, 8472, 51820, 51821, 51871],
        }
    }
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self { path: "/run/onward/resolv.conf".into(), search: Policy::Keep, options: Policy::Keep }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_bytes: 32 << 20,
            max_entries: 200_000,
            ttl_min: Duration::ZERO,
            ttl_max: Duration::from_secs(86_400),
            negative_ttl_max: Duration::from_secs(3 * 3600),
            failure_ttl: Duration::from_secs(5),
            stale_max: Duration::from_secs(86_400),
            prefetch: true,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            misses: 4096,
            waiters: 2048,
            tcp_connections: 256,
            tcp_idle: Duration::from_secs(10),
            tcp_pipelined: 64,
            udp_payload: 1232,
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self { tag: Mark::Auto, spelling: Mark::Auto }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info }
    }
}
