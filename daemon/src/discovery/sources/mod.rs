//! The places where servers are found: one small file for each, behind one trait.
//!
//! A source reads and reports; whether a server is fit is for `vet`, and which source wins for `preference`.

pub(crate) mod dropins;
pub mod file;
mod glob;
pub mod networkd;
pub mod networkmanager;
pub mod resolvconf;
pub mod resolved;

use std::path::PathBuf;
use std::sync::Arc;

use super::resolv_conf::{self, ResolvConf};
use super::root::Root;
use crate::upstream::Server;

/// A place where upstream servers are found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SourceName {
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

/// One server that a source lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The server.
    pub server: Server,
    /// The file that names it.
    pub source: Arc<str>,
    /// The line in that file, from 1, where it has lines that mean something.
    pub line: Option<usize>,
    /// What a person should know of it.
    pub note: Option<String>,
}

/// What a source says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Lists of servers. A later one counts only where no server of the earlier ones may be used.
    pub lists: Vec<Vec<Listed>>,
    /// The search list that comes with them.
    pub search: Vec<String>,
    /// Options of `options` lines.
    pub options: Vec<String>,
    /// In words: what was unwrapped, what is odd.
    pub notes: Vec<String>,
    /// In words: what could not be read.
    pub unknown: Vec<String>,
}

/// A place where servers are found.
pub trait Source {
    /// Reads what it says now. Never fails: what cannot be read is told as unknown.
    fn read(&self, root: &Root) -> Reading;

    /// The files and directories that tell of changes.
    fn paths(&self) -> Vec<PathBuf>;
}

impl SourceName {
    /// The reader of this source.
    #[must_use]
    pub fn source(&self) -> Box<dyn Source> {
        match self {
            Self::Resolved => Box::new(resolved::Resolved),
            Self::NetworkManager => Box::new(networkmanager::NetworkManager),
            Self::Networkd => Box::new(networkd::Networkd),
            Self::Resolvconf => Box::new(resolvconf::Resolvconf),
            Self::File(path) => Box::new(file::File::new(path.clone())),
        }
    }
}

impl Reading {
    /// The text of a file; nothing, and a note, where it cannot be read.
    pub(super) fn text(&mut self, root: &Root, path: &str) -> Option<String> {
        root.read_text(path).unwrap_or_else(|error| {
            self.unknown(format!("{path} cannot be read ({error}): what it says is unknown"));
            None
        })
    }

    /// A file in the form of resolv.conf; nothing where it is not there, and a note where it cannot be read.
    pub(super) fn resolv_conf(&mut self, root: &Root, path: &str) -> Option<ResolvConf> {
        let content = root.read(path).unwrap_or_else(|error| {
            self.unknown(format!("{path} cannot be read ({error}): what it says is unknown"));
            None
        })?;
        let conf = resolv_conf::parse(&content);
        for remark in &conf.remarks {
            self.note(format!("{path}:{}: {}", remark.line, remark.text));
        }
        Some(conf)
    }

    /// The names in a directory; none, and a note, where it cannot be listed.
    pub(super) fn names(&mut self, root: &Root, path: &str) -> Vec<String> {
        root.list(path).unwrap_or_else(|error| {
            self.unknown(format!("{path} cannot be listed ({error}): what it holds is unknown"));
            Vec::new()
        })
    }

    /// Adds a note, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Tells of something that could not be read, once.
    pub(super) fn unknown(&mut self, what: String) {
        if !self.unknown.contains(&what) {
            self.unknown.push(what);
        }
    }

    /// Takes over what another reading has to tell.
    pub(super) fn take_words(&mut self, other: &mut Self) {
        std::mem::take(&mut other.notes).into_iter().for_each(|note| self.note(note));
        std::mem::take(&mut other.unknown).into_iter().for_each(|what| self.unknown(what));
    }

    /// Whether any list names a server.
    pub(super) fn lists_any(&self) -> bool {
        self.lists.iter().any(|list| !list.is_empty())
    }
}

/// The servers of a parsed file.
pub(super) fn listed(conf: &ResolvConf, path: &str) -> Vec<Listed> {
    let source: Arc<str> = path.into();
    let list = conf.nameservers.iter().map(|nameserver| Listed {
        server: nameserver.server.clone(),
        source: Arc::clone(&source),
        line: Some(nameserver.line),
        note: nameserver
            .carriage_return
            .then(|| "the line ends with a carriage return, for which the C library drops it".to_owned()),
    });
    list.collect()
}
