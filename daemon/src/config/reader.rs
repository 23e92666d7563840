//! Takes the keys that the schema names out of a tree of values; what is left over at the end is unknown.
//!
//! A value at fault is noted and its default used in its place, so that the reading goes on and finds all faults.

use std::ops::RangeInclusive;

use ::config::{Map, Value, ValueKind};

use super::kinds::Kind;
use super::{Entry, Fault, Origin};
use crate::kubelet_resolv_conf::Policy;

/// What a reading has found so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    faults: Vec<Fault>,
    /// Every known key with its value, in the schema's order.
    pub(super) entries: Vec<Entry>,
    /// What is allowed, but should be known.
    pub(super) notes: Vec<Fault>,
    /// What no one asked for, or what is a value where a table should be; told when all keys are known.
    misplaced: Vec<(String, Origin, String)>,
}

/// One table.
pub(super) struct Section<'r> {
    path: String,
    /// Where the table begins.
    origin: Origin,
    left: Map<String, Value>,
    reader: &'r mut Reader,
}

impl Reader {
    /// All faults.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        let keys: Vec<&str> = self.entries.iter().map(|entry| entry.key.as_str()).collect();
        for (key, origin, value) in self.misplaced {
            let is_list_of_tables = value.starts_with('[') && value.chars().all(|letter| "[], ".contains(letter));
            let what = explain(&key, &origin, &keys, is_list_of_tables);
            self.faults.push(Fault::value(origin, &key, &value, what));
        }
        self.faults
    }
}

impl<'r> Section<'r> {
    /// The tree as a whole.
    pub(super) fn root(tree: Value, reader: &'r mut Reader) -> Self {
        Self::new(String::new(), Some(tree), reader)
    }

    fn new(path: String, value: Option<Value>, reader: &'r mut Reader) -> Self {
        let origin = value.as_ref().map_or(Origin::Default, Origin::of);
        let left = match value.map(|value| (Origin::of(&value), value.kind)) {
            Some((_, ValueKind::Table(table))) => table,
            None | Some((_, ValueKind::Nil)) => Map::new(),
            Some((origin, other)) => {
                reader.misplaced.push((path.clone(), origin, shown(&other)));
                Map::new()
            }
        };
        Self { path, origin, left, reader }
    }

    /// A table inside this one.
    pub(super) fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let value = self.left.remove(key);
        let mut section = Section::new(self.name(key), value, self.reader);
        let read = read(&mut section);
        section.finish();
        read
    }

    /// A list of tables.
    pub(super) fn tables<T>(&mut self, key: &str, read: impl Fn(&mut Section<'_>) -> T) -> Vec<T> {
        let name = self.name(key);
        let (origin, given) = self.take(key);
        let tables = match given.map(|given| given.kind) {
            None | Some(ValueKind::Nil) => Vec::new(),
            Some(ValueKind::Array(items)) if items.iter().all(|item| matches!(item.kind, ValueKind::Table(_))) => items,
            Some(other) => {
                let what = format!("a list of tables is needed, which only a file has room for; write [[{name}]]");
                self.fault(&name, &origin, &shown(&other), what);
                Vec::new()
            }
        };
        if tables.is_empty() {
            self.note(name, serde_json::Value::Array(Vec::new()), origin);
            return Vec::new();
        }
        let tables = tables.into_iter().enumerate().map(|(place, table)| {
            let mut section = Section::new(format!("{name}[{place}]"), Some(table), self.reader);
            let read = read(&mut section);
            section.finish();
            read
        });
        tables.collect()
    }

    /// A list that has no default: a table without it is at fault.
    pub(super) fn needed<K: Kind>(&mut self, key: &str, kind: &K, count: RangeInclusive<usize>) -> Vec<K::Value> {
        if !self.left.contains_key(key) {
            let (name, origin) = (self.name(key), self.origin.clone());
            self.fault(&name, &origin, "", format!("it is missing; write {key} = […]"));
        }
        self.list(key, Vec::new(), kind, count)
    }

    /// A single value.
    pub(super) fn one<K: Kind>(&mut self, key: &str, default: K::Value, kind: &K) -> K::Value {
        let name = self.name(key);
        let (origin, given) = self.take(key);
        let value = given.and_then(|given| self.item(&name, &given, kind)).unwrap_or(default);
        self.note(name, kind.shown(&value), origin);
        value
    }

    /// A list with bounds on its length.
    pub(super) fn list<K: Kind>(
        &mut self,
        key: &str,
        default: Vec<K::Value>,
        kind: &K,
        count: RangeInclusive<usize>,
    ) -> Vec<K::Value> {
        let name = self.name(key);
        let (origin, given) = self.take(key);
        let values = given.and_then(|given| self.items(&name, given, kind, &count)).unwrap_or(default);
        self.note(name, values.iter().map(|value| kind.shown(value)).collect(), origin);
        values
    }

    /// Reads `keep`, `none`, or a list of at most `most` items.
    pub(super) fn policy<K: Kind>(
        &mut self,
        key: &str,
        default: Policy<K::Value>,
        kind: &K,
        most: usize,
    ) -> Policy<K::Value> {
        let name = self.name(key);
        let (origin, given) = self.take(key);
        let value = match given.as_ref().map(|given| &given.kind) {
            None => None,
            Some(ValueKind::String(text)) if text == "keep" => Some(Policy::Keep),
            Some(ValueKind::String(text)) if text == "none" => Some(Policy::None),
            Some(kind) if !matches!(kind, ValueKind::Array(_)) && !origin.is_plain_text() => {
                let value = shown(kind);
                self.fault(&name, &origin, &value, "allowed is \"keep\", \"none\" or a list".to_owned());
                None
            }
            Some(_) => given.and_then(|given| self.items(&name, given, kind, &(1..=most))).map(Policy::List),
        };
        let value = value.unwrap_or(default);
        let json = match &value {
            Policy::Keep => "keep".into(),
            Policy::None => "none".into(),
            Policy::List(values) => values.iter().map(|value| kind.shown(value)).collect(),
        };
        self.note(name, json, origin);
        value
    }

    /// Notes what no one asked for.
    pub(super) fn finish(mut self) {
        for (key, value) in std::mem::take(&mut self.left) {
            let name = self.name(&key);
            self.reader.misplaced.push((name, Origin::of(&value), shown(&value.kind)));
        }
    }

    fn take(&mut self, key: &str) -> (Origin, Option<Value>) {
        let given = self.left.remove(key);
        (given.as_ref().map_or(Origin::Default, Origin::of), given)
    }

    fn items<K: Kind>(
        &mut self,
        name: &str,
        given: Value,
        kind: &K,
        count: &RangeInclusive<usize>,
    ) -> Option<Vec<K::Value>> {
        let origin = Origin::of(&given);
        let all = shown(&given.kind);
        let items = match given.kind {
            ValueKind::Array(items) => items,
            ValueKind::String(text) if origin.is_plain_text() && text.trim_start().starts_with(['[', '"', '\'']) => {
                let plain = text.replace(['[', ']', '"', '\''], "");
                let what = format!("a list in a variable is written with commas alone: {}", plain.trim());
                self.fault(name, &origin, &all, what);
                return None;
            }
            ValueKind::String(text) if origin.is_plain_text() => split(&text, &origin),
            _ => {
                let what = if all.is_empty() {
                    "a list is needed, not a table".to_owned()
                } else {
                    format!("a list is needed; write [{}]", as_items(&given.kind, kind).unwrap_or_else(|| all.clone()))
                };
                self.fault(name, &origin, &all, what);
                return None;
            }
        };
        if !count.contains(&items.len()) {
            let what = format!("{} items in the list; allowed are {} to {}", items.len(), count.start(), count.end());
            self.fault(name, &origin, &all, what);
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        let mut sound = true;
        for item in &items {
            match self.item(name, item, kind) {
                Some(value) if values.contains(&value) => {
                    let what = "it is in the list twice; remove one".to_owned();
                    self.fault(name, &Origin::of(item), &shown(&item.kind), what);
                    sound = false;
                }
                Some(value) => values.push(value),
                None => sound = false,
            }
        }
        sound.then_some(values)
    }

    fn item<K: Kind>(&mut self, name: &str, given: &Value, kind: &K) -> Option<K::Value> {
        let parsed = match &given.kind {
            ValueKind::String(text) => kind.parse(text),
            ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil => Err("a single value is needed".to_owned()),
            plain => kind.parse(&plain.to_string()),
        };
        let origin = Origin::of(given);
        if let (Ok(_), ValueKind::String(text)) = (&parsed, &given.kind)
            && let Some(note) = kind.note(text)
        {
            self.reader.notes.push(Fault::value(origin.clone(), name, &shown(&given.kind), note));
        }
        let parsed = parsed.map_err(|what| match &given.kind {
            ValueKind::String(text) if origin.is_plain_text() => without_quotes(text, kind).unwrap_or(what),
            _ => what,
        });
        parsed.map_err(|what| self.fault(name, &origin, &shown(&given.kind), what)).ok()
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn note(&mut self, key: String, value: serde_json::Value, origin: Origin) {
        self.reader.entries.push(Entry { key, value, origin });
    }

    fn fault(&mut self, key: &str, origin: &Origin, value: &str, what: String) {
        self.reader.faults.push(Fault::value(origin.clone(), key, value, what));
    }
}

/// The items of a list that was written with commas.
fn split(text: &str, origin: &Origin) -> Vec<Value> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| Value::new(Some(&origin.to_string()), item.trim())).collect()
}

/// Returns the items of a text that holds a whole list, as they are written in TOML; none where it holds one item.
fn as_items<K: Kind>(given: &ValueKind, kind: &K) -> Option<String> {
    let ValueKind::String(text) = given else { return None };
    let parts = |separators: &[char]| -> Vec<String> {
        text.split(separators).map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    };
    // A blank may be a part of an item.
    let blanks = || Some(parts(&[' ', ';', '\t'])).filter(|items| items.iter().all(|item| kind.parse(item).is_ok()));
    let items = if text.contains(',') { parts(&[',']) } else { blanks()? };
    let shown: Vec<String> = items.into_iter().map(|item| shown(&ValueKind::String(item))).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

/// Returns what to write in place of a variable's value that has quotes around it, as in a file.
fn without_quotes<K: Kind>(text: &str, kind: &K) -> Option<String> {
    let inside = |quote: char| text.trim().strip_prefix(quote)?.strip_suffix(quote);
    let inside = inside('"').or_else(|| inside('\''))?;
    kind.parse(inside).is_ok().then(|| format!("the quotes are a part of the value; write it without: {inside}"))
}

/// A value as people would write it in TOML; nothing for a table.
fn shown(kind: &ValueKind) -> String {
    match kind {
        ValueKind::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(_) | ValueKind::Nil => String::new(),
        plain => plain.to_string(),
    }
}

/// What to do about a key that is unknown, or that is a table's name with a value.
fn explain(key: &str, origin: &Origin, keys: &[&str], is_list_of_tables: bool) -> String {
    let inside = |table: &str| -> Vec<String> {
        let inner = keys.iter().filter(|known| known.split_once('.').is_some_and(|(first, _)| first == table));
        inner.map(|known| origin.spell(known)).collect()
    };
    let below = inside(key);
    if !below.is_empty() && is_list_of_tables {
        return format!("it is one table, not a list of tables; write [{key}]");
    }
    if !below.is_empty() {
        return format!("it is a table, not a value; its keys are {}", below.join(", "));
    }
    let here: Vec<String> = match key.split_once('.') {
        Some((table, _)) if !inside(table).is_empty() => inside(table),
        _ => {
            let mut tops: Vec<&str> =
                keys.iter().map(|known| known.split(['.', '[']).next().unwrap_or(known)).collect();
            tops.dedup();
            tops.into_iter().map(|known| origin.spell(known)).collect()
        }
    };
    let hint = nearest(key, keys).map(|known| format!("; the nearest is {}", origin.spell(known))).unwrap_or_default();
    format!("unknown key{hint}; known here are {}", here.join(", "))
}

/// The key that was probably meant: the same name in another table, or one that is a letter or two away.
fn nearest<'k>(key: &str, keys: &[&'k str]) -> Option<&'k str> {
    let last = |key: &'_ str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let key = &key.to_lowercase().replace('-', "_");
    if let Some(same) = keys.iter().find(|known| last(known) == last(key)) {
        return Some(same);
    }
    let tables = keys.iter().filter_map(|known| known.split_once('.').map(|(table, _)| table));
    let all = keys.iter().copied().chain(tables);
    let near = all.map(|known| (distance(key, known), known)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, known)| *distance <= 2.max(known.len() / 4)).map(|(_, known)| known)
}

/// How many letters must be added, taken away or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, a) in one.chars().enumerate() {
        let mut left = line + 1;
        let mut diagonal = line;
        for (cell, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let above = *cell;
            *cell = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            (left, diagonal) = (*cell, above);
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
