//! What is known of the cluster's programs to whoever may see it, in a file for the service: their files are often for
//! root alone, and the service's sandbox hides their processes. `onward cluster-facts` writes it,
//! `onward-cluster.service` calls it.
//!
//! One JSON object with the names that kubelet's configuration has. A file that is cut, of another version or not to be
//! understood is unknown as a whole, never none.

use std::io;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Kubelet;
use crate::discovery::root::Root;

/// Where it is; its directory is made by systemd.
pub(crate) const PATH: &str = "/run/onward/cluster.json";
/// The version of its form: a reader that knows another one takes nothing from it.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    format: u32,
    #[serde(rename = "clusterDNS")]
    cluster_dns: Vec<IpAddr>,
    cluster_domain: Option<String>,
    #[serde(rename = "nodeIP")]
    node_ips: Vec<IpAddr>,
    resolv_conf: Option<String>,
    starts_pods: Vec<String>,
    unknown: Vec<String>,
}

/// Returns the file's text.
///
/// # Errors
/// Never in practice: all of it is text and addresses.
pub(crate) fn render(kubelet: &Kubelet) -> io::Result<String> {
    let Kubelet { cluster_dns, cluster_domain, node_ips, resolv_conf, starts_pods, unknown, .. } = kubelet.clone();
    let facts = Facts { format: FORMAT, cluster_dns, cluster_domain, node_ips, resolv_conf, starts_pods, unknown };
    Ok(serde_json::to_string_pretty(&facts)? + "\n")
}

/// Reads the file; `None` where there is none.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn read(root: &Root) -> Result<Option<Kubelet>, String> {
    match root.read(PATH) {
        Ok(Some(text)) => parse(&text).map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn parse(text: &[u8]) -> Result<Kubelet, String> {
    // Of another version only this much is sure to be there.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let version: Version = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if version.format != FORMAT {
        return Err(format!("its format is {}, not {FORMAT}", version.format));
    }
    let facts: Facts = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let Facts { cluster_dns, cluster_domain, node_ips, resolv_conf, starts_pods, unknown, .. } = facts;
    Ok(Kubelet { cluster_dns, cluster_domain, node_ips, resolv_conf, starts_pods, unknown, ..Kubelet::default() })
}
