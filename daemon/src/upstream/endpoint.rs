//! Where an upstream is reached, and how what goes there is protected.
//!
//! TLS is only a model yet: such an endpoint has no transport, so nothing is sent to it. It is never asked in plain
//! text.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::server::NotAServer;
use super::{Server, Transport};

/// A server, and how it is to be spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it is.
    pub server: Server,
    /// What protects queries and responses.
    pub security: Security,
}

/// What protects queries and responses on the way to a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Security {
    /// Nothing (RFC 1035, section 4.2).
    Plain,
    /// TLS (RFC 7858).
    Tls {
        /// The name that the server's certificate must have.
        name: Box<str>,
        /// Whether a certificate that cannot be verified ends the connection (RFC 8310, section 5).
        strict: bool,
    },
}

impl Endpoint {
    /// Returns the server where it may be asked in plain text. All that opens a plain socket to an upstream asks this.
    #[must_use]
    pub fn plain(&self) -> Option<&Server> {
        (self.security == Security::Plain).then_some(&self.server)
    }

    /// Returns the transport that a query begins with; `None` where there is none that keeps the endpoint's security.
    #[must_use]
    pub fn first_transport(&self) -> Option<Transport> {
        match self.security {
            Security::Plain => Some(Transport::Udp),
            Security::Tls { .. } => None,
        }
    }
}

impl From<Server> for Endpoint {
    fn from(server: Server) -> Self {
        Self { server, security: Security::Plain }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Server::from(address).into()
    }
}

/// A plain endpoint, written as its server.
impl FromStr for Endpoint {
    type Err = NotAServer;

    fn from_str(text: &str) -> Result<Self, NotAServer> {
        text.parse::<Server>().map(Self::from)
    }
}

/// As systemd-resolved writes it: `10.0.0.2:53`, `10.0.0.2:853#dns.example`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.security {
            Security::Plain => self.server.fmt(f),
            Security::Tls { name, .. } => write!(f, "{}#{name}", self.server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_with_tls_is_never_asked_in_plain_text() {
        let server: Server = "192.0.2.8:853".parse().unwrap();
        for strict in [true, false] {
            let tls =
                Endpoint { server: server.clone(), security: Security::Tls { name: "dns.example".into(), strict } };
            assert_eq!((tls.plain(), tls.first_transport()), (None, None));
            assert_eq!(tls.to_string(), "192.0.2.8:853#dns.example");
        }
        let plain = Endpoint::from(server.clone());
        assert_eq!((plain.plain(), plain.first_transport()), (Some(&server), Some(Transport::Udp)));
        assert_eq!(plain.to_string(), server.to_string());
    }
}
