//! What to do about an upstream that loops, as concretely as its address and its source allow. Pure text; the journal,
//! `onward status` and `onward doctor` say it.

use crate::upstream::Upstream;

/// What to change, at the server or at what names it.
#[must_use]
pub(crate) fn remedy(upstream: &Upstream) -> String {
    format!("{} The address is from {}: {}", at_the_server(upstream), upstream.source, at_the_source(upstream))
}

/// What runs at well-known addresses, and where it is told whom to ask.
fn at_the_server(upstream: &Upstream) -> &'static str {
    let server = &upstream.endpoint.server;
    match (server.ip().to_string().as_str(), server.port()) {
        ("127.0.0.53" | "127.0.0.54", 53) => {
            "That is systemd-resolved, which has our address among its servers: `resolvectl dns` shows where; take it \
             out of DNS= in /etc/systemd/resolved.conf and its drop-ins, of the link's .network file, or of what DHCP gives."
        }
        ("127.0.0.11", 53) => {
            "That is Docker's resolver, which copied its servers from the host's resolv.conf when the container started: \
             give dockerd a \"dns\" list in /etc/docker/daemon.json that does not hold our address."
        }
        ("169.254.25.10", _) => {
            "That is the node cache of kubespray, which forwards to the node's own resolvers, that is to us: set \
             upstream_dns_servers, and keep 169.254.25.10 out of the node's own list (resolvconf_mode: none)."
        }
        ("169.254.20.10", _) => {
            "That is NodeLocal DNSCache, which forwards to the node's own resolvers, that is to us: it serves pods; keep \
             it out of the node's own list."
        }
        (ip, _) if ip.starts_with("127.") || ip == "::1" => {
            "That is a resolver on this node (`ss -lunp` names it; often dnsmasq, alone or started by NetworkManager) that \
             has our address among its servers: take it out of its server= lines or of the resolv.conf that it reads."
        }
        _ => {
            "Whatever answers at that address has this node among its servers: take this node out there (for the cluster's \
             own DNS, the forward line of CoreDNS's Corefile), or that address out here."
        }
    }
}

/// Who writes the file that named the address.
fn at_the_source(upstream: &Upstream) -> &'static str {
    let source = &*upstream.source;
    if source == "configuration" || source.contains("/onward/") {
        "change the servers in /etc/onward/onward.toml or its drop-ins."
    } else if source.contains("NetworkManager") {
        "change the connection with `nmcli connection modify NAME ipv4.dns …`, or what DHCP gives."
    } else if source.contains("dnsmasq") {
        "change the server= lines there."
    } else if source.contains("/systemd/resolve") || source.contains("resolved") {
        "change DNS= in /etc/systemd/resolved.conf and its drop-ins, the link's .network file, or what DHCP gives."
    } else if source.contains("/systemd/") {
        "change DNS= in the link's .network file, or what DHCP gives."
    } else if source.contains("/resolvconf") {
        "change dns-nameservers in /etc/network/interfaces, or what DHCP gives."
    } else {
        "take the line out there, or change what writes that file (its first lines mostly say)."
    }
}
