//! A log record that owns its text and fields, so that it can wait in a queue.

use std::borrow::Cow;

use log::Level;
use log::kv::{self, Key, Value, VisitSource};

use super::Event;

/// The most fields of one record; more are left out.
const FIELDS: usize = 32;

/// A record with its fields in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) level: Level,
    pub(super) target: Cow<'static, str>,
    pub(super) message: String,
    pub(super) fields: Vec<(String, String)>,
    /// What kind of event it tells of.
    pub(super) event: Option<Event>,
}

impl Owned {
    /// Tells that lines are missing.
    pub(super) fn lost(lines: u64) -> Self {
        let message = format!("{lines} lines of this log were lost: they came faster than they could be written");
        let fields = vec![("lost".to_owned(), lines.to_string())];
        Self { level: Level::Warn, target: module_path!().into(), message, fields, event: Some(Event::LinesLost) }
    }
}

impl From<&log::Record<'_>> for Owned {
    fn from(record: &log::Record<'_>) -> Self {
        let mut fields = Fields::default();
        // Visiting ends early only where `Fields` says so.
        let _ = record.key_values().visit(&mut fields);
        Self {
            level: record.level(),
            target: record.target().to_owned().into(),
            message: clean(record.args().to_string()),
            fields: fields.fields,
            event: fields.event,
        }
    }
}

#[derive(Default)]
struct Fields {
    fields: Vec<(String, String)>,
    event: Option<Event>,
}

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if key.as_str() == "event"
            && let Some(event) = Event::named(&value.to_string())
        {
            self.event = Some(event);
            return Ok(());
        }
        if self.fields.len() >= FIELDS {
            return Err(kv::Error::msg("too many fields"));
        }
        self.fields.push((key.to_string(), clean(value.to_string())));
        Ok(())
    }
}

/// Without control characters: names come from strangers, and must not write lines or colours of their own.
fn clean(text: String) -> String {
    if text.chars().any(char::is_control) {
        let escape =
            |letter: char| if letter.is_control() { letter.escape_default().collect() } else { String::from(letter) };
        return text.chars().map(escape).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_message_and_fields_without_control_characters() {
        let fields: &[(&str, &str)] = &[("name", "a\u{1b}[31m"), ("event", "listening"), ("upstream", "10.0.0.2:53")];
        let record = log::Record::builder()
            .level(Level::Info)
            .target("onward::x")
            .key_values(&fields)
            .args(format_args!("one\ntwo é"))
            .build();
        let owned = Owned::from(&record);
        assert_eq!((owned.message.as_str(), owned.event), ("one\\ntwo é", Some(Event::Listening)));
        let expected = [("name", "a\\u{1b}[31m"), ("upstream", "10.0.0.2:53")];
        assert_eq!(owned.fields, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
