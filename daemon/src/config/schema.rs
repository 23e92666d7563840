//! Which keys there are, what each may be, and why: the one place to add an option (with its field in `settings.rs`,
//! its default there, and its text in the template).

use ::config::Value;

use super::kinds::{AbsolutePath, AutoOr, Count, Network, NodeAddress, OffOr, Size, Span, Switch, Upstream, word};
use super::reader::{Reader, Section};
use super::{Control, Limits, Log, Settings, Upstreams};
use crate::admit::local_names;
use crate::discovery::RouteSettings;
use crate::exchange::stream::tls;
use crate::server::tcp::TcpLimits;
use crate::{cache, guard, kubelet_limits, kubelet_resolv_conf, metrics};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1 << 20;

/// Maximum number of routes, of all files together.
pub(super) const ROUTES: usize = 32;

/// Reads a whole tree; a key that is missing or at fault has its default.
pub(super) fn read(tree: Value, reader: &mut Reader) -> Settings {
    // Taken apart whole, so that an option that is not read here does not compile.
    let Settings {
        listen,
        families,
        node_ip,
        allow,
        workers,
        state_dir,
        routes: _,
        upstreams: of_upstreams,
        tls: of_tls,
        names: of_names,
        resolv_conf: of_resolv_conf,
        cache: of_cache,
        limits: of_limits,
        guard: of_guard,
        log: of_log,
        control: of_control,
        metrics: of_metrics,
    } = Settings::default();
    let mut top = Section::root(tree, reader);
    let settings = Settings {
        listen: top.list("listen", listen, &word(), 1..=16),
        families: top.one("families", families, &word()),
        node_ip: top.list("node_ip", node_ip, &NodeAddress, 0..=2),
        allow: top.list("allow", allow, &word(), 1..=256),
        workers: top.one("workers", workers, &AutoOr(Count(1..=64, ""))),
        state_dir: top.one("state_dir", state_dir, &AbsolutePath),
        routes: top.tables("routes", route),
        upstreams: top.section("upstreams", |section| upstreams(section, of_upstreams)),
        tls: top.section("tls", |section| tls(section, of_tls)),
        names: top.section("names", |section| names(section, of_names)),
        resolv_conf: top.section("resolv_conf", |section| resolv_conf(section, of_resolv_conf)),
        cache: top.section("cache", |section| cache(section, &of_cache)),
        limits: top.section("limits", |section| limits(section, &of_limits)),
        guard: top.section("guard", |section| guard(section, &of_guard)),
        log: top.section("log", |section| log(section, &of_log)),
        control: top.section("control", |section| control(section, of_control)),
        metrics: top.section("metrics", |section| metrics(section, of_metrics)),
    };
    top.finish();
    settings
}

fn route(section: &mut Section<'_>) -> RouteSettings {
    RouteSettings {
        domains: section.needed("domains", &word(), 1..=64),
        servers: section.needed("servers", &Upstream, 1..=16),
        equivalent: section.one("equivalent", None, &AutoOr(Switch)),
    }
}

fn upstreams(section: &mut Section<'_>, default: Upstreams) -> Upstreams {
    let Upstreams { servers, sources, equivalent, hold, reserved_ports } = default;
    Upstreams {
        servers: section.list("servers", servers, &Upstream, 0..=16),
        sources: section.list("sources", sources, &word(), 0..=16),
        equivalent: section.one("equivalent", equivalent, &AutoOr(Switch)),
        hold: section.one("hold", hold, &Span(0..=HOUR, "")),
        reserved_ports: section.list("reserved_ports", reserved_ports, &Count(1..=u16::MAX, ""), 0..=64),
    }
}

fn tls(section: &mut Section<'_>, default: tls::Settings) -> tls::Settings {
    let tls::Settings { mode, ca_file } = default;
    tls::Settings {
        mode: section.one("mode", mode, &word()),
        ca_file: section.one("ca_file", ca_file, &OffOr(AbsolutePath)),
    }
}

fn names(section: &mut Section<'_>, default: local_names::Settings) -> local_names::Settings {
    let local_names::Settings { cluster_domain, service_networks, hosts } = default;
    local_names::Settings {
        cluster_domain: section.one("cluster_domain", cluster_domain, &word()),
        service_networks: section.list("service_networks", service_networks, &Network, 0..=16),
        hosts: section.list("hosts", hosts, &AbsolutePath, 0..=16),
    }
}

fn resolv_conf(section: &mut Section<'_>, default: kubelet_resolv_conf::Settings) -> kubelet_resolv_conf::Settings {
    let kubelet_resolv_conf::Settings { path, search, options } = default;
    kubelet_resolv_conf::Settings {
        path: section.one("path", path, &AbsolutePath),
        search: section.policy("search", search, &word(), kubelet_limits::DOMAINS),
        options: section.policy("options", options, &word(), kubelet_limits::OPTIONS),
    }
}

fn cache(section: &mut Section<'_>, default: &cache::Settings) -> cache::Settings {
    let cache::Settings {
        max_bytes,
        max_entries,
        ttl_min,
        ttl_max,
        negative_ttl_max,
        failure_ttl,
        stale_max,
        prefetch,
    } = default;
    cache::Settings {
        max_bytes: section.one("max_bytes", *max_bytes, &Size(MIB..=16 << 30)),
        max_entries: section.one("max_entries", *max_entries, &Count(1_000..=10_000_000, "")),
        // An owner who sets a short TTL is about to move: no one should be kept on the old address for hours.
        ttl_min: section.one("ttl_min", *ttl_min, &Span(0..=HOUR, "")),
        ttl_max: section.one("ttl_max", *ttl_max, &Span(MINUTE..=7 * DAY, "RFC 8767, section 4")),
        negative_ttl_max: section.one("negative_ttl_max", *negative_ttl_max, &Span(0..=DAY, "RFC 2308, section 5")),
        failure_ttl: section.one("failure_ttl", *failure_ttl, &Span(1..=5 * MINUTE, "RFC 9520, section 3.2")),
        stale_max: section.one("stale_max", *stale_max, &Span(0..=7 * DAY, "RFC 8767, section 4")),
        prefetch: section.one("prefetch", *prefetch, &Switch),
    }
}

fn limits(section: &mut Section<'_>, default: &Limits) -> Limits {
    let Limits { misses, waiters, tcp, udp_payload } = default;
    Limits {
        misses: section.one("misses", *misses, &Count(16..=65_536, "")),
        waiters: section.one("waiters", *waiters, &Count(1..=65_536, "")),
        tcp: TcpLimits {
            connections: section.one("tcp_connections", tcp.connections, &Count(1..=16_384, "")),
            idle: section.one("tcp_idle", tcp.idle, &Span(1..=5 * MINUTE, "RFC 7766, section 6.2.3")),
            in_flight: section.one("tcp_pipelined", tcp.in_flight, &Count(1..=1_024, "")),
            ..*tcp
        },
        udp_payload: section.one(
            "udp_payload",
            *udp_payload,
            &Count(512..=4_096, "RFC 6891, sections 6.2.3 and 6.2.5"),
        ),
    }
}

fn guard(section: &mut Section<'_>, default: &guard::Settings) -> guard::Settings {
    let guard::Settings { tag, spelling } = default;
    guard::Settings { tag: section.one("tag", *tag, &word()), spelling: section.one("spelling", *spelling, &word()) }
}

fn log(section: &mut Section<'_>, default: &Log) -> Log {
    let Log { level } = default;
    Log { level: section.one("level", *level, &word()) }
}

fn control(section: &mut Section<'_>, default: Control) -> Control {
    let Control { socket } = default;
    Control { socket: section.one("socket", socket, &AbsolutePath) }
}

fn metrics(section: &mut Section<'_>, default: metrics::Settings) -> metrics::Settings {
    let metrics::Settings { listen, allow } = default;
    metrics::Settings {
        listen: section.one("listen", listen, &OffOr(word())),
        allow: section.list("allow", allow, &word(), 1..=256),
    }
}
