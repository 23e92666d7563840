//! Names that are answered here and never forwarded: special ones, those of hosts files, and, where that is wished,
//! those of the cluster.
//!
//! In this order: a hosts file is the word of the node's administrator. A route that was made for a name comes before
//! what is special about it, and before the cluster. Reading files is for `service`.

pub(crate) mod cluster;
pub(crate) mod hosts;
mod special;

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::respond::LocalResponse;
use crate::upstream::UpstreamSet;
use cluster::ClusterNames;
use hosts::{Host, Hosts};
use special::SpecialName;

/// What is answered here beside special names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// What becomes of the cluster's names that arrive here.
    pub cluster_domain: ClusterDomain,
    /// The cluster's networks of Services, whose reverse names count as the cluster's; at most 16.
    pub service_networks: Vec<IpNet>,
    /// Files like `/etc/hosts`, and directories of such; at most 16.
    pub hosts: Vec<PathBuf>,
}

/// What becomes of the cluster's names that arrive here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClusterDomain {
    /// They are forwarded like others.
    Keep,
    /// They do not exist.
    Answer,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_domain: ClusterDomain::Keep,
            service_networks: Vec::new(),
            hosts: vec!["/etc/hosts".into(), "/etc/onward/hosts.d".into()],
        }
    }
}

/// What is known here of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalNames {
    /// The names of hosts files.
    pub(crate) hosts: Arc<Hosts>,
    /// The names of the cluster.
    pub(crate) cluster: ClusterNames,
    /// Whether those do not exist here.
    pub(crate) answers_cluster: bool,
}

/// What is local about a name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LocalName<'n> {
    /// A hosts file has it.
    Host(&'n Host),
    /// It is special by itself.
    Special(SpecialName),
    /// It is the cluster's, and answered here.
    Cluster,
    /// It is the cluster's, and forwarded.
    Forwarded,
}

impl LocalNames {
    /// Finds what is local about a name, in its lower-cased wire form.
    pub(crate) fn find(&self, name: &[u8], set: &UpstreamSet) -> Option<LocalName<'_>> {
        if let Some(host) = self.hosts.get(name) {
            return Some(LocalName::Host(host));
        }
        if let Some(special) = SpecialName::of(name, set) {
            return Some(LocalName::Special(special));
        }
        self.cluster.has(name, set).then_some(if self.answers_cluster {
            LocalName::Cluster
        } else {
            LocalName::Forwarded
        })
    }
}

impl LocalName<'_> {
    /// The response to a question of `qtype`; nothing where it is forwarded.
    pub(crate) fn response(self, qtype: u16) -> Option<LocalResponse> {
        match self {
            Self::Host(host) => host.response(qtype),
            Self::Special(special) => Some(special.response(qtype)),
            Self::Cluster => Some(LocalResponse::NxDomain(cluster::TTL)),
            Self::Forwarded => None,
        }
    }

    /// Why a question of `qtype` is answered here, for people; nothing where it is forwarded.
    pub(crate) fn reason(self, qtype: u16) -> Option<&'static str> {
        match self {
            Self::Host(host) => host.response(qtype).map(|_| "a hosts file of the node has it (`names.hosts`)"),
            Self::Special(special) => Some(special.reason()),
            Self::Cluster => {
                Some("it is a name of the cluster's, which no server beyond it has (`names.cluster_domain`)")
            }
            Self::Forwarded => None,
        }
    }
}
