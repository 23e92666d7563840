//! One layer of the configuration as a source for the crate `config`: its values, each with its origin.
//!
//! The readers that come with that crate forget lines and stop at the first error, hence these. Whether a key is known
//! and a value good is not looked at here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ::config::{ConfigError, Map, Source, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::{Fault, Origin, kubernetes, typos};

/// What the names of our variables begin with.
pub(super) const PREFIX: &str = "ONWARD_";
/// The key whose lists of all layers hold together.
pub(super) const ROUTES: &str = "routes";

/// What the command line says of the configuration; an empty list and none leave the key to the other layers.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`: read this file instead of those of the host.
    pub config: Option<PathBuf>,
    /// `--listen`, in place of `listen`.
    pub listen: Vec<String>,
    /// `--upstream`, in place of `upstreams.servers`.
    pub upstream: Vec<String>,
    /// `--resolv-conf`, in place of `resolv_conf.path`; may be relative.
    pub resolv_conf: Option<PathBuf>,
    /// `--state-dir`, in place of `state_dir`; may be relative.
    pub state_dir: Option<PathBuf>,
    /// `--control-socket`, in place of `control.socket`; may be relative.
    pub control_socket: Option<PathBuf>,
    /// `--log-level`, in place of `log.level`.
    pub log_level: Option<String>,
}

/// The values of one file, one variable or one flag.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    values: Map<String, Value>,
}

impl Layer {
    /// Reads a file's text. Of several mistakes in the syntax only the first is told: what a parser makes of the rest
    /// is mostly invented.
    pub(super) fn file(path: &Path, text: &str) -> Result<Self, Fault> {
        let file = Lines { path, text };
        let document = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let message = error.message().replace('\n', "; ");
            let what = match typos::hint(text, offset, &message) {
                Some(hint) => format!("not TOML: {hint} ({message})"),
                None => format!("not TOML: {message}"),
            };
            Fault::line(path, file.line(offset), what)
        })?;
        Ok(Self { values: file.table(document.get_ref()) })
    }

    /// One value, at the place that a key with dots names.
    fn one(key: &str, mut value: Value) -> Self {
        let mut parts = key.split('.').rev().peekable();
        while let Some(part) = parts.next() {
            let values = Map::from([(part.to_owned(), value)]);
            if parts.peek().is_none() {
                return Self { values };
            }
            value = Value::new(None, ValueKind::Table(values));
        }
        Self::default()
    }

    /// The routes that the layer has.
    pub(super) fn routes(&self) -> &[Value] {
        match self.values.get(ROUTES).map(|routes| &routes.kind) {
            Some(ValueKind::Array(routes)) => routes,
            _ => &[],
        }
    }

    /// The layer by itself.
    pub(super) fn table(&self) -> Value {
        Value::new(None, ValueKind::Table(self.values.clone()))
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    /// Without keys that `config` would take for a path (`"a[9]"`); none of ours looks so, and each is told as unknown.
    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let plain = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        Ok(self.values.iter().filter(|(key, _)| plain(key)).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// A file's text, to turn offsets into lines.
struct Lines<'t> {
    path: &'t Path,
    text: &'t str,
}

impl Lines<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn table(&self, table: &DeTable<'_>) -> Map<String, Value> {
        table
            .iter()
            .map(|(key, value)| {
                let value = self.value(value.get_ref(), key.span().start);
                (key.get_ref().to_string(), value)
            })
            .collect()
    }

    fn value(&self, value: &DeValue<'_>, offset: usize) -> Value {
        let kind: ValueKind = match value {
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
            DeValue::Array(items) => {
                ValueKind::Array(items.iter().map(|item| self.value(item.get_ref(), item.span().start)).collect())
            }
            DeValue::Boolean(boolean) => (*boolean).into(),
            DeValue::String(string) => string.as_ref().into(),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| integer.as_str().into(), Into::into),
            DeValue::Float(float) => float.as_str().parse::<f64>().map_or_else(|_| float.as_str().into(), Into::into),
            DeValue::Datetime(time) => time.to_string().into(),
        };
        let origin = Origin::File { path: self.path.display().to_string(), line: self.line(offset) };
        Value::new(Some(&origin.to_string()), kind)
    }
}

/// A layer for each variable, sorted by name. Each its own, for `ONWARD_LOG` must not hide behind `ONWARD_LOG__LEVEL`.
/// What Kubernetes made is noted and left out.
pub(super) fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    faults: &mut Vec<Fault>,
    notes: &mut Vec<Fault>,
) -> Vec<Layer> {
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        if value.to_str().is_some_and(|value| kubernetes::is_from_service(&name, value)) {
            foreign.push(name);
            continue;
        }
        let key = key.to_lowercase().replace("__", ".");
        let origin = Origin::Variable(name);
        match value.into_string() {
            Ok(value) => ours.push((origin, key, value)),
            Err(_) => faults.push(Fault::value(origin, &key, "", "the value is not UTF-8")),
        }
    }
    ours.sort();
    foreign.sort();
    if let [first, rest @ ..] = foreign.as_slice() {
        let (number, origin) = (rest.len(), Origin::Variable(first.clone()));
        let others = if number > 0 { format!(" and {number} more like it") } else { String::new() };
        let what = format!("ignored{others}: Kubernetes makes them for a Service of this name (enableServiceLinks)");
        notes.push(Fault { origin, key: None, value: None, what });
    }
    ours.into_iter()
        .map(|(origin, key, value)| Layer::one(&key, Value::new(Some(&origin.to_string()), value)))
        .collect()
}

/// A layer for each flag that was given.
pub(super) fn flags(overrides: &Overrides, faults: &mut Vec<Fault>) -> Vec<Layer> {
    let Overrides { config: _, listen, upstream, resolv_conf, state_dir, control_socket, log_level } = overrides;
    let mut layers = Vec::new();
    for (flag, key, values) in [("--listen", "listen", listen), ("--upstream", "upstreams.servers", upstream)] {
        if !values.is_empty() {
            let origin = flag.to_owned();
            let items = values.iter().map(|value| Value::new(Some(&origin), value.as_str())).collect();
            layers.push(Layer::one(key, Value::new(Some(&origin), ValueKind::Array(items))));
        }
    }
    for (flag, key, path) in [
        ("--resolv-conf", "resolv_conf.path", resolv_conf),
        ("--state-dir", "state_dir", state_dir),
        ("--control-socket", "control.socket", control_socket),
    ] {
        let Some(path) = path else { continue };
        match std::path::absolute(path).ok().as_deref().and_then(Path::to_str) {
            Some(path) => layers.push(Layer::one(key, Value::new(Some(&flag.to_owned()), path))),
            None => {
                let shown = format!("{path:?}");
                faults.push(Fault::value(Origin::Flag(flag.to_owned()), key, &shown, "not a path in UTF-8"));
            }
        }
    }
    if let Some(level) = log_level {
        layers.push(Layer::one("log.level", Value::new(Some(&"--log-level".to_owned()), level.as_str())));
    }
    layers
}
