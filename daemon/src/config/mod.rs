//! The configuration: read from files, environment and flags, checked as a whole, handed on as [`Settings`].
//!
//! In rising order of weight: what the program has built in ([`Settings::default`]), vendor defaults
//! (`/usr/lib/onward/*.toml`), `/etc/onward/onward.toml`, drop-ins (`/etc/onward/onward.toml.d/*.toml`, in lexical
//! order), the environment (`ONWARD_CACHE__TTL_MAX` is `cache.ttl_max`), the flags of the command line. A table is
//! merged key by key; a value, lists included, replaces the one below it; the routes of all files hold together.
//!
//! A layer becomes a source of the crate `config` (`layer.rs`; `files.rs` finds and opens them), each value with the
//! place it came from ([`Origin`]). `schema.rs` says which keys there are and what each may be, and is run over each
//! layer alone, so that a wrong value is told even where another layer replaces it, and over the merged whole, which
//! gives the settings. `rules.rs` looks at values that must fit each other. All faults are told at once ([`Faults`]);
//! `typos.rs` says what was meant by what is not TOML. `warnings.rs` looks at what is allowed and still seldom meant.
//!
//! The types of the settings belong to the folders that use them; here they are built. The rest of the program sees
//! checked settings only. Nothing here looks at the machine: whether an interface exists, or
//! an address can be bound, is found out by those who use it.

mod fault;
mod files;
mod kinds;
mod kubernetes;
pub(crate) mod last_good;
mod layer;
mod origin;
mod reader;
mod rules;
mod schema;
mod settings;
mod show;
mod typos;
mod warnings;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;

use ::config::{Config, Value, ValueKind};

pub(crate) use fault::{Fault, Faults};
pub(crate) use files::Roots;
pub(crate) use layer::Overrides;
pub(crate) use origin::Origin;
pub(crate) use settings::{Control, Limits, Log, Settings, Upstreams};
pub(crate) use show::{Effective, Entry};

use crate::logging::LogEvent;
use layer::Layer;
use reader::Reader;

/// What is said of a file that is not read, though a person may think so.
const NOT_READ: &str = "not read: only onward.toml is, and files of onward.toml.d whose names end in .toml";

/// A configuration without faults.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// What holds.
    pub settings: Settings,
    /// The same, key by key, with the origin of each value.
    pub effective: Effective,
    /// The files that were read, in rising order of weight.
    pub files: Vec<PathBuf>,
    /// The folders that were looked into.
    pub folders: Vec<PathBuf>,
    /// What holds, but should be looked at again.
    pub warnings: Vec<Fault>,
    /// What was passed over, or may be read otherwise than a person thinks.
    pub notes: Vec<Fault>,
}

impl Loaded {
    /// Logs what should be looked at again, and what was passed over.
    pub(crate) fn log_remarks(&self) {
        for warning in &self.warnings {
            log::warn!(event = LogEvent::ConfigurationNote; "{warning}");
        }
        for note in &self.notes {
            log::info!(event = LogEvent::ConfigurationNote; "{note}");
        }
    }
}

/// Reads the configuration of this host, this environment and these flags.
///
/// # Errors
/// Every fault that was found, in all layers.
pub(crate) fn load(overrides: &Overrides) -> Result<Loaded, Faults> {
    load_from(&Roots::default(), std::env::vars_os(), overrides)
}

/// As [`load`], with the files below other folders and another environment.
///
/// # Errors
/// Every fault that was found, in all layers.
pub(crate) fn load_from(
    roots: &Roots,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    overrides: &Overrides,
) -> Result<Loaded, Faults> {
    let mut faults = Vec::new();
    let mut layers = Vec::new();
    let files = files::find(roots, overrides.config.as_deref(), &mut faults);
    let mut notes: Vec<Fault> = files.passed_over.iter().map(|path| Fault::file(path, NOT_READ)).collect();
    for file in &files.read {
        match files::read(file).and_then(|text| Layer::file(file, &text)) {
            Ok(layer) => layers.push(layer),
            Err(fault) => faults.push(fault),
        }
    }
    layers.extend(layer::environment(environment, &mut faults, &mut notes));
    layers.extend(layer::flags(overrides, &mut faults));

    for layer in &layers {
        let mut reader = Reader::default();
        schema::read(layer.table(), &mut reader);
        faults.append(&mut reader.into_faults());
    }
    // Every value of the whole comes from a layer, so its faults are known by now; left are those between values.
    let mut reader = Reader::default();
    let settings = schema::read(merge(layers), &mut reader);
    let effective = Effective::new(std::mem::take(&mut reader.entries));
    let between = rules::check(&settings, &effective, &faults);
    faults.extend(between);
    if !faults.is_empty() {
        return Err(Faults::new(faults));
    }
    notes.append(&mut reader.notes);
    let warnings = warnings::find(&settings, &effective);
    Ok(Loaded { settings, effective, files: files.read, folders: files.folders, warnings, notes })
}

/// Lays the layers one over the other. Routes do not replace each other: a file of one VPN would end those of another.
fn merge(layers: Vec<Layer>) -> Value {
    let routes: Vec<Value> = layers.iter().flat_map(Layer::routes).cloned().collect();
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    // Building fails only where a source does, and ours hold their values already.
    let mut merged = builder.build().map_or_else(|_| Value::new(None, ValueKind::Nil), |merged| merged.cache);
    if let ValueKind::Table(table) = &mut merged.kind
        && !routes.is_empty()
    {
        table.insert(layer::ROUTES.to_owned(), Value::new(None, ValueKind::Array(routes)));
    }
    merged
}

#[cfg(test)]
mod tests;
