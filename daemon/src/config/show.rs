//! The effective configuration, key by key, as people and programs read it.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::Origin;

/// Comments stand one below the other as long as values are no longer than this.
const WIDEST: usize = 64;

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// With its table, as in `cache.ttl_max`, or its place in a list of tables, as in `routes[0].domains`.
    pub key: String,
    /// Its value: texts, whole numbers, booleans and lists of them.
    pub value: Json,
    /// Where the value came from.
    pub origin: Origin,
}

/// Every key, in the order of the template.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Effective(Vec<Entry>);

impl Entry {
    /// The value as TOML.
    #[must_use]
    pub(crate) fn toml(&self) -> String {
        toml(&self.value)
    }
}

impl Effective {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// All entries.
    #[cfg(test)]
    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The entry of a key.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// As a file that can be loaded again, each key with its origin as a comment.
    #[must_use]
    pub(crate) fn to_toml(&self) -> String {
        let split = |entry: &Entry| match entry.key.split_once('.') {
            Some((table, key)) => (table.to_owned(), format!("{key} = {}", entry.toml())),
            None => (String::new(), format!("{} = {}", entry.key, entry.toml())),
        };
        let lines: Vec<_> = self.0.iter().map(|entry| (split(entry), &entry.origin)).collect();
        let widths = lines.iter().map(|((_, line), _)| line.chars().count());
        let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or_default();
        let (mut text, mut within) = (String::new(), String::new());
        for ((table, line), origin) in lines {
            if table != within {
                let header = match table.split_once('[') {
                    Some((list, _)) => format!("[[{list}]]"),
                    None => format!("[{table}]"),
                };
                let _ = writeln!(text, "\n{header}");
                within = table;
            }
            // A path may hold anything, a comment not.
            let origin = origin.to_string().replace(char::is_control, "?");
            let _ = writeln!(text, "{line:width$}  # {origin}");
        }
        text
    }

    /// The entries as JSON: an object of keys, each with `value` and `origin`.
    #[must_use]
    pub(crate) fn to_json(&self) -> Json {
        let entry =
            |entry: &Entry| (entry.key.clone(), json!({ "value": entry.value, "origin": entry.origin.to_string() }));
        Json::Object(self.0.iter().map(entry).collect())
    }
}

/// Texts, numbers and booleans are the same in TOML and JSON, save that TOML wants the character DEL escaped.
fn toml(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        plain => plain.to_string().replace('\u{7f}', "\\u007F"),
    }
}
