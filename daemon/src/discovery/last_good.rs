//! The last good list, on disk: so that a start without any source (DHCP is late, a program is broken) has servers.
//!
//! Beside it stand the addresses that must not become upstreams and may not be known at that start: where Onward
//! listened, and the cluster's DNS. All is marked with the machine's id, since an image made from this machine must not
//! carry its network's servers elsewhere. A file that is torn or of another making is put aside, where a person can
//! look at it. Pure but for two small functions that read and write.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::preference::{Offer, Standing};
use super::root::Root;
use crate::durable;
use crate::upstream::Endpoint;

/// The file's name in the state directory.
pub(crate) const FILE: &str = "upstreams.json";
/// The name of a file that could not be used.
pub(crate) const PUT_ASIDE: &str = "upstreams.json.broken";
/// The suffix of the route that all names take.
const ROOT: &str = ".";

/// A list and when it was good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastGood {
    /// The list, with its source.
    pub offer: Offer,
    /// When it was last seen to be good.
    pub at: SystemTime,
    /// Where Onward listened.
    pub own: Vec<SocketAddr>,
    /// kubelet's `clusterDNS`, as far as it was known.
    pub cluster_dns: Vec<IpAddr>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotUsed {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It is not what was written.
    #[error("not a list of upstreams ({0}); put aside as {PUT_ASIDE}")]
    Broken(#[from] serde_json::Error),
    /// A server in it is none.
    #[error("\"{0}\" is no server; put aside as {PUT_ASIDE}")]
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
    /// Which servers are asked for which names. Not in files of the first form, whose `servers` are for all names.
    #[serde(default)]
    routes: Vec<WrittenRoute>,
    #[serde(default, skip_serializing)]
    servers: Vec<WrittenServer>,
    search: Vec<String>,
    options: Vec<String>,
    #[serde(default)]
    encrypts: bool,
    #[serde(default)]
    worse: bool,
    #[serde(default)]
    own: Vec<SocketAddr>,
    #[serde(default)]
    cluster_dns: Vec<IpAddr>,
}

#[derive(Serialize, Deserialize)]
struct WrittenRoute {
    suffix: String,
    servers: Vec<WrittenServer>,
}

#[derive(Serialize, Deserialize)]
struct WrittenServer {
    server: String,
    source: String,
}

impl LastGood {
    /// Whether this may take the place of what is on disk: not if it is of lesser standing, which is for a while.
    #[must_use]
    pub(crate) fn may_replace(&self, before: Option<&Self>) -> bool {
        !self.offer.servers.is_empty()
            && before
                .is_none_or(|before| self.offer.standing >= before.offer.standing || before.offer.servers.is_empty())
    }

    /// Whether the other tells the same, whenever it was seen.
    #[must_use]
    pub(crate) fn tells_the_same(&self, other: &Self) -> bool {
        (&self.offer, &self.own, &self.cluster_dns) == (&other.offer, &other.own, &other.cluster_dns)
    }

    /// The file's content.
    #[must_use]
    pub(crate) fn render(&self, machine_id: &str) -> Vec<u8> {
        let server = |(server, source): &(Endpoint, Arc<str>)| WrittenServer {
            server: server.to_string(),
            source: source.to_string(),
        };
        let servers = self.offer.servers.iter().map(server).collect();
        let written = Written {
            machine_id: machine_id.to_owned(),
            at: self.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            source: self.offer.name.to_string(),
            routes: vec![WrittenRoute { suffix: ROOT.to_owned(), servers }],
            servers: Vec::new(),
            search: self.offer.search.clone(),
            options: self.offer.options.clone(),
            encrypts: self.offer.encrypts,
            worse: self.offer.standing == Standing::Worse,
            own: self.own.clone(),
            cluster_dns: self.cluster_dns.clone(),
        };
        // Strings and numbers alone cannot fail to be written.
        serde_json::to_vec_pretty(&written).unwrap_or_default()
    }

    /// Reads a file's content. Routes for other names than all are passed over.
    ///
    /// # Errors
    /// Where it is broken or of another machine.
    pub(crate) fn parse(content: &[u8], machine_id: &str) -> Result<Self, NotUsed> {
        let written: Written = serde_json::from_slice(content)?;
        if written.machine_id != machine_id {
            return Err(NotUsed::OtherMachine);
        }
        let root = written.routes.into_iter().find(|route| route.suffix == ROOT);
        let servers = root.map_or(written.servers, |route| route.servers);
        let servers = servers.into_iter().map(|one| match one.server.parse() {
            Ok(server) => Ok((server, Arc::from(one.source))),
            Err(_) => Err(NotUsed::NoServer(one.server)),
        });
        let offer = Offer {
            name: written.source.into(),
            servers: servers.collect::<Result<_, _>>()?,
            search: written.search,
            options: written.options,
            encrypts: written.encrypts,
            standing: if written.worse { Standing::Worse } else { Standing::Full },
        };
        // A time that no clock can show counts as the oldest.
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(written.at)).unwrap_or(UNIX_EPOCH);
        Ok(Self { offer, at, own: written.own, cluster_dns: written.cluster_dns })
    }

    /// Reads the list in `directory`; nothing where there is none. A broken file is put aside.
    ///
    /// # Errors
    /// Where there is one that cannot be used; say so and go on without.
    pub(crate) fn load(directory: &Path, root: &Root) -> Result<Option<Self>, NotUsed> {
        let Some(content) = Root::at(directory).read(FILE)? else { return Ok(None) };
        let parsed = Self::parse(&content, &root.machine_id());
        if matches!(parsed, Err(NotUsed::Broken(_) | NotUsed::NoServer(_))) {
            std::fs::rename(directory.join(FILE), directory.join(PUT_ASIDE))?;
        }
        parsed.map(Some)
    }

    /// Writes the list to `directory`, which is made if it must be; whole or not at all.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub(crate) fn save(&self, directory: &Path, root: &Root) -> io::Result<()> {
        durable::save(directory, FILE, &self.render(&root.machine_id()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> LastGood {
        let servers = ["10.0.0.2:5353", "[fe80::1%eth0]:53", "tls://192.0.2.8:853#dns.example"];
        let servers = servers.iter().map(|server| (server.parse().unwrap(), Arc::from("/run/x"))).collect();
        let offer = Offer {
            name: "resolved".into(),
            servers,
            search: vec!["corp.example".into()],
            options: vec!["edns0".into()],
            encrypts: true,
            standing: Standing::Full,
        };
        let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let own = vec!["10.0.0.5:53".parse().unwrap(), "[fd00::5]:53".parse().unwrap()];
        LastGood { offer, at, own, cluster_dns: vec!["10.96.0.10".parse().unwrap()] }
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
    fn a_file_of_the_first_form_is_still_read() {
        let written = r#"{
  "machine_id": "one",
  "at": 1800000000,
  "source": "resolved",
  "servers": [
    { "server": "10.0.0.2:5353", "source": "/run/x" },
    { "server": "[fe80::1%eth0]:53", "source": "/run/x" }
  ],
  "search": [ "corp.example" ],
  "options": [ "edns0" ]
}"#;
        let read = LastGood::parse(written.as_bytes(), "one").unwrap();
        let mut offer = Offer { encrypts: false, ..list().offer };
        offer.servers.pop(); // that form had no TLS
        assert_eq!(read, LastGood { offer, own: Vec::new(), cluster_dns: Vec::new(), ..list() });
    }

    #[test]
    fn routes_for_some_names_only_are_passed_over() {
        let other = r#"{ "suffix": "corp.example.", "servers": [{ "server": "10.9.9.9:53", "source": "/run/y" }] },"#;
        let text = String::from_utf8(list().render("one")).unwrap();
        let text = text.replacen("\"routes\": [", &format!("\"routes\": [{other}"), 1);
        assert_eq!(LastGood::parse(text.as_bytes(), "one").unwrap(), list());
    }

    #[test]
    fn a_torn_file_is_put_aside_and_the_next_start_has_no_word_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let whole = list().render("");
        std::fs::write(directory.path().join(FILE), &whole[..whole.len() / 2]).unwrap();
        let why = LastGood::load(directory.path(), &root).unwrap_err().to_string();
        assert!(why.contains(PUT_ASIDE), "{why}");
        assert_eq!(std::fs::read(directory.path().join(PUT_ASIDE)).unwrap(), &whole[..whole.len() / 2]);
        assert_eq!(LastGood::load(directory.path(), &root).unwrap(), None);
    }

    #[test]
    fn a_worse_list_never_takes_the_place_of_a_good_one() {
        let worse = LastGood { offer: Offer { standing: Standing::Worse, ..list().offer }, ..list() };
        let empty = LastGood { offer: Offer { servers: Vec::new(), ..list().offer }, ..list() };
        assert!(list().may_replace(None) && worse.may_replace(None) && !empty.may_replace(None));
        assert!(
            list().may_replace(Some(&worse)) && list().may_replace(Some(&list())) && worse.may_replace(Some(&worse))
        );
        assert!(!worse.may_replace(Some(&list())) && !empty.may_replace(Some(&worse)));
    }
}
