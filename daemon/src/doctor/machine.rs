//! What else stops DNS on a node: file systems without room, on which neither the file for kubelet nor what should
//! survive a restart can be written.

use nix::sys::statvfs::statvfs;

use super::{Diagnosis, Finding, Node, Severity};

/// Directories that Onward and kubelet write to.
const PLACES: [&str; 3] = ["/run", "/var/lib", "/var/log"];
/// Minimum room, in bytes, and in files.
const ROOM: u64 = 1 << 20;
const FILES: u64 = 16;

pub(super) fn examine(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    for place in PLACES {
        let Ok(room) = statvfs(&node.root.path(place)) else { continue };
        let (bytes, files) = (room.blocks_available() * room.fragment_size(), room.files_available());
        // Some file systems have no number of files.
        if bytes < ROOM || room.files() > 0 && files < FILES {
            diagnosis.add(Finding {
                severity: Severity::Fault,
                what: format!("{place} is full"),
                evidence: vec![format!("{bytes} bytes and {files} files are left")],
                effect: "what changes cannot be written: files for pods, state, logs".to_owned(),
                cure: vec![format!("du -xh {place} | sort -h | tail")],
            });
        }
    }
}
