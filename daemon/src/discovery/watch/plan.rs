//! What to watch so that no change of some paths is missed: which directories, and which names in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::discovery::root::{LINKS_MAX, names_of};

/// What systemd puts before the name of a file for the temporary one that replaces it; random letters follow the name.
const TEMPORARY: &[u8] = b".#";

/// The names in a directory that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    All,
    Some(BTreeSet<OsString>),
}

impl Names {
    /// Whether an event with this name, or with none, tells of something that matters.
    pub(super) fn matter(&self, name: Option<&OsStr>) -> bool {
        match (self, name) {
            // The directory itself was moved or removed.
            (_, None) | (Self::All, _) => true,
            // systemd-resolved also writes and drops its file when what is in it stays the same: it may be the only
            // sign of a change that the file does not show (a routing domain, a port, a TLS name).
            (Self::Some(names), Some(name)) => {
                names.contains(name)
                    || name
                        .as_bytes()
                        .strip_prefix(TEMPORARY)
                        .is_some_and(|name| names.iter().any(|known| name.starts_with(known.as_bytes())))
            }
        }
    }
}

/// The directories to watch, and the names in each.
pub(super) fn plan(paths: &[PathBuf]) -> BTreeMap<PathBuf, Names> {
    let mut plan = BTreeMap::new();
    for path in paths {
        walk(path, &mut plan);
    }
    plan
}

/// Goes along `path` as far as it exists, through links, and notes each directory with the name that leads on.
fn walk(path: &Path, plan: &mut BTreeMap<PathBuf, Names>) {
    let mut here = PathBuf::from("/");
    let mut names: VecDeque<OsString> = names_of(path);
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        if let Names::Some(known) = plan.entry(here.clone()).or_insert_with(|| Names::Some(BTreeSet::new())) {
            known.insert(name.clone());
        }
        let next = here.join(&name);
        match std::fs::read_link(&next) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                names_of(&target).into_iter().rev().for_each(|name| names.push_front(name));
            }
            Ok(_) => return,
            Err(_) if next.is_dir() => here = next,
            Err(_) => return,
        }
    }
    // The path is a directory: all that is in it matters.
    plan.insert(here, Names::All);
}
