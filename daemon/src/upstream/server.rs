//! Where an upstream server is: address, scope and port, as people write it and as sockets need it.
//!
//! This file knows nothing of sources, health or verdicts; it is the name by which all of those speak of a server.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

/// The port of DNS (RFC 1035, section 4.2).
pub(crate) const DNS_PORT: u16 = 53;

/// A server's address: `10.0.0.2:53`, `[fd00::2]:53`, `[fe80::1%eth0]:53`.
///
/// The scope of a link-local address is kept as the interface's name, since interfaces come and go; it becomes a number
/// when a socket is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    ip: IpAddr,
    scope: Option<Box<str>>,
    port: u16,
}

/// Why a text is not a server's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an address with an optional port: \"10.0.0.2\", \"10.0.0.2:5353\", \"fd00::2\", \"[fd00::2]:53\", \"fe80::1%eth0\""
)]
pub struct NotAServer;

impl Server {
    /// A server without a scope.
    #[must_use]
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self { ip, scope: None, port }
    }

    /// A server on a link: `scope` is the name (or the number) of the interface. Dropped where `ip` is no IPv6 address.
    #[must_use]
    pub fn scoped(ip: IpAddr, scope: &str, port: u16) -> Self {
        let scope = (ip.is_ipv6() && !scope.is_empty()).then(|| scope.into());
        Self { ip, scope, port }
    }

    /// Reads a server that has this port where it names none.
    ///
    /// # Errors
    /// Where the text is no address.
    pub(super) fn parse(text: &str, port: u16) -> Result<Self, NotAServer> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or(NotAServer)?;
            let port = match after.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if after.is_empty() => port,
                None => return Err(NotAServer),
            };
            return parse_v6(host, port);
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::new(ip, port));
        }
        match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => {
                let ip = host.parse().map_err(|_| NotAServer)?;
                Ok(Self::new(IpAddr::V4(ip), parse_port(port)?))
            }
            _ => parse_v6(text, port),
        }
    }

    /// The same at another port.
    pub(super) fn at_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The address without scope and port.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The interface that the address is on, where it was named.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address to connect a socket to, now.
    ///
    /// # Errors
    /// Where the scope names an interface that does not exist (`if_nametoindex(3)`).
    pub fn socket_address(&self) -> std::io::Result<SocketAddr> {
        match (self.ip, self.scope.as_deref()) {
            (IpAddr::V6(ip), Some(scope)) => {
                let index = match scope.parse() {
                    Ok(index) => index,
                    Err(_) => nix::net::if_::if_nametoindex(scope)?,
                };
                Ok(SocketAddrV6::new(ip, self.port, 0, index).into())
            }
            (ip, _) => Ok(SocketAddr::new(ip, self.port)),
        }
    }
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                Self::scoped(address.ip(), &v6.scope_id().to_string(), address.port())
            }
            _ => Self::new(address.ip(), address.port()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, &self.scope) {
            (IpAddr::V4(ip), _) => write!(f, "{ip}:{}", self.port),
            (IpAddr::V6(ip), None) => write!(f, "[{ip}]:{}", self.port),
            (IpAddr::V6(ip), Some(scope)) => write!(f, "[{ip}%{scope}]:{}", self.port),
        }
    }
}

impl FromStr for Server {
    type Err = NotAServer;

    fn from_str(text: &str) -> Result<Self, NotAServer> {
        Self::parse(text, DNS_PORT)
    }
}

fn parse_port(text: &str) -> Result<u16, NotAServer> {
    text.parse().ok().filter(|port| *port != 0).ok_or(NotAServer)
}

fn parse_v6(text: &str, port: u16) -> Result<Server, NotAServer> {
    let (host, scope) = match text.split_once('%') {
        Some((_, "")) => return Err(NotAServer),
        Some((host, scope)) => (host, scope),
        None => (text, ""),
    };
    let ip: Ipv6Addr = host.parse().map_err(|_| NotAServer)?;
    Ok(Server::scoped(ip.into(), scope, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_people_write_them() {
        for (text, shown) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("10.0.0.2:5353", "10.0.0.2:5353"),
            ("fd00::2", "[fd00::2]:53"),
            ("[fd00::2]", "[fd00::2]:53"),
            ("[fd00::2]:5353", "[fd00::2]:5353"),
            ("fe80::1%eth0", "[fe80::1%eth0]:53"),
            ("[fe80::1%eth0]:54", "[fe80::1%eth0]:54"),
        ] {
            assert_eq!(text.parse::<Server>().map(|s| s.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "",
            "dns.example",
            "10.0.0.2:",
            "10.0.0.2:0",
            "10.0.0.2:66000",
            "[fd00::2",
            "fe80::1%",
            "10.0.0.300",
            "[10.0.0.2]:53x",
        ] {
            assert_eq!(text.parse::<Server>(), Err(NotAServer), "{text}");
        }
    }
}
