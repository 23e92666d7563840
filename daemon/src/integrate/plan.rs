//! What is to be done, as values: which files become what, what has to be restarted for it, what a person should know.
//! Nothing is changed here; doing it is for `apply`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lines;
use crate::discovery::Root;

/// Why nothing is changed: what stands in the way, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(super) String);

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    /// Nothing.
    Absent,
    /// A file with this text.
    Text(String),
    /// A symbolic link that leads there.
    Link(PathBuf),
}

/// One path, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The path.
    pub(crate) path: PathBuf,
    /// What is there.
    pub(crate) before: Content,
    /// What is to be there.
    pub(crate) after: Content,
}

/// A command that makes a change take effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restart(pub(super) Vec<String>);

/// All that is to be done for one program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The changes, in their order.
    pub(crate) changes: Vec<Change>,
    /// What makes them take effect.
    pub(crate) restarts: Vec<Restart>,
    /// The process that has to be another one for it; `None` where none runs.
    pub(crate) process: Option<u32>,
    /// In words: what a person should know.
    pub(crate) notes: Vec<String>,
}

impl Content {
    /// Reads what is at `path`.
    ///
    /// # Errors
    /// Where something is there that cannot be read, is neither a file nor a link, or is no text.
    pub(super) fn read(root: &Root, path: &Path) -> Result<Self, Refusal> {
        let place = root.path(path);
        if let Ok(target) = std::fs::read_link(&place) {
            return Ok(Self::Link(target));
        }
        Ok(text(root, path)?.map_or(Self::Absent, Self::Text))
    }
}

impl Change {
    /// What makes `text` of the file at `path`, its links followed; `None` where it says that already.
    ///
    /// # Errors
    /// Where what is there cannot be read.
    pub(super) fn of_file(root: &Root, path: impl AsRef<Path>, text: String) -> Result<Option<Self>, Refusal> {
        let path = path.as_ref();
        let path = root.links(path).pop().unwrap_or_else(|| path.to_owned());
        Self::to(root, &path, Content::Text(text))
    }

    /// What puts `after` at `path` itself; `None` where it is there already.
    ///
    /// # Errors
    /// Where what is there cannot be read.
    pub(super) fn to(root: &Root, path: &Path, after: Content) -> Result<Option<Self>, Refusal> {
        let before = Content::read(root, path)?;
        Ok((before != after).then(|| Self { path: path.to_owned(), before, after }))
    }

    /// The change that takes this one back.
    #[must_use]
    pub(super) fn reversed(&self) -> Self {
        Self { path: self.path.clone(), before: self.after.clone(), after: self.before.clone() }
    }

    /// What is done, in a word.
    #[must_use]
    pub(crate) fn verb(&self) -> &'static str {
        match (&self.before, &self.after) {
            (_, Content::Absent) => "remove",
            (_, Content::Link(_)) => "link",
            (Content::Absent, Content::Text(_)) => "create",
            (_, Content::Text(_)) => "change",
        }
    }

    /// The difference, in the unified form with the names of files.
    #[must_use]
    pub(crate) fn diff(&self) -> String {
        let name = |content: &Content| match content {
            Content::Absent => "/dev/null".to_owned(),
            _ => self.path.display().to_string(),
        };
        let text = |content: &Content| match content {
            Content::Absent => String::new(),
            Content::Text(text) => text.clone(),
            Content::Link(target) => format!("(a link to {})\n", target.display()),
        };
        let body = lines::unified(&text(&self.before), &text(&self.after));
        format!("--- {}\n+++ {}\n{body}", name(&self.before), name(&self.after))
    }
}

impl Restart {
    /// `systemctl try-restart UNIT`: what does not run reads its files when it starts.
    #[must_use]
    pub(super) fn unit(name: &str) -> Self {
        Self::command(&["systemctl", "try-restart", name.trim_end_matches(".service")])
    }

    /// A command by its words.
    #[must_use]
    pub(super) fn command(words: &[&str]) -> Self {
        Self(words.iter().map(|word| (*word).to_owned()).collect())
    }

    /// The program, and its arguments.
    #[must_use]
    pub(crate) fn words(&self) -> Option<(&String, &[String])> {
        self.0.split_first()
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.join(" "))
    }
}

/// The text of a file that may be changed; `None` where there is none.
///
/// # Errors
/// Where it cannot be read, or is no UTF-8, of which a part would be lost.
pub(super) fn text(root: &Root, path: impl AsRef<Path>) -> Result<Option<String>, Refusal> {
    let path = path.as_ref();
    let bytes = root.read(path).map_err(|error| Refusal(format!("{} cannot be read: {error}", path.display())))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| Refusal(format!("{} is not UTF-8, so it is left as it is", path.display())))
}
