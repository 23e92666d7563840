//! The addresses that pods were given, on disk: they break ties at the next start, too.
//!
//! Marked with the machine's id: a machine that is made from this one's image has pods and addresses of its own.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::discovery::Root;
use crate::durable;

/// The file's name in the state directory.
const FILE: &str = "addresses.json";

#[derive(Serialize, Deserialize)]
struct Written {
    machine_id: String,
    /// The latest first.
    addresses: Vec<IpAddr>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotUsed {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It is not what was written.
    #[error("not a list of addresses: {0}")]
    Broken(#[from] serde_json::Error),
    /// It comes from another machine, as on a disk image.
    #[error("written on another machine (its machine-id differs)")]
    OtherMachine,
}

/// Reads the list in `directory`, the latest first; nothing where there is none.
///
/// # Errors
/// Where there is one that cannot be used; the service does without.
pub(crate) fn load(directory: &Path, root: &Root) -> Result<Option<Vec<IpAddr>>, NotUsed> {
    let Some(content) = Root::at(directory).read(FILE)? else { return Ok(None) };
    let written: Written = serde_json::from_slice(&content)?;
    if written.machine_id != root.machine_id() {
        return Err(NotUsed::OtherMachine);
    }
    Ok(Some(written.addresses))
}

/// Writes the list to `directory`, which is made if it must be; whole or not at all.
///
/// # Errors
/// Where the directory cannot be written.
pub(crate) fn save(addresses: &[IpAddr], directory: &Path, root: &Root) -> io::Result<()> {
    let written = Written { machine_id: root.machine_id(), addresses: addresses.to_vec() };
    durable::save(directory, FILE, &serde_json::to_vec_pretty(&written)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_were_given_is_known_at_the_next_start_of_this_machine_alone() {
        let directory = tempfile::tempdir().unwrap();
        let machine = |id: &str| {
            let root = directory.path().join(id);
            std::fs::create_dir_all(root.join("etc")).unwrap();
            std::fs::write(root.join("etc/machine-id"), format!("{id}\n")).unwrap();
            Root::at(&root)
        };
        let state = directory.path().join("state");
        let addresses: Vec<IpAddr> = ["10.0.0.5", "fd00::5"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(load(&state, &machine("one")).unwrap(), None);
        save(&addresses, &state, &machine("one")).unwrap();
        save(&addresses, &state, &machine("one")).unwrap();
        assert_eq!(load(&state, &machine("one")).unwrap(), Some(addresses));
        assert!(matches!(load(&state, &machine("two")), Err(NotUsed::OtherMachine)));
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1, "no temporary file is left behind");
        for broken in ["", "{}", "[\"10.0.0.5\"]", "{\"machine_id\": \"one\", \"addresses\": [\"x\"]}"] {
            std::fs::write(state.join(FILE), broken).unwrap();
            assert!(matches!(load(&state, &machine("one")), Err(NotUsed::Broken(_))), "{broken}");
        }
    }
}
