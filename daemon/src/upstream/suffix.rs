//! The end of names that a route is for, as people write it and as names are compared with it.

use std::fmt;

use crate::wire::name;
use crate::wire::query::shown_as_domain;

/// A domain that a route is for: it and all names under it. Never the root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Suffix(Box<[u8]>);

impl Suffix {
    /// Reads a domain, with or without its last dot.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn of_text(text: &str) -> Result<Self, String> {
        let wire = name::of_text(text)?;
        if wire == name::ROOT {
            return Err("it has all names".to_owned());
        }
        Ok(Self(wire.into()))
    }

    /// The lower-cased wire form.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0
    }
}

/// Without its last dot.
impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_as_domain(&self.0))
    }
}
