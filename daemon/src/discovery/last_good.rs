//! The last good list, on disk: so that a start without any source (DHCP is late, a program is broken) has servers.
//!
//! Marked with the machine's id, since an image made from this machine must not carry its network's servers elsewhere. A
//! broken file is as good as none. Pure but for two small functions that read and write.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::preference::Offer;
use super::root::Root;
use crate::upstream::Server;

/// The file's name in the state directory.
pub const FILE: &str = "upstreams.json";

/// A list and when it was good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood {
    /// The list, with its source.
    pub offer: Offer,
    /// When it was last seen to be good.
    pub at: SystemTime,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum NotUsed {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It is not what was written.
    #[error("not a list of upstreams: {0}")]
    Broken(#[from] serde_json::Error),
    /// A server in it is none.
    #[error("\"{0}\" is no server")]
    NoServer(String),
    /// It comes from another machine, as on a disk image.
    #[error("written on another machine (its machine-id differs)")]
    OtherMachine,
}

#[derive(Serialize, Deserialize)]
struct Written {
    machine_id: String,
    /// Seconds since 1970.
    at: u64,
    source: String,
    servers: Vec<WrittenServer>,
    search: Vec<String>,
    options: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct WrittenServer {
    server: String,
    source: String,
}

impl LastGood {
    /// How old the list is; nothing, if the clock was set back.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.at).unwrap_or_default()
    }

    /// The file's content.
    #[must_use]
    pub fn render(&self, machine_id: &str) -> Vec<u8> {
        let server = |(server, source): &(Server, Arc<str>)| WrittenServer {
            server: server.to_string(),
            source: source.to_string(),
        };
        let written = Written {
            machine_id: machine_id.to_owned(),
            at: self.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            source: self.offer.name.to_string(),
            servers: self.offer.servers.iter().map(server).collect(),
            search: self.offer.search.clone(),
            options: self.offer.options.clone(),
        };
        // Strings and numbers alone cannot fail to be written.
        serde_json::to_vec_pretty(&written).unwrap_or_default()
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// Where it is broken or of another machine.
    pub fn parse(content: &[u8], machine_id: &str) -> Result<Self, NotUsed> {
        let written: Written = serde_json::from_slice(content)?;
        if written.machine_id != machine_id {
            return Err(NotUsed::OtherMachine);
        }
        let servers = written.servers.into_iter().map(|one| match one.server.parse() {
            Ok(server) => Ok((server, Arc::from(one.source))),
            Err(_) => Err(NotUsed::NoServer(one.server)),
        });
        let servers = servers.collect::<Result<_, _>>()?;
        let offer = Offer { name: written.source.into(), servers, search: written.search, options: written.options };
        // A time that no clock can show counts as the oldest.
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(written.at)).unwrap_or(UNIX_EPOCH);
        Ok(Self { offer, at })
    }

    /// Reads the list in `directory`; nothing where there is none.
    ///
    /// # Errors
    /// Where there is one that cannot be used; say so and go on without.
    pub fn load(directory: &Path, root: &Root) -> Result<Option<Self>, NotUsed> {
        match Root::at(directory).read(FILE)? {
            Some(content) => Self::parse(&content, &machine_id(root)).map(Some),
            None => Ok(None),
        }
    }

    /// Writes the list to `directory`, which is made if it must be; whole or not at all.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub fn save(&self, directory: &Path, root: &Root) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&self.render(&machine_id(root)))?;
        // Synced, since a list that a power cut leaves empty would be of no use at the very start it is meant for.
        file.as_file().sync_data()?;
        file.persist(directory.join(FILE))?;
        Ok(())
    }
}

/// The machine's id (machine-id(5)); empty where it has none, which then is its mark.
fn machine_id(root: &Root) -> String {
    root.read_text("/etc/machine-id").ok().flatten().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> LastGood {
        let servers = ["10.0.0.2:5353", "[fe80::1%eth0]:53"];
        let servers = servers.iter().map(|server| (server.parse().unwrap(), Arc::from("/run/x"))).collect();
        let offer = Offer {
            name: "resolved".into(),
            servers,
            search: vec!["corp.example".into()],
            options: vec!["edns0".into()],
        };
        LastGood { offer, at: UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        assert_eq!(LastGood::load(directory.path(), &root).unwrap(), None);
        list().save(directory.path(), &root).unwrap();
        list().save(directory.path(), &root).unwrap();
        assert_eq!(LastGood::load(directory.path(), &root).unwrap(), Some(list()));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_list_of_another_machine_is_not_used() {
        assert!(matches!(LastGood::parse(&list().render("one"), "two"), Err(NotUsed::OtherMachine)));
    }

    #[test]
    fn a_broken_file_is_not_used() {
        let whole = list().render("one");
        for end in [0, 1, whole.len() / 2, whole.len() - 1] {
            assert!(matches!(LastGood::parse(&whole[..end], "one"), Err(NotUsed::Broken(_))));
        }
        let text = String::from_utf8(whole).unwrap().replace("10.0.0.2", "dns.example");
        assert!(matches!(LastGood::parse(text.as_bytes(), "one"), Err(NotUsed::NoServer(_))));
    }

    #[test]
    fn the_age_is_never_negative() {
        assert_eq!(list().age(UNIX_EPOCH), Duration::ZERO);
        assert_eq!(list().age(list().at + Duration::from_secs(5)), Duration::from_secs(5));
    }
}
