//! What is wrong with a configuration, as people read it: one line for each fault.

use std::fmt;
use std::path::Path;

use super::Origin;

/// So much of a value is shown (characters).
const LONGEST_VALUE: usize = 160;

/// One fault: where it is, which key and value, what is allowed or what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// File and line, variable or flag.
    pub origin: Origin,
    /// The key with its table, as in `cache.ttl_max`; none where the file itself is at fault.
    pub key: Option<String>,
    /// The value as TOML; none where the fault is not about one value.
    pub value: Option<String>,
    /// What is wrong, what is allowed, what to do.
    pub what: String,
}

/// All faults of a configuration, by place, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Fault {
    /// A fault of a file as a whole.
    pub(super) fn file(path: &Path, what: impl Into<String>) -> Self {
        Self::line(path, 0, what)
    }

    /// A fault of one line of a file.
    pub(super) fn line(path: &Path, line: usize, what: impl Into<String>) -> Self {
        let origin = Origin::File { path: path.display().to_string(), line };
        Self { origin, key: None, value: None, what: what.into() }
    }

    /// A fault of a value, shown as TOML; none is shown where there is nothing to show, as for a table.
    pub(super) fn value(origin: Origin, key: &str, value: &str, what: impl Into<String>) -> Self {
        let mut shown: String = value.chars().take(LONGEST_VALUE).collect();
        if shown.len() < value.len() {
            shown.push_str(" …");
        }
        Self { origin, key: Some(key.to_owned()), value: (!shown.is_empty()).then_some(shown), what: what.into() }
    }
}

impl Faults {
    /// Puts faults into the order of their places, each once.
    #[must_use]
    pub fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self(faults)
    }

    /// The faults, in the order of their places.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => write!(f, "{key} = {value}: ")?,
            (Some(key), None) => write!(f, "{key}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.what)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, fault) in self.0.iter().enumerate() {
            if count > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
