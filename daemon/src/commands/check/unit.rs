//! What systemd's unit says of the service, as far as a check of its configuration needs it: its user, its variables,
//! its command line, the directories that it may write to. Reads the unit file and its drop-ins, which need no running
//! systemd.
//!
//! Not read: drop-ins for all services (`service.d`), the defaults of systemd's own configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::commands::{Command, CommandLine, RunArgs};
use crate::config::Overrides;
use crate::discovery::Root;
use crate::discovery::programs::dropins::{self, words};
use crate::discovery::reader::Reader;

/// The unit, below the directories that systemd reads.
const UNIT: &str = "system/onward.service";

/// The variables of our own, which alone the configuration looks at.
const OURS: &str = "ONWARD_";

/// What the unit says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::commands) struct Unit {
    /// `User=`; `None` for root.
    pub(super) user: Option<String>,
    /// `Group=`; `None` for the user's own.
    pub(super) group: Option<String>,
    /// `SupplementaryGroups=`.
    pub(super) groups: Vec<String>,
    /// `Environment=` and the files of `EnvironmentFile=`, a later one in place of an earlier one.
    pub(super) environment: Vec<(String, String)>,
    /// The directories that systemd makes and hands to the user.
    pub(super) made: Vec<PathBuf>,
    /// `ReadWritePaths=`.
    pub(super) writable: Vec<PathBuf>,
    /// The directories that `ProtectSystem=` makes read-only.
    pub(super) protected: Vec<PathBuf>,
    /// `MemoryMax=`, in bytes.
    pub(super) memory: Option<u64>,
    /// The words of `ExecStart=`.
    pub(super) command: Vec<String>,
    /// What could not be read.
    pub(super) unknown: Vec<String>,
}

impl Unit {
    /// Reads the unit of this tree; `None` where none is installed.
    pub(in crate::commands) fn read(root: &Root) -> Option<Self> {
        let mut reader = Reader::new(root);
        let assignments = dropins::read(UNIT, "Service", &mut reader);
        if assignments.is_empty() {
            return None;
        }
        let mut unit = Self { unknown: reader.unknown, ..Self::default() };
        for assignment in assignments {
            unit.take(root, &assignment.key, &assignment.value);
        }
        Some(unit)
    }

    /// Takes one line. An empty value ends what stood before (systemd.unit(5)).
    fn take(&mut self, root: &Root, key: &str, value: &str) {
        let one = (!value.is_empty()).then(|| value.to_owned());
        match key {
            "User" => self.user = one.filter(|user| user != "root"),
            "Group" => self.group = one,
            "SupplementaryGroups" => extend(&mut self.groups, value, str::to_owned),
            "Environment" if value.is_empty() => self.environment.clear(),
            "Environment" => words(value).iter().for_each(|word| self.set(word)),
            "EnvironmentFile" => self.take_file(root, value),
            "RuntimeDirectory" => extend(&mut self.made, value, |name| Path::new("/run").join(name)),
            "StateDirectory" => extend(&mut self.made, value, |name| Path::new("/var/lib").join(name)),
            "CacheDirectory" => extend(&mut self.made, value, |name| Path::new("/var/cache").join(name)),
            "ReadWritePaths" => extend(&mut self.writable, value, |path| path.trim_start_matches(['-', '+']).into()),
            "ProtectSystem" => self.protected = protected(value),
            "MemoryMax" => self.memory = bytes(value),
            "ExecStart" => self.command = words(value),
            _ => {}
        }
    }

    fn set(&mut self, word: &str) {
        let Some((name, value)) = word.split_once('=') else { return };
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A file of variables, one a line (systemd.exec(5)); one whose name begins with `-` need not be there.
    fn take_file(&mut self, root: &Root, value: &str) {
        let path = value.trim_start_matches('-');
        match root.read_text(path) {
            Ok(Some(text)) => {
                let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
                lines.filter_map(|line| line.split_once('=')).for_each(|(name, value)| {
                    let value = value.trim().trim_matches(['"', '\'']);
                    self.set(&format!("{}={value}", name.trim()));
                });
            }
            Ok(None) if value.starts_with('-') => {}
            Ok(None) => self.unknown.push(format!("{path}, which the unit names as EnvironmentFile=, is not there")),
            Err(error) => self.unknown.push(format!("{path} cannot be read: {error}")),
        }
    }

    /// The variables that the configuration looks at.
    pub(in crate::commands) fn variables(&self) -> Vec<(OsString, OsString)> {
        let ours = self.environment.iter().filter(|(name, _)| name.starts_with(OURS));
        ours.map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// What those flags say of the configuration; `config` is read in place of the file that they name.
    pub(in crate::commands) fn overrides(&self, config: Option<PathBuf>) -> Overrides {
        let own = self.flags().overrides();
        Overrides { config: config.or(own.config), ..own }
    }

    /// The flags of `onward run` on the unit's command line; none where another command stands there.
    pub(super) fn flags(&self) -> RunArgs {
        let run = self.command.iter().position(|word| word == "run");
        let words = run.and_then(|run| self.command.get(run..)).unwrap_or_default();
        let line = CommandLine::try_parse_from(["onward"].into_iter().chain(words.iter().map(String::as_str)));
        match line.map(|line| line.command) {
            Ok(Command::Run(args)) => args,
            _ => RunArgs::default(),
        }
    }

    /// Whether the sandbox lets the service write to `path`.
    pub(super) fn lets_write(&self, path: &Path) -> bool {
        let inside = |directories: &[PathBuf]| directories.iter().any(|directory| path.starts_with(directory));
        inside(&self.made) || inside(&self.writable) || !inside(&self.protected)
    }
}

fn extend<T>(list: &mut Vec<T>, value: &str, make: impl Fn(&str) -> T) {
    if value.is_empty() {
        list.clear();
    }
    list.extend(words(value).iter().map(|word| make(word)));
}

/// What `ProtectSystem=` protects (systemd.exec(5)).
fn protected(value: &str) -> Vec<PathBuf> {
    let paths: &[&str] = match value {
        "strict" => &["/"],
        "full" => &["/usr", "/boot", "/efi", "/etc"],
        "yes" | "true" | "1" | "on" => &["/usr", "/boot", "/efi"],
        _ => &[],
    };
    paths.iter().map(PathBuf::from).collect()
}

/// A size as systemd writes it: K, M, G and T count in 1,024s. `None` for `infinity` and for a percentage.
fn bytes(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match value.get(digits.len()..)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str, files: &[(&str, &str)]) -> Unit {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        let unit = format!("[Service]\n{text}");
        for (path, text) in [("/usr/lib/systemd/system/onward.service", unit.as_str())].iter().chain(files) {
            let path = root.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Unit::read(&root).unwrap()
    }

    #[test]
    fn our_own_unit_is_read() {
        let unit = unit(include_str!("../../../../systemd/onward.service"), &[]);
        assert_eq!((unit.user.as_deref(), unit.group.as_deref()), (Some("onward"), Some("onward")));
        assert_eq!(unit.made, [PathBuf::from("/run/onward"), "/var/lib/onward".into()]);
        assert!(unit.variables().is_empty() && unit.unknown.is_empty(), "{unit:?}");
        assert!(unit.lets_write(Path::new("/run/onward/resolv.conf")));
        assert!(unit.flags().config.is_none());
    }

    #[test]
    fn drop_ins_change_the_user_the_variables_and_the_command_line() {
        let dropin = "[Service]\nUser=\nEnvironment=\"ONWARD_LOG__LEVEL=debug\" ONWARD_LISTEN='node, 10.0.0.1'\n\
                      Environment=ONWARD_WORKERS=2 PATH=/bin\nEnvironmentFile=-/none\nEnvironmentFile=/etc/default/onward\n\
                      ExecStart=\nExecStart=/usr/bin/onward run --config /etc/mine.toml\nProtectSystem=full\nMemoryMax=64M\n";
        let variables = "# ours\nONWARD_WORKERS=\"3\"\n";
        let unit = unit(
            "User=onward\nExecStart=/usr/bin/onward run\nRuntimeDirectory=onward",
            &[("/etc/systemd/system/onward.service.d/a.conf", dropin), ("/etc/default/onward", variables)],
        );
        assert_eq!((unit.user.as_deref(), unit.memory), (None, Some(64 << 20)));
        let expected = [("ONWARD_LOG__LEVEL", "debug"), ("ONWARD_LISTEN", "node, 10.0.0.1"), ("ONWARD_WORKERS", "3")];
        assert_eq!(unit.variables(), expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(unit.flags().config, Some("/etc/mine.toml".into()));
        assert!(
            unit.lets_write(Path::new("/srv/resolv.conf"))
                && !unit.lets_write(Path::new("/etc/kubernetes/resolv.conf"))
        );
    }

    #[test]
    fn a_file_of_variables_that_is_missing_is_told() {
        let unit = unit("EnvironmentFile=/etc/default/onward", &[]);
        assert_eq!(unit.unknown, ["/etc/default/onward, which the unit names as EnvironmentFile=, is not there"]);
    }
}
