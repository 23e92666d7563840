//! Where a value came from. The crate `config` carries one string with each value; this is its meaning.

use std::fmt;

use ::config::Value;

const VARIABLE: &str = "environment ";

/// Where a value came from, in rising order of weight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built into the program.
    Default,
    /// A line of a file; line 0 is the file as a whole.
    File {
        /// The path as it was opened.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line, with its dashes.
    Flag(String),
}

impl Origin {
    /// What a value carries; one that carries nothing is a default.
    pub(super) fn of(value: &Value) -> Self {
        let Some(text) = value.origin() else { return Self::Default };
        if let Some(name) = text.strip_prefix(VARIABLE) {
            return Self::Variable(name.to_owned());
        }
        if text.starts_with("--") {
            return Self::Flag(text.to_owned());
        }
        match text.rsplit_once(':') {
            Some((path, line)) => Self::File { path: path.to_owned(), line: line.parse().unwrap_or_default() },
            None => Self::File { path: text.to_owned(), line: 0 },
        }
    }

    /// Whether the value was given as one plain text, so that a list is written with commas.
    pub(super) fn is_plain_text(&self) -> bool {
        matches!(self, Self::Variable(_))
    }

    /// A key as it is written in a place like this one.
    pub(super) fn spell(&self, key: &str) -> String {
        match self {
            Self::Variable(_) => format!("{}{}", super::layer::PREFIX, key.replace('.', "__").to_uppercase()),
            Self::Default | Self::File { .. } | Self::Flag(_) => key.to_owned(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => f.write_str(path),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Variable(name) => write!(f, "{VARIABLE}{name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}
