//! The record of what was replaced: who may have written it, and what it outlives.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::Node;
use crate::integrate::kept::{DIRECTORY, Kept, Unusable, path};
use crate::integrate::{Program, undoing};

fn node() -> Node {
    let node = Node::new(&[
        ("/etc/systemd/system/k3s.service", "[Service]\nExecStart=/usr/local/bin/k3s server\n"),
        ("/etc/rancher/k3s/config.yaml.d/onward.yaml", "resolv-conf: /etc/before.conf\n"),
    ]);
    node.integrate(Program::K3s);
    node
}

#[test]
fn a_record_is_for_root_alone() {
    let node = node();
    for path in [DIRECTORY.into(), path("k3s")] {
        let mode = fs::metadata(node.root.path(&path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn a_record_that_others_may_have_written_is_not_used() {
    let read = |node: &Node| Kept::read(&node.root, "k3s");
    let node = node();
    let record = node.root.path(path("k3s"));
    let mode = |path: &std::path::Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode(&record, 0o620);
    assert!(matches!(read(&node), Err(Unusable::Foreign(_))));
    mode(&record, 0o600);
    mode(&node.root.path(DIRECTORY), 0o770);
    assert!(matches!(read(&node), Err(Unusable::Foreign(_))));
    mode(&node.root.path(DIRECTORY), 0o700);
    assert!(read(&node).unwrap().is_some());
    // A link in the record's place, and one in that of the directory.
    fs::rename(&record, record.with_extension("moved")).unwrap();
    symlink("k3s.moved", &record).unwrap();
    assert!(matches!(read(&node), Err(Unusable::Io(..))));
    fs::rename(node.root.path(DIRECTORY), node.root.path("/var/lib/onward/elsewhere")).unwrap();
    symlink("elsewhere", node.root.path(DIRECTORY)).unwrap();
    assert!(matches!(read(&node), Err(Unusable::Foreign(_))));
    let plan = Program::K3s.plan(&node.root, &super::onward("/another")).unwrap();
    assert!(super::carry_out(&node.root, Program::K3s, &plan).is_err(), "nothing is changed without a record");
    assert!(!node.read("/etc/rancher/k3s/config.yaml.d/onward.yaml").contains("/another"));
}

#[test]
fn a_damaged_record_and_one_of_another_version_are_told() {
    let node = node();
    let record = path("k3s");
    let whole = node.read(record.to_str().unwrap());
    for (text, why) in
        [(whole[..30].to_owned(), "EOF"), (whole.replace("\"format\": 1", "\"format\": 9"), "its format is 9")]
    {
        fs::write(node.root.path(&record), text).unwrap();
        let error = undoing(&node.root, Program::K3s, false).unwrap_err().to_string();
        assert!(error.contains("/var/lib/onward/integrate/k3s.json") && error.contains(why), "{error}");
    }
}

#[test]
fn what_was_there_before_the_first_change_comes_back_after_many() {
    let node = node();
    let path = "/etc/rancher/k3s/config.yaml.d/onward.yaml";
    let plan = Program::K3s.plan(&node.root, &super::onward("/run/other.conf")).unwrap();
    super::carry_out(&node.root, Program::K3s, &plan).unwrap();
    assert!(node.read(path).contains("/run/other.conf"));
    node.revert(Program::K3s);
    assert_eq!(node.read(path), "resolv-conf: /etc/before.conf\n");
}

#[test]
fn what_was_taken_back_by_hand_is_no_trouble() {
    let path = "/etc/rancher/k3s/config.yaml.d/onward.yaml";
    for by_hand in [Some("resolv-conf: /etc/before.conf\n"), None] {
        let node = node();
        match by_hand {
            Some(text) => node.write(path, text),
            None => fs::remove_file(node.root.path(path)).unwrap(),
        }
        assert_eq!(node.undoing(Program::K3s, false).unwrap().changes, []);
        node.revert(Program::K3s);
        assert_eq!(node.has(path), by_hand.is_some());
    }
}
