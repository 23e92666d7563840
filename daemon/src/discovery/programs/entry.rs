//! One server as systemd writes it, in resolved.conf and in networkd's state: `ip[:port][%interface][#name]`, with an
//! IPv6 address in brackets where a port follows.

use crate::upstream::Server;

/// Reads one word to a server and the name that its certificate must have; nothing where it is no server.
#[must_use]
pub(super) fn parse(word: &str) -> Option<(Server, Option<Box<str>>)> {
    let (address, name) = word.split_once('#').unwrap_or((word, ""));
    let server = match address.rsplit_once('%') {
        Some((host, scope)) if !scope.contains(']') => {
            let server: Server = host.parse().ok()?;
            (!scope.is_empty()).then(|| Server::scoped(server.ip(), scope, server.port()))?
        }
        _ => address.parse().ok()?,
    };
    Some((server, (!name.is_empty()).then(|| name.into())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn servers_are_read_as_systemd_writes_them() {
        for (word, shown) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("10.0.0.2:5353", "10.0.0.2:5353"),
            ("10.0.0.2#dns.example", "10.0.0.2:53"),
            ("10.0.0.2:853%eth0#dns.example", "10.0.0.2:853"),
            ("fd00::2", "[fd00::2]:53"),
            ("[fd00::2]:5353", "[fd00::2]:5353"),
            ("fe80::1%eth0", "[fe80::1%eth0]:53"),
            ("[fe80::1]:5353%eth0#dns.example", "[fe80::1%eth0]:5353"),
            ("[fe80::1%eth0]:5353", "[fe80::1%eth0]:5353"),
        ] {
            let (server, name) = super::parse(word).unwrap();
            assert_eq!(server.to_string(), shown, "{word}");
            assert_eq!(name.as_deref(), word.contains('#').then_some("dns.example"), "{word}");
        }
    }

    #[test]
    fn what_is_no_server_is_none() {
        for word in ["", "#dns.example", "dns.example", "10.0.0.2%", "10.0.0.2:0", "1 6", "[fd00::2"] {
            assert_eq!(super::parse(word), None, "{word}");
        }
    }
}
