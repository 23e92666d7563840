//! Which files are read, and whether they can be trusted. What stands in them is for others.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::Fault;

/// No configuration is longer; a mistake in a path may lead to something that is (bytes).
const LONGEST: u64 = 1 << 20;

/// The administrator's main file.
const MAIN: &str = "onward.toml";

/// The device number of `/dev/null` on Linux (null(4)).
const NULL_DEVICE: (u64, u64) = (1, 3);

/// Permission to write for everyone (`stat(2)`).
const OTHERS_MAY_WRITE: u32 = 0o002;

/// The folders that hold the configuration of a host.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
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

/// The files that are read, and what stands beside them.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// In rising order of weight.
    pub(super) read: Vec<PathBuf>,
    /// Not read, though a person may think so.
    pub(super) passed_over: Vec<PathBuf>,
    /// The folders that were listed.
    pub(super) folders: Vec<PathBuf>,
}

/// The files to read, in rising order of weight. One that was asked for by name stands alone and must exist.
pub(super) fn find(roots: &Roots, only: Option<&Path>, faults: &mut Vec<Fault>) -> Files {
    if let Some(file) = only {
        return Files { read: vec![file.to_owned()], ..Files::default() };
    }
    let mut files = Files::default();
    let mut folder = |folder: &Path, files: &mut Files| match list(folder) {
        Ok(mut found) => {
            files.read.append(&mut found.read);
            files.passed_over.append(&mut found.passed_over);
            files.folders.append(&mut found.folders);
        }
        Err(fault) => faults.push(fault),
    };
    folder(&roots.vendor, &mut files);
    let main = roots.etc.join(MAIN);
    // A folder that cannot be looked into may hold one: reading it tells.
    if !fs::symlink_metadata(&main).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        files.read.push(main);
    }
    files.passed_over.extend(beside_main(&roots.etc));
    folder(&roots.etc.join("onward.toml.d"), &mut files);
    files
}

/// Finds `onward.conf`, `onward.yaml` and the like beside the main file. The template is meant to stand there.
fn beside_main(etc: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(etc) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut odd: Vec<PathBuf> = paths
        .filter(|path| path.file_stem().is_some_and(|stem| stem == "onward" || stem == "config"))
        .filter(|path| path.file_name().is_some_and(|name| name != MAIN) && path.is_file())
        .collect();
    odd.sort();
    odd
}

/// The `*.toml` of a folder in lexical order, and what else is there; nothing where there is no such folder.
fn list(folder: &Path) -> Result<Files, Fault> {
    let unreadable = |error: std::io::Error| Fault::file(folder, format!("cannot be read: {error}"));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Files::default()),
        entries => entries.map_err(unreadable)?,
    };
    if fs::metadata(folder).map_err(unreadable)?.mode() & OTHERS_MAY_WRITE != 0 {
        return Err(open_to_all(folder, "put files into this folder, so none of it is read"));
    }
    let mut files = Files { folders: vec![folder.to_owned()], ..Files::default() };
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        match path.extension().is_some_and(|extension| extension == "toml") {
            true if !hidden => files.read.push(path),
            false if !hidden => files.passed_over.push(path),
            _ => {}
        }
    }
    files.read.sort();
    files.passed_over.sort();
    Ok(files)
}

/// The text of a file that only its owner and group can change.
pub(super) fn read(path: &Path) -> Result<String, Fault> {
    let unreadable = |error: std::io::Error| Fault::file(path, format!("cannot be read: {error}"));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.file_type().is_char_device() && (major(metadata.rdev()), minor(metadata.rdev())) == NULL_DEVICE {
        return Ok(String::new()); // by name, or by a link that masks a file
    }
    if !metadata.is_file() {
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
        let what = match error.as_bytes() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16; save it as UTF-8, which TOML is written in",
            _ => "not UTF-8, which TOML is written in",
        };
        Fault::line(path, line, what)
    })
}

fn open_to_all(path: &Path, what: &str) -> Fault {
    Fault::file(path, format!("anyone may {what}; run: chmod o-w {}", path.display()))
}
