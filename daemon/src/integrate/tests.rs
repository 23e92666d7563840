//! Programs of a node that is laid out in a directory: what would be changed, done, taken back.

mod host;
mod k0s_and_microk8s;
mod kept;
mod kubelet;
mod rancher;

use std::fs;

use tempfile::TempDir;

use super::plan::Plan;
use super::{Onward, Program, Undoing, carry_out, take_back, undoing};
use crate::config::Settings;
use crate::discovery::Root;

/// What is handed out.
const FILE: &str = "/run/onward/resolv.conf";
/// As proc(5) has it of a process of root's.
const ROOTS: &str = "Name:\tx\nUid:\t0\t0\t0\t0\nNSpid:\t42\n";

/// What Onward hands out, with the sources that it has by default.
fn onward(file: &str) -> Onward {
    let settings = Settings::default();
    let servers = vec!["10.99.0.1".parse().unwrap()];
    Onward { file: file.to_owned(), servers, configured: Vec::new(), sources: settings.upstreams.sources }
}

/// A node in a directory.
struct Node {
    root: Root,
    _directory: TempDir,
}

impl Node {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let node = Self { root: Root::at(directory.path()), _directory: directory };
        fs::create_dir_all(node.root.path("/proc")).unwrap();
        files.iter().for_each(|(path, text)| node.write(path, text));
        node
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn has(&self, path: &str) -> bool {
        self.root.path(path).symlink_metadata().is_ok()
    }

    /// Has a process of root's run with this command line.
    fn runs(&self, id: u32, line: &str) {
        self.write(&format!("/proc/{id}/cmdline"), &format!("{}\0", line.trim().replace(' ', "\0")));
        self.write(&format!("/proc/{id}/status"), ROOTS);
    }

    fn plan(&self, program: Program) -> Result<Plan, String> {
        program.plan(&self.root, &onward(FILE)).map_err(|refusal| refusal.to_string())
    }

    fn refusal(&self, program: Program) -> String {
        self.plan(program).unwrap_err()
    }

    /// Plans and does it; something must be to be changed.
    fn integrate(&self, program: Program) -> Plan {
        let plan = self.plan(program).unwrap();
        assert!(!plan.changes.is_empty());
        carry_out(&self.root, program, &plan).unwrap();
        plan
    }

    fn is_settled(&self, program: Program) {
        assert_eq!(self.plan(program).unwrap().changes, []);
    }

    fn undoing(&self, program: Program, force: bool) -> Option<Undoing> {
        undoing(&self.root, program, force).unwrap()
    }

    /// Takes everything back; nothing may have been changed since.
    fn revert(&self, program: Program) {
        let undoing = self.undoing(program, false).unwrap();
        assert!(undoing.changed.is_empty(), "{undoing:?}");
        take_back(&self.root, program, &undoing).unwrap();
        assert_eq!(self.undoing(program, false), None);
        assert!(!self.has(super::kept::DIRECTORY));
    }
}
