//! Reads files of the node and keeps what a person should know of them: what is odd, and what could not be read.

use super::resolv_conf::{self, ResolvConf};
use super::root::Root;

/// What is known of something that a file tells. What cannot be read is not the same as what is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Fact<T> {
    /// There is no such file.
    #[default]
    Absent,
    /// There is, and it cannot be read.
    Unknown,
    /// What it says.
    Known(T),
}

impl<T> Fact<T> {
    /// Returns what the file says, if that is known.
    pub(crate) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown => None,
        }
    }
}

/// Reads one tree.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    root: &'a Root,
    /// In words: what was unwrapped, what is odd.
    pub notes: Vec<String>,
    /// In words: what could not be read.
    pub unknown: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader that has nothing to tell yet.
    #[must_use]
    pub(crate) fn new(root: &'a Root) -> Self {
        Self { root, notes: Vec::new(), unknown: Vec::new() }
    }

    /// The tree that is read.
    #[must_use]
    pub(crate) fn root(&self) -> &'a Root {
        self.root
    }

    /// The content of a file.
    pub(super) fn bytes(&mut self, path: &str) -> Fact<Vec<u8>> {
        match self.root.read(path) {
            Ok(Some(content)) => Fact::Known(content),
            Ok(None) => Fact::Absent,
            Err(error) => {
                self.tell_unknown(format!("{path} cannot be read ({error}): what it says is unknown"));
                Fact::Unknown
            }
        }
    }

    /// The text of a file; what is no UTF-8 is replaced, since one odd byte must not hide the rest.
    pub(super) fn text(&mut self, path: &str) -> Fact<String> {
        match self.bytes(path) {
            Fact::Known(content) => Fact::Known(String::from_utf8_lossy(&content).into_owned()),
            Fact::Absent => Fact::Absent,
            Fact::Unknown => Fact::Unknown,
        }
    }

    /// A file in the form of resolv.conf.
    pub(super) fn resolv_conf(&mut self, path: &str) -> Fact<ResolvConf> {
        match self.bytes(path) {
            Fact::Known(content) => Fact::Known(self.parse(path, &content)),
            Fact::Absent => Fact::Absent,
            Fact::Unknown => Fact::Unknown,
        }
    }

    /// Reads the content of `path` as a resolv.conf, and notes its odd lines.
    pub(super) fn parse(&mut self, path: &str, content: &[u8]) -> ResolvConf {
        let conf = resolv_conf::parse(content);
        for remark in &conf.remarks {
            self.note(format!("{path}:{}: {}", remark.line, remark.text));
        }
        conf
    }

    /// The names in a directory; none where it is not there, nor, with a word about it, where it cannot be listed.
    pub(super) fn names(&mut self, path: &str) -> Vec<String> {
        self.root.list(path).unwrap_or_else(|error| {
            self.tell_unknown(format!("{path} cannot be listed ({error}): what it holds is unknown"));
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
    pub(super) fn tell_unknown(&mut self, what: String) {
        if !self.unknown.contains(&what) {
            self.unknown.push(what);
        }
    }
}
