//! `onward cluster-facts`: what the cluster's programs on this node are told, for a service that may not look by
//! itself.

use std::io::Write;

use super::{ClusterFactsArgs, Failure};
use crate::discovery::Root;
use crate::discovery::kubelet::{self, facts};
use crate::kubelet_resolv_conf;

/// Writes the facts to the file that is named, else to `out`.
pub(super) fn run(args: &ClusterFactsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let text = facts::render(&kubelet::read_by_itself(&Root::machine()))?;
    match &args.output {
        None => out.write_all(text.as_bytes())?,
        Some(path) => {
            kubelet_resolv_conf::write(path, &text).map_err(|error| Failure::System(error.to_string()))?;
        }
    }
    Ok(())
}
