//! Where an upstream is reached, and how what goes there is protected; as people write it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use rustls::pki_types::DnsName;

use super::server::{DNS_PORT, NotAServer};
use super::{Server, Transport};

/// The port of DNS over TLS (RFC 7858, section 3.1).
pub(crate) const TLS_PORT: u16 = 853;

/// What a server that is spoken to by TLS begins with.
const TLS_SCHEME: &str = "tls://";

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
        /// The name that the server's certificate must have; without one it must have the server's address.
        name: Option<Box<str>>,
        /// Whether a certificate that cannot be verified ends the connection (RFC 8310, section 5).
        strict: bool,
    },
}

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEndpoint {
    /// It is no address.
    #[error(
        "{0}; with TLS \"tls://192.0.2.8\", \"tls://192.0.2.8#dns.example\", \"tls://[2001:db8::8]:853#dns.example\""
    )]
    Address(#[from] NotAServer),
    /// What stands behind `#` is no name.
    #[error("behind # the name in the server's certificate, as in \"tls://192.0.2.8#dns.example\"; \"{0}\" is none")]
    Name(Box<str>),
}

impl Endpoint {
    /// Returns the server where it may be asked in plain text. All that opens a plain socket to an upstream asks this.
    #[must_use]
    pub fn plain(&self) -> Option<&Server> {
        (self.security == Security::Plain).then_some(&self.server)
    }

    /// Returns the transport that a query begins with.
    #[must_use]
    pub fn first_transport(&self) -> Transport {
        match self.security {
            Security::Plain => Transport::Udp,
            Security::Tls { .. } => Transport::Tls,
        }
    }

    /// Returns all transports over which it may be asked: never one that lacks the endpoint's security.
    #[must_use]
    pub fn transports(&self) -> &'static [Transport] {
        match self.security {
            Security::Plain => &[Transport::Udp, Transport::Tcp],
            Security::Tls { .. } => &[Transport::Tls],
        }
    }

    /// Returns the same server with TLS that verifies nothing, and the one in plain text that is asked where that does
    /// not come about (RFC 8310, section 5): opportunistic use. `None` where it has no TLS.
    #[must_use]
    pub(crate) fn opportunistic(&self) -> Option<(Self, Self)> {
        let Security::Tls { name, .. } = &self.security else { return None };
        let tls = Self { server: self.server.clone(), security: Security::Tls { name: name.clone(), strict: false } };
        Some((tls, self.server.clone().at_port(DNS_PORT).into()))
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

/// A plain endpoint, written as its server, or one with TLS: `tls://192.0.2.8:853#dns.example`.
impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let Some(rest) = text.strip_prefix(TLS_SCHEME) else { return Ok(Server::from_str(text)?.into()) };
        let (server, name) = match rest.split_once('#') {
            Some((server, name)) => (server, Some(name)),
            None => (rest, None),
        };
        let server = Server::parse(server, TLS_PORT)?;
        if let Some(name) = name.filter(|name| DnsName::try_from(*name).is_err()) {
            return Err(NotAnEndpoint::Name(name.into()));
        }
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase().into());
        Ok(Self { server, security: Security::Tls { name, strict: true } })
    }
}

/// As it is written in the configuration: `10.0.0.2:53`, `tls://10.0.0.2:853#dns.example`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.security {
            Security::Plain => self.server.fmt(f),
            Security::Tls { name: Some(name), .. } => write!(f, "{TLS_SCHEME}{}#{name}", self.server),
            Security::Tls { name: None, .. } => write!(f, "{TLS_SCHEME}{}", self.server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_with_tls_is_never_asked_in_plain_text() {
        let tls: Endpoint = "tls://192.0.2.8:853#dns.example".parse().unwrap();
        let (lenient, plain) = tls.opportunistic().unwrap();
        for tls in [tls, lenient] {
            assert_eq!(
                (tls.plain(), tls.first_transport(), tls.transports()),
                (None, Transport::Tls, &[Transport::Tls][..])
            );
            assert_eq!(tls.to_string(), "tls://192.0.2.8:853#dns.example");
        }
        assert_eq!((plain.plain(), plain.first_transport()), (Some(&plain.server), Transport::Udp));
        assert_eq!(plain.to_string(), "192.0.2.8:53");
        assert_eq!(plain.opportunistic(), None);
    }

    #[test]
    fn endpoints_are_read_as_people_write_them() {
        for (text, shown) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("tls://1.1.1.1", "tls://1.1.1.1:853"),
            ("tls://1.1.1.1:8853#One.One.One.One.", "tls://1.1.1.1:8853#one.one.one.one"),
            ("tls://[2001:db8::8]:853#dns.example", "tls://[2001:db8::8]:853#dns.example"),
            ("tls://2001:db8::8#dns.example", "tls://[2001:db8::8]:853#dns.example"),
            ("tls://[fe80::1%eth0]", "tls://[fe80::1%eth0]:853"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), shown, "{text}");
            assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in ["tls://", "tls://dns.example", "tls://1.1.1.1:0", "tls://1.1.1.1:853/", "TLS://1.1.1.1"] {
            assert_eq!(text.parse::<Endpoint>(), Err(NotAnEndpoint::Address(NotAServer)), "{text}");
        }
        for text in ["tls://1.1.1.1#", "tls://1.1.1.1#a b", "tls://1.1.1.1#1.1.1.1"] {
            assert!(matches!(text.parse::<Endpoint>(), Err(NotAnEndpoint::Name(_))), "{text}");
        }
    }
}
