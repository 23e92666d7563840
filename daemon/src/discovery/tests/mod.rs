//! Whole hosts, laid out in a temporary directory, and what is found on them.

mod emptied;
mod encrypted;
mod governed;
mod layouts;
mod ours;
mod unread;

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::preference::Standing;
use super::{Found, Inputs, Memory, Root, SourceName, look, look_again};
use crate::upstream::Endpoint;

const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
const ETC: &str = "/etc/resolv.conf";
const NM: &str = "/run/NetworkManager/resolv.conf";
const NM_REAL: &str = "/run/NetworkManager/no-stub-resolv.conf";
/// The file that we write.
const OURS: &str = "/run/onward/resolv.conf";
const STUB_FILE: &str = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.example\n";
/// Sockets as /proc/self/net/udp shows them: none, one on port 53 of 127.0.0.53, and one of 127.0.0.54 beside it.
const UDP: &str = "/proc/self/net/udp";
const UDP_NONE: &str = "  sl  local_address rem_address\n";
const UDP_53: &str = "  sl  local_address rem_address\n 1: 3500007F:0035 00000000:0000 07\n";
const UDP_BOTH: &str =
    "  sl  local_address rem_address\n 1: 3500007F:0035 00000000:0000 07\n 2: 3600007F:0035 00000000:0000 07\n";

fn all_sources() -> Vec<SourceName> {
    vec![
        SourceName::Resolved,
        SourceName::NetworkManager,
        SourceName::Networkd,
        SourceName::Resolvconf,
        SourceName::File(PathBuf::from(ETC)),
    ]
}

/// A host that is looked at again and again while its files change.
struct Node {
    directory: tempfile::TempDir,
    sources: Vec<SourceName>,
    memory: Memory,
    own: Vec<SocketAddr>,
    now: Instant,
}

impl Node {
    fn with(files: &[(&str, &str)]) -> Self {
        let node = Self {
            directory: tempfile::tempdir().unwrap(),
            sources: all_sources(),
            memory: Memory::default(),
            own: vec!["10.0.0.5:53".parse().unwrap()],
            now: crate::clock::now(),
        };
        files.iter().for_each(|(path, text)| node.write(path, text));
        node
    }

    fn root(&self) -> Root {
        Root::at(self.directory.path())
    }

    /// Writes a file, or makes a link of it where the text begins with an arrow.
    fn write(&self, path: &str, text: &str) {
        let path = self.root().path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&path);
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => std::fs::write(path, text).unwrap(),
        }
    }

    fn remove(&self, path: &str) {
        let path = self.root().path(path);
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }

    /// Looks again, this long after the last time.
    fn look(&mut self, seconds: u64) -> Found {
        self.now += Duration::from_secs(seconds);
        let (root, own) = (self.root(), self.own.clone());
        let inputs = Inputs {
            root: &root,
            configured: &[],
            routes: &[],
            sources: &self.sources,
            own: &own,
            written: Path::new(OURS),
        };
        look_again(&inputs, &mut self.memory, self.now)
    }

    fn asked(&mut self, seconds: u64) -> Vec<String> {
        servers(&self.look(seconds))
    }
}

fn host(files: &[(&str, &str)], sources: &[SourceName]) -> Found {
    let mut node = Node::with(files);
    node.sources = sources.to_vec();
    node.look(0)
}

fn servers(found: &Found) -> Vec<String> {
    found.servers.iter().map(|(server, _)| server.to_string()).collect()
}

fn used(files: &[(&str, &str)]) -> Vec<String> {
    servers(&host(files, &all_sources()))
}

/// With the host's own file as the only source, so that unwrapping is what finds the servers.
fn used_by_file(files: &[(&str, &str)]) -> Vec<String> {
    servers(&host(files, &[SourceName::File(PathBuf::from(ETC))]))
}

fn says(found: &Found, words: &str) -> bool {
    found.notes.iter().any(|note| note.contains(words))
}
