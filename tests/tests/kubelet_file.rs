//! The file for kubelet is as it should be, whatever is done to it, and so is what is kept on disk.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{onward, wait};

fn upstream(lab: &Lab) -> Scripted {
    Scripted::start(lab.upstream.net(), Lab::upstream_address(0), |seen| Reply::now(seen.address([192, 0, 2, 1], 60)))
}

fn wait_for_content(path: &PathBuf, content: &str, limit: Duration, process: &Process) {
    let found = wait::until(limit, || fs::read_to_string(path).is_ok_and(|text| text == content).then_some(()));
    assert!(found.is_some(), "{path:?} is not mended:\n{}", process.output());
}

#[test]
fn a_file_that_was_edited_or_removed_is_mended_within_seconds() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    let mut process = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let path = lab.node.path(onward::RESOLV_CONF);
    let directory = path.parent().unwrap().to_owned();
    let right = fs::read_to_string(&path).unwrap();
    assert!(right.contains(&format!("nameserver {NODE}\n")), "{right}");

    fs::write(&path, "nameserver 8.8.8.8\n").unwrap();
    wait_for_content(&path, &right, wait::seconds(3), &process);
    fs::remove_file(&path).unwrap();
    wait_for_content(&path, &right, wait::seconds(3), &process);
    fs::remove_dir_all(&directory).unwrap();
    wait_for_content(&path, &right, wait::seconds(3), &process);
    // A file in the directory's place: nothing can be written there until it is taken away.
    fs::remove_dir_all(&directory).unwrap();
    wait_for_content(&path, &right, wait::seconds(3), &process);
    fs::rename(&directory, directory.with_extension("moved")).unwrap();
    fs::write(&directory, "").ok();
    if directory.is_file() {
        process.wait_for_line("trying again every", wait::seconds(8));
        fs::remove_file(&directory).unwrap();
    }
    wait_for_content(&path, &right, wait::seconds(8), &process);
    assert_eq!(process.ended(), None);
    assert_eq!(lab.client().addresses("still.test").len(), 1);
}

#[test]
fn an_address_that_pods_were_given_is_kept_over_a_restart() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab);
    // No default route, and one address: it is the node's.
    lab.node.net().ip("address del 10.244.0.1/24 dev pod0");
    let process = onward::spawn(&lab.node, &["--upstream", UPSTREAMS[0]]);
    let path = lab.node.path(onward::RESOLV_CONF);
    let named = || {
        let file = fs::read_to_string(&path).unwrap_or_default();
        file.lines().filter_map(|line| line.strip_prefix("nameserver ").map(str::to_owned)).collect::<Vec<_>>()
    };
    let first = wait::until(wait::seconds(10), || (named() == [NODE]).then_some(()));
    assert!(first.is_some(), "{:?}:\n{}", named(), process.output());
    let kept = lab.node.path("/var/lib/onward/addresses.json");
    let saved = wait::until(wait::seconds(2), || fs::read_to_string(&kept).ok().filter(|text| text.contains(NODE)));
    assert!(saved.is_some(), "{}", process.output());
    drop(process);
    fs::remove_file(&path).unwrap();
    // Now the node has two, and nothing but what pods have tells which is its own.
    lab.node.net().address("pod0", "10.244.0.1/24");
    let process = onward::spawn(&lab.node, &["--upstream", UPSTREAMS[0]]);
    let again = wait::until(wait::seconds(4), || (named() == [NODE]).then_some(()));
    assert!(again.is_some(), "{:?}:\n{}", named(), process.output());
}
