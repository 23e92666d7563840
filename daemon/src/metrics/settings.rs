//! What can be set about metrics.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::admit::acl::Allow;

/// Where metrics are given, and to whom.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Where; none: nowhere.
    pub listen: Option<Place>,
    /// Who may have them over TCP; 1 to 256.
    pub allow: Vec<Allow>,
}

/// Where metrics are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Over TCP.
    Address(SocketAddr),
    /// At a socket in the file system, which its owner and group may open.
    Path(PathBuf),
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: None, allow: vec![Allow::Local] }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Path(text.into()));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self::Address(address)),
            Ok(_) | Err(_) => {
                Err("allowed is an address with a port, as 127.0.0.1:9253 or [::1]:9253, or a path".to_owned())
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_with_a_port_or_a_path() {
        for text in ["127.0.0.1:9253", "[::1]:9253", "/run/onward/metrics.sock"] {
            assert_eq!(text.parse::<Place>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "9253", "127.0.0.1", "127.0.0.1:0", "localhost:9253", "run/metrics.sock"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
