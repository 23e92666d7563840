//! `onward check`: is the configuration sound, and what holds? Told by what the configuration says, and by what this
//! node can tell of it.

mod access;
mod awaited;
mod node;
pub(super) mod unit;

use std::io::Write;

use serde_json::json;

use super::discover;
use super::{CheckArgs, Failure};
use crate::config::{self, Fault, Faults, Loaded, Overrides, Roots, last_good};
use crate::discovery::{Root, kubelet};
use access::Identity;
use node::Node;
use unit::Unit;

/// Loads the configuration as the daemon would, and shows it if asked to.
pub(super) fn check(args: &CheckArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let root = Root::machine();
    let unit = Unit::read(&root);
    let identity = identity(args, unit.as_ref())?;
    let loaded = match unit.as_ref().filter(|_| args.as_service) {
        None => config::load(&Overrides { config: args.config.clone(), ..Overrides::default() }),
        Some(unit) => config::load_from(&Roots::default(), unit.variables(), &unit.overrides(args.config.clone())),
    };
    let loaded = loaded.and_then(|loaded| judge(args, loaded, identity, unit, &root));
    let has_faults = loaded.is_err();
    let reported = report(args, loaded, out, &mut std::io::stderr());
    if has_faults && args.config.is_none() && !args.json && root.path(last_good::OF_SERVICE).exists() {
        let path = last_good::OF_SERVICE;
        let note = format!("started now, onward.service would run on the configuration that worked last, {path}");
        writeln!(std::io::stderr(), "note: {note}")?;
    }
    reported
}

/// Whose rights count: those of the service where there is one, else those of this process.
fn identity(args: &CheckArgs, unit: Option<&Unit>) -> Result<Identity, Failure> {
    match unit.map(Identity::of) {
        Some(Ok(identity)) => Ok(identity),
        Some(Err(missing)) if args.as_service => Err(Failure::System(missing)),
        None if args.as_service => {
            Err(Failure::Usage("onward.service is not installed: there is no service to judge as".to_owned()))
        }
        Some(Err(_)) | None => Ok(Identity::own()),
    }
}

/// Adds what the node can tell: as faults where the service itself would meet them, else as warnings.
fn judge(
    args: &CheckArgs,
    mut loaded: Loaded,
    identity: Identity,
    unit: Option<Unit>,
    root: &Root,
) -> Result<Loaded, Faults> {
    let own = discover::own(&loaded.settings, root);
    let kubelet = kubelet::read(root);
    let awaited = awaited::find(&loaded, &kubelet, &own, root);
    let node = Node { identity, unit, memory: node::memory(root), own, cluster_dns: kubelet.never_asked() };
    if args.config.is_some() && !args.as_service {
        // A draft, which the service does not read.
        loaded.files.clear();
        loaded.folders.clear();
    }
    let barred = node.barred(&loaded);
    if args.as_service && !barred.is_empty() {
        return Err(Faults::new(barred));
    }
    loaded.warnings.extend(barred);
    loaded.warnings.extend(node.doubts(&loaded));
    loaded.warnings.extend(awaited);
    let unknown = node.unit.iter().filter(|_| args.as_service).flat_map(|unit| &unit.unknown);
    loaded.warnings.extend(unknown.map(|what| of_unit(what.clone())));
    Ok(loaded)
}

/// Something that is about the unit.
fn of_unit(what: String) -> Fault {
    let origin = config::Origin::File { path: "onward.service".to_owned(), line: 0 };
    Fault { origin, key: None, value: None, what }
}

/// Tells what was found: the result to `out`, what a person should look at beside it.
fn report(
    args: &CheckArgs,
    loaded: Result<Loaded, Faults>,
    out: &mut dyn Write,
    beside: &mut dyn Write,
) -> Result<(), Failure> {
    if args.json {
        let settings = loaded.as_ref().map(|loaded| loaded.effective.to_json()).ok();
        let faults: Vec<_> = loaded.as_ref().err().into_iter().flat_map(Faults::as_slice).map(fault).collect();
        let [warnings, notes] = match &loaded {
            Ok(loaded) => [&loaded.warnings, &loaded.notes].map(|told| told.iter().map(fault).collect()),
            Err(_) => [const { Vec::new() }; 2],
        };
        let report = json!({
            "valid": loaded.is_ok(), "faults": faults, "warnings": warnings, "notes": notes, "settings": settings,
        });
        writeln!(out, "{report}")?;
    }
    let loaded = loaded?;
    if !args.json {
        for note in &loaded.notes {
            writeln!(beside, "note: {note}")?;
        }
        for warning in &loaded.warnings {
            writeln!(beside, "warning: {warning}")?;
        }
    }
    match loaded.warnings.len() {
        _ if args.json => {}
        _ if args.print => out.write_all(loaded.effective.to_toml().as_bytes())?,
        0 => writeln!(out, "The configuration is sound.")?,
        1 => writeln!(out, "The configuration holds, with a warning.")?,
        number => writeln!(out, "The configuration holds, with {number} warnings.")?,
    }
    Ok(())
}

fn fault(fault: &Fault) -> serde_json::Value {
    json!({ "origin": fault.origin.to_string(), "key": fault.key, "value": fault.value, "what": fault.what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Roots;

    /// What is printed, and the failure, for a host with this configuration.
    fn run(args: &CheckArgs, text: &str) -> (String, Option<Failure>) {
        let (out, _, failure) = run_all(args, text);
        (out, failure)
    }

    /// The same, with what is told beside.
    fn run_all(args: &CheckArgs, text: &str) -> (String, String, Option<Failure>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("onward.toml"), text).unwrap();
        let roots = Roots { vendor: folder.path().join("vendor"), etc: folder.path().to_owned() };
        let loaded = config::load_from(&roots, [], &Overrides::default());
        let (mut out, mut beside) = (Vec::new(), Vec::new());
        let failure = report(args, loaded, &mut out, &mut beside).err();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&format!("{}/", folder.path().display()), "");
        (text(out), text(beside), failure)
    }

    #[test]
    fn a_sound_configuration_is_told_or_shown() {
        let args = CheckArgs::default();
        assert!(matches!(run(&args, ""), (out, None) if out == "The configuration is sound.\n"));
        let (out, failure) = run(&CheckArgs { print: true, ..args }, "workers = 2");
        assert!(failure.is_none());
        assert!(out.lines().any(|line| line.starts_with("workers = 2 ") && line.ends_with("# onward.toml:1")), "{out}");
    }

    #[test]
    fn what_holds_with_a_warning_is_not_called_sound() {
        let text = "allow = [\"0.0.0.0/1\", \"128.0.0.0/1\"]\n[cache]\nmax_bytes = \"32MB\"";
        let (out, beside, failure) = run_all(&CheckArgs::default(), text);
        assert!(failure.is_none());
        assert_eq!(out, "The configuration holds, with a warning.\n");
        let lines: Vec<_> = beside.lines().collect();
        assert!(
            lines[0].starts_with("note: onward.toml:3: cache.max_bytes = \"32MB\": that is 32000000 bytes"),
            "{beside}"
        );
        assert!(lines[1].starts_with("warning: onward.toml:1: allow = "), "{beside}");
        assert!(lines[1].contains("an open resolver: 0.0.0.0/0 lets the whole Internet ask"), "{beside}");
        let (out, ..) = run_all(&CheckArgs { json: true, ..CheckArgs::default() }, text);
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&json["valid"], &json["warnings"][0]["key"]), (&true.into(), &"allow".into()));
        assert_eq!(json["notes"][0]["key"], "cache.max_bytes");
    }

    #[test]
    fn faults_are_the_failure_and_in_json_also_the_result() {
        let (out, failure) = run(&CheckArgs::default(), "workers = 0");
        assert_eq!((out.as_str(), failure.unwrap().code()), ("", 78));
        let (out, failure) = run(&CheckArgs { json: true, ..CheckArgs::default() }, "workers = 0");
        assert_eq!(failure.unwrap().code(), 78);
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&json["valid"], &json["settings"]), (&false.into(), &serde_json::Value::Null));
        assert_eq!(
            (&json["faults"][0]["origin"], &json["faults"][0]["key"]),
            (&"onward.toml:1".into(), &"workers".into())
        );
    }

    #[test]
    fn json_has_each_key_with_value_and_origin() {
        let (out, failure) = run(&CheckArgs { json: true, ..CheckArgs::default() }, "[cache]\nttl_max = \"2h\"");
        assert!(failure.is_none());
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(json["settings"]["cache.ttl_max"], json!({ "value": "2h", "origin": "onward.toml:2" }));
        assert_eq!(json["settings"]["listen"], json!({ "value": ["node"], "origin": "default" }));
    }
}
