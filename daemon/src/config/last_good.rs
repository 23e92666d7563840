//! The configuration that worked last, on disk: what the service runs on when a start finds faults in the one of now.
//!
//! It is the effective configuration, as one file with every key. Only a process that systemd started has one, in its
//! `StateDirectory=` (systemd.exec(5)): who starts the program by hand wants to see the faults.

use std::io;
use std::path::{Path, PathBuf};

use super::{Effective, Faults, Loaded, Overrides, Roots, load_from};
use crate::durable;

/// The file's name in the state directory.
const FILE: &str = "onward.toml.good";
/// What stands above the keys.
const HEADER: &str =
    "# The configuration that worked last, with every key. Onward writes it, and runs on it where the one in
# /etc/onward has faults at a start. Edit that one.
";

/// Where the file of `onward.service` is.
pub(crate) const OF_SERVICE: &str = "/var/lib/onward/onward.toml.good";

/// Returns the file of this service; `None` for a process that systemd did not start.
pub(crate) fn path() -> Option<PathBuf> {
    durable::of_service("STATE_DIRECTORY").map(|directory| directory.join(FILE))
}

/// Loads the file, under the flags of the command line.
///
/// # Errors
/// Where there is none, or it has faults itself: another version wrote it, or the flags have them.
pub(crate) fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, Faults> {
    let overrides = Overrides { config: Some(path.to_owned()), ..overrides.clone() };
    load_from(&Roots::default(), [], &overrides)
}

/// Writes the file, whole or not at all; nothing where it says the same already.
///
/// # Errors
/// Where the directory cannot be written.
pub(crate) fn save(path: &Path, effective: &Effective) -> io::Result<()> {
    let text = format!("{HEADER}{}", effective.to_toml());
    if std::fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    durable::save(path.parent().unwrap_or_else(|| Path::new(".")), FILE, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Loaded, Faults> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("onward.toml"), text).unwrap();
        let roots = Roots { vendor: folder.path().join("vendor"), etc: folder.path().to_owned() };
        load_from(&roots, [("ONWARD_CACHE__TTL_MAX".into(), "1h".into())], &Overrides::default())
    }

    #[test]
    fn what_worked_is_found_again_with_what_the_environment_said() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        assert!(load(&path, &Overrides::default()).is_err(), "there is none");
        let good = loaded("upstreams.servers = [\"10.0.0.2\"]\n[log]\nlevel = \"debug\"\n").unwrap();
        save(&path, &good.effective).unwrap();
        save(&path, &good.effective).unwrap();
        assert_eq!(load(&path, &Overrides::default()).unwrap().settings, good.settings);
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 1, "no temporary file is left behind");
    }

    #[test]
    fn what_another_version_wrote_is_not_run_on() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        save(&path, &loaded("").unwrap().effective).unwrap();
        let later = format!("{}\n[later]\nkey = 1\n", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, later).unwrap();
        assert!(load(&path, &Overrides::default()).is_err());
    }
}
