//! The places where upstream servers are found, as the configuration names them.

use std::path::PathBuf;

/// A place where upstream servers are found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SourceName {
    /// `resolved`: systemd-resolved.
    Resolved,
    /// `networkmanager`: NetworkManager.
    NetworkManager,
    /// `networkd`: systemd-networkd.
    Networkd,
    /// `resolvconf`: resolvconf and openresolv.
    Resolvconf,
    /// A file in the form of resolv.conf, by its path.
    File(PathBuf),
}
