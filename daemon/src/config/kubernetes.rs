//! Variables that kubelet puts into each pod for each Service of its namespace. Those for a Service named `onward`, or
//! `onward-…`, begin as ours do. Pure.
//!
//! For a Service with a port: `ONWARD_SERVICE_HOST`, `ONWARD_SERVICE_PORT`, `ONWARD_SERVICE_PORT_NAME`, and in the form
//! of Docker's links `ONWARD_PORT`, `ONWARD_PORT_53_UDP` and that with `_PROTO`, `_PORT` or `_ADDR` behind it
//! (kubernetes.io/docs, "Service", "Environment variables").

use std::net::IpAddr;

/// Returns whether kubelet made the variable. The value is looked at, too, since `ONWARD_PORT=53` is a person's
/// mistake.
pub(super) fn is_from_service(name: &str, value: &str) -> bool {
    let is_port = |value: &str| value.parse::<u16>().is_ok();
    if name.ends_with("_SERVICE_HOST") {
        return value.parse::<IpAddr>().is_ok();
    }
    if name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return is_port(value);
    }
    let Some((_, link)) = name.rsplit_once("_PORT_").filter(|(_, link)| link.starts_with(|c: char| c.is_ascii_digit()))
    else {
        // ONWARD_PORT, or with _PORT twice: ONWARD_PORT_53_UDP_PORT.
        return match name.strip_suffix("_PORT").and_then(|name| name.rsplit_once("_PORT_")) {
            Some((_, link)) if is_link(link) => is_port(value),
            _ => name.ends_with("_PORT") && is_url(value),
        };
    };
    match link.rsplit_once('_') {
        Some((link, "PORT")) => is_link(link) && is_port(value),
        Some((link, "ADDR")) => is_link(link) && value.parse::<IpAddr>().is_ok(),
        Some((link, "PROTO")) => is_link(link) && is_protocol(value),
        _ => is_link(link) && is_url(value),
    }
}

/// As in `53_UDP`.
fn is_link(text: &str) -> bool {
    text.split_once('_').is_some_and(|(port, protocol)| {
        port.parse::<u16>().is_ok() && is_protocol(protocol) && protocol.bytes().all(|byte| byte.is_ascii_uppercase())
    })
}

fn is_protocol(text: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|protocol| text.eq_ignore_ascii_case(protocol))
}

/// As in `udp://10.96.0.53:53`.
fn is_url(value: &str) -> bool {
    value.split_once("://").is_some_and(|(protocol, _)| is_protocol(protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubelet_makes_for_services_is_told_from_what_a_person_wrote() {
        for (name, value) in [
            ("ONWARD_SERVICE_HOST", "10.96.0.53"),
            ("ONWARD_SERVICE_HOST", "fd00::53"),
            ("ONWARD_SERVICE_PORT", "53"),
            ("ONWARD_SERVICE_PORT_DNS", "53"),
            ("ONWARD_SERVICE_PORT_DNS_TCP", "53"),
            ("ONWARD_PORT", "udp://10.96.0.53:53"),
            ("ONWARD_PORT_53_UDP", "udp://10.96.0.53:53"),
            ("ONWARD_PORT_53_UDP_PROTO", "udp"),
            ("ONWARD_PORT_53_UDP_PORT", "53"),
            ("ONWARD_PORT_53_TCP_ADDR", "10.96.0.53"),
            ("ONWARD_METRICS_PORT", "tcp://[fd00::9]:9153"),
            ("ONWARD_METRICS_PORT_9153_TCP_PORT", "9153"),
            ("ONWARD_METRICS_SERVICE_PORT", "9153"),
        ] {
            assert!(is_from_service(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("ONWARD_PORT", "53"),
            ("ONWARD_SERVICE_HOST", "here"),
            ("ONWARD_SERVICE_PORT", "dns"),
            ("ONWARD_LISTEN", "udp://10.96.0.53:53"),
            ("ONWARD_PORT_53", "udp://10.96.0.53:53"),
            ("ONWARD_PORT_53_XYZ", "udp://10.96.0.53:53"),
            ("ONWARD_UPSTREAMS__RESERVED_PORTS", "53"),
        ] {
            assert!(!is_from_service(name, value), "{name}={value}");
        }
    }
}
