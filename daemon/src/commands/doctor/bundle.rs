//! The support archive: what support needs to see of this node, in one file, and a list of it beforehand.
//!
//! It has no secrets: no key, no token, no kubeconfig. Names of pods and of the node's servers, and the names that
//! CoreDNS and Onward wrote to their logs, are in it.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::commands::Failure;
use crate::discovery::Root;

/// Lines of the journal, the latest.
const JOURNAL: &str = "2000";
/// Who may read the archive: its owner.
const MODE: u32 = 0o600;

/// A file of the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its path in the archive.
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// Collects the files of these paths that are there, each under its own path below `files`.
pub(super) fn files(root: &Root, paths: &[PathBuf]) -> Vec<Part> {
    let read = paths.iter().filter_map(|path| {
        let content = root.read(path).ok().flatten()?;
        Some(Part { name: format!("files{}", path.display()), content })
    });
    read.collect()
}

/// Collects what systemd has of the service; nothing where there is no systemd.
pub(super) fn journal() -> Vec<Part> {
    let said = |name: &str, words: &[&str]| {
        let (program, words) = words.split_first()?;
        let output = Command::new(program).args(words).output().ok()?;
        Some(Part { name: name.to_owned(), content: output.stdout })
    };
    let parts = [
        said("journal.txt", &["journalctl", "--no-pager", "--unit=onward", "--lines", JOURNAL, "--output=short-iso"]),
        said("unit.txt", &["systemctl", "--no-pager", "cat", "onward.service"]),
        said("systemctl-status.txt", &["systemctl", "--no-pager", "status", "onward.service"]),
    ];
    parts.into_iter().flatten().filter(|part| !part.content.is_empty()).collect()
}

/// Says what will be in the archive, then writes it; one that is there already is not overwritten.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn write(path: &Path, parts: &[Part], now: SystemTime, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "\nIn {}, without secrets:", path.display())?;
    for part in parts {
        writeln!(out, "   {:>8} bytes  {}", part.content.len(), part.name)?;
    }
    let failed = |error: std::io::Error| Failure::System(format!("cannot write {}: {error}", path.display()));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(MODE).open(path).map_err(failed)?;
    let mut archive = tar::Builder::new(file);
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    for part in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(part.content.len()).unwrap_or(u64::MAX));
        header.set_mode(MODE);
        header.set_mtime(now);
        archive.append_data(&mut header, format!("onward/{}", part.name), &part.content[..]).map_err(failed)?;
    }
    archive.into_inner().and_then(|file| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_archive_has_what_was_listed_and_replaces_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path());
        std::fs::create_dir_all(root.path("/etc")).unwrap();
        std::fs::write(root.path("/etc/resolv.conf"), "nameserver 10.0.0.2\n").unwrap();
        let parts = files(&root, &["/etc/resolv.conf".into(), "/etc/missing".into()]);
        let (path, mut said) = (folder.path().join("bundle.tar"), Vec::new());
        write(&path, &parts, SystemTime::UNIX_EPOCH, &mut said).unwrap();
        assert!(String::from_utf8(said).unwrap().contains("20 bytes  files/etc/resolv.conf"));
        let mut archive = tar::Archive::new(std::fs::File::open(&path).unwrap());
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(
            (entry.path().unwrap().to_str(), text.as_str()),
            (Some("onward/files/etc/resolv.conf"), "nameserver 10.0.0.2\n")
        );
        assert!(entries.next().is_none());
        let told = write(&path, &parts, SystemTime::UNIX_EPOCH, &mut Vec::new()).unwrap_err();
        assert_eq!(told.code(), 71);
    }
}
