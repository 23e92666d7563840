//! The reader of kubelet's configuration, which is YAML and so JSON, too: where it says none though there is one, the
//! cluster's own DNS may be taken for an upstream.

use std::net::IpAddr;

use onward::internals::discovery::kubelet::Kubelet;
use serde_json::Value;

/// Keys beside `clusterDNS` that say something of the cluster's DNS; JSON with one of these is not compared.
const OTHERS: [&str; 5] = ["cluster-dns", "cluster-dns+", "kubelet-arg", "kubelet-arg+", "<<"];

/// Reads `content` as a file.
pub fn check(content: &[u8]) {
    let Ok(text) = std::str::from_utf8(content) else { return };
    let mut kubelet = Kubelet::default();
    kubelet.take_text("file", text);
    let Ok(Value::Object(json)) = serde_json::from_str(text) else { return };
    if kubelet.unknown.is_empty() && !OTHERS.iter().any(|key| json.contains_key(*key)) {
        assert_eq!(kubelet.cluster_dns, addresses(json.get("clusterDNS")));
    }
}

/// What stands under the key, where all of it is understood.
fn addresses(value: Option<&Value>) -> Vec<IpAddr> {
    let address = |value: &Value| value.as_str().map(|text| text.trim().parse().expect("an address, or it is unknown"));
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(address).collect(),
        Some(value) => address(value).into_iter().collect(),
        None => vec![],
    }
}
