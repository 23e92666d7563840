//! Where lines go, and what they look like there.

use std::io::Write;

use log::kv::{self, Key, Source, Value, VisitSource};
use log::{Level, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

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
    /// The journal where systemd has connected us to it (`$JOURNAL_STREAM`, systemd.exec(5)) and it can be reached.
    pub(super) fn choose() -> Self {
        match JournalLog::empty() {
            Ok(journal) if connected_to_journal() => Self::Journal(journal.with_syslog_identifier("onward".to_owned())),
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

/// A record's fields under their names in the journal.
struct Prefixed<'r>(Vec<(String, &'r str)>);

impl<'r> Prefixed<'r> {
    fn new(record: &'r Owned) -> Self {
        Self(
            record
                .fields
                .iter()
                .map(|(key, value)| (format!("{PREFIX}{}", key.to_uppercase()), value.as_str()))
                .collect(),
        )
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

/// The message, and the fields that it does not hold already; a level only where it is not the usual one.
fn line(record: &Owned) -> String {
    let mut line = match record.level {
        Level::Error => "error: ".to_owned(),
        Level::Warn => "warning: ".to_owned(),
        Level::Info => String::new(),
        Level::Debug | Level::Trace => format!("debug: {}: ", record.target),
    };
    line.push_str(&record.message);
    let added = record.fields.iter().filter(|(_, value)| !record.message.contains(value.as_str()));
    let added: Vec<String> = added.map(|(key, value)| format!("{key} {value}")).collect();
    if !added.is_empty() {
        line.push_str(&format!(" ({})", added.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: Level, message: &str, fields: &[(&str, &str)]) -> Owned {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Owned { level, target: "onward::guard".into(), message: message.to_owned(), fields }
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
            (record(Level::Warn, "10.0.0.2:53 loops", &[]), "warning: 10.0.0.2:53 loops"),
            (record(Level::Error, "cannot bind", &[]), "error: cannot bind"),
            (record(Level::Debug, "probe", &[("nonce", "1")]), "debug: onward::guard: probe (nonce 1)"),
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
        assert_eq!(seen.0, [("ONWARD_UPSTREAM".to_owned(), "10.0.0.2:53".to_owned())]);
    }
}
