//! Which files are read, and whether they can be trusted. What stands in them is for others.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Fault;

/// No configuration is longer; a mistake in a path may lead to something that is (bytes).
const LONGEST: u64 = 1 << 20;

/// Permission to write for everyone (`stat(2)`).
const OTHERS_MAY_WRITE: u32 = 0o002;

/// The folders that hold the configuration of a host.
#[derive(Debug, Clone)]
pub struct Roots {
    /// Defaults of a distribution: `*.toml`.
    pub vendor: PathBuf,
    /// The administrator's: `onward.toml` and `onward.toml.d/*.toml`.
    pub etc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { vendor: "/usr/lib/onward".into(), etc: "/etc/onward".into() }
    }
}

/// The files to read, in rising order of weight. One that was asked for by name stands alone and must exist.
pub(super) fn find(roots: &Roots, only: Option<&Path>, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    if let Some(file) = only {
        return vec![file.to_owned()];
    }
    let mut files = Vec::new();
    let mut folder = |folder: &Path, files: &mut Vec<PathBuf>| match list(folder) {
        Ok(mut found) => files.append(&mut found),
        Err(fault) => faults.push(fault),
    };
    folder(&roots.vendor, &mut files);
    let main = roots.etc.join("onward.toml");
    if fs::symlink_metadata(&main).is_ok() {
        files.push(main);
    }
    folder(&roots.etc.join("onward.toml.d"), &mut files);
    files
}

/// The `*.toml` of a folder in lexical order; none where there is no such folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let unreadable = |error: std::io::Error| Fault::file(folder, format!("cannot be read: {error}"));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    if fs::metadata(folder).map_err(unreadable)?.mode() & OTHERS_MAY_WRITE != 0 {
        return Err(open_to_all(folder, "put files into this folder, so none of it is read"));
    }
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The text of a file that only its owner and group can change.
pub(super) fn read(path: &Path) -> Result<String, Fault> {
    let unreadable = |error: std::io::Error| Fault::file(path, format!("cannot be read: {error}"));
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Fault::file(path, "not a file"));
    }
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.mode() & OTHERS_MAY_WRITE != 0 {
        return Err(open_to_all(path, "change this file, so it is not read"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        return Err(Fault::file(path, "longer than 1MiB, which no configuration is"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + sound.iter().filter(|byte| **byte == b'\n').count();
        Fault::line(path, line, "not UTF-8, which TOML is written in")
    })
}

fn open_to_all(path: &Path, what: &str) -> Fault {
    Fault::file(path, format!("anyone may {what}; run: chmod o-w {}", path.display()))
}
