//! Where lines go, and what they look like there.

use std::io::Write;

use log::kv::{self, Key, Source, Value, VisitSource};
use log::{Level, Record};
use systemd_journal_logger::JournalLog;

use super::record::Owned;

/// What the names of our fields begin with, in the journal.
const PREFIX: &str = "ONWARD_";

/// Where lines go.
pub(super) enum Sink {
    /// The journal, with fields.
    Journal(JournalLog),
    /// The terminal, or whatever stands in for it.
    Stderr,
}

impl Sink {
    /// The journal where systemd has connected us to it and it can be reached.
    pub(super) fn choose() -> Self {
        match JournalLog::empty() {
            Ok(journal) if super::goes_to_journal() => {
                Self::Journal(journal.with_syslog_identifier("onward".to_owned()))
            }
            _ => Self::Stderr,
        }
    }

    /// Writes a line; may block. One that the journal does not take goes to stderr; there is no third place.
    pub(super) fn write(&self, record: &Owned) {
        let sent = match self {
            Self::Journal(journal) => send(journal, record).is_ok(),
            Self::Stderr => false,
        };
        if !sent {
            let mut text = line(record);
            text.push('\n');
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

fn send(journal: &JournalLog, record: &Owned) -> std::io::Result<()> {
    journal.journal_send(
        &Record::builder()
            .level(record.level)
            .target(&record.target)
            .key_values(&Prefixed::new(record))
            .args(format_args!("{}", record.message))
            .build(),
    )
}

/// A record's fields under their names in the journal, its event among them.
struct Prefixed<'r>(Vec<(String, &'r str)>);

impl<'r> Prefixed<'r> {
    fn new(record: &'r Owned) -> Self {
        let ours = |name: &str| format!("{PREFIX}{}", name.to_uppercase());
        let fields = record.fields.iter().map(|(name, value)| (ours(name), value.as_str()));
        let event = record.event.into_iter();
        let event =
            event.flat_map(|event| [("MESSAGE_ID".to_owned(), event.message_id()), (ours("event"), event.name())]);
        Self(event.chain(fields).collect())
    }
}

impl Source for Prefixed<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        for (key, value) in &self.0 {
            visitor.visit_pair(Key::from_str(key), Value::from(*value))?;
        }
        Ok(())
    }
}

/// Returns the message and the fields that it does not hold already. Level and event are told where the level is not
/// the usual one.
fn line(record: &Owned) -> String {
    let mut line = match record.level {
        Level::Error => "error: ".to_owned(),
        Level::Warn => "warning: ".to_owned(),
        Level::Info => String::new(),
        Level::Debug | Level::Trace => format!("debug: {}: ", record.target),
    };
    line.push_str(&record.message);
    let event = record.event.filter(|_| record.level != Level::Info).map(|event| ("event", event.name()));
    let fields = record.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let fields = fields.filter(|(_, value)| !record.message.contains(value));
    let added: Vec<String> = event.into_iter().chain(fields).map(|(name, value)| format!("{name} {value}")).collect();
    if !added.is_empty() {
        line.push_str(&format!(" ({})", added.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::LogEvent;

    fn record(level: Level, message: &str, fields: &[(&str, &str)]) -> Owned {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Owned {
            level,
            target: "onward::guard".into(),
            message: message.to_owned(),
            fields,
            event: Some(LogEvent::Listening),
        }
    }

    #[test]
    fn stderr_reads_calmly() {
        for (record, expected) in [
            (
                record(Level::Info, "listening on 10.0.0.1:53", &[("address", "10.0.0.1:53")]),
                "listening on 10.0.0.1:53",
            ),
            (
                record(Level::Info, "asking 10.0.0.2:53", &[("upstream", "10.0.0.2:53"), ("source", "resolved")]),
                "asking 10.0.0.2:53 (source resolved)",
            ),
            (
                record(Level::Warn, "10.0.0.2:53 loops", &[("witness", "tag")]),
                "warning: 10.0.0.2:53 loops (event listening, witness tag)",
            ),
            (Owned { event: None, ..record(Level::Error, "cannot bind", &[]) }, "error: cannot bind"),
            (
                Owned { event: None, ..record(Level::Debug, "probe", &[("nonce", "1")]) },
                "debug: onward::guard: probe (nonce 1)",
            ),
        ] {
            assert_eq!(line(&record), expected);
        }
    }

    #[test]
    fn the_journal_has_fields_with_our_prefix() {
        struct Seen(Vec<(String, String)>);
        impl<'kvs> VisitSource<'kvs> for Seen {
            fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
                self.0.push((key.to_string(), value.to_string()));
                Ok(())
            }
        }
        let record = record(Level::Info, "x", &[("upstream", "10.0.0.2:53")]);
        let mut seen = Seen(Vec::new());
        Prefixed::new(&record).visit(&mut seen).unwrap();
        let expected = [
            ("MESSAGE_ID", LogEvent::Listening.message_id()),
            ("ONWARD_EVENT", "listening"),
            ("ONWARD_UPSTREAM", "10.0.0.2:53"),
        ];
        assert_eq!(seen.0, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
