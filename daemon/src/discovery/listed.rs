//! One server as a file lists it, before anything is decided about it.

use std::sync::Arc;

use super::resolv_conf::ResolvConf;
use super::vet::Refusal;
use crate::upstream::server::DNS_PORT;
use crate::upstream::{Endpoint, Security, Server};

/// One server that a file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The server.
    pub server: Server,
    /// The name that its certificate must have, where one is given.
    pub tls_name: Option<Box<str>>,
    /// How it is spoken to.
    pub security: Security,
    /// The file that names it.
    pub source: Arc<str>,
    /// The line in that file, from 1, where it has lines that mean something.
    pub line: Option<usize>,
    /// What a person should know of it.
    pub note: Option<String>,
    /// Why it cannot be used, where that is known from what it is and not from its address.
    pub refusal: Option<Refusal>,
}

impl Listed {
    /// A server of `source`, of which nothing more is known.
    #[must_use]
    pub(crate) fn new(server: Server, source: &Arc<str>, line: Option<usize>) -> Self {
        let (tls_name, security) = (None, Security::Plain);
        Self { server, tls_name, security, source: Arc::clone(source), line, note: None, refusal: None }
    }

    /// A server that the configuration names.
    #[must_use]
    pub(crate) fn configured(endpoint: &Endpoint, source: &Arc<str>) -> Self {
        let Endpoint { server, security } = endpoint.clone();
        let tls_name = match &security {
            Security::Tls { name, .. } => name.clone(),
            Security::Plain => None,
        };
        Self { tls_name, security, ..Self::new(server, source, None) }
    }

    /// The server, and how it is spoken to.
    #[must_use]
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { server: self.server.clone(), security: self.security.clone() }
    }

    /// Whether the server is on loopback and at DNS's port, where a stub would be.
    #[must_use]
    pub(crate) fn may_be_stub(&self) -> bool {
        self.server.ip().to_canonical().is_loopback() && self.server.port() == DNS_PORT
    }
}

/// The servers of a parsed file.
pub(super) fn listed(conf: &ResolvConf, path: &str) -> Vec<Listed> {
    let source: Arc<str> = path.into();
    let list = conf.nameservers.iter().map(|nameserver| Listed {
        note: nameserver
            .carriage_return
            .then(|| "the line ends with a carriage return, for which the C library drops it".to_owned()),
        ..Listed::new(nameserver.server.clone(), &source, Some(nameserver.line))
    });
    list.collect()
}
