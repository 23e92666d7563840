use std::fs::{self, create_dir, create_dir_all, remove_dir_all, rename, write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ChangeWatch;

/// Changes something, and says whether it is told. Time here is real, since inotify's is: what is told is so within
/// 100 ms, what does not is waited for 300 ms.
fn is_told(paths: &[&str], before: impl FnOnce(&Path), change: impl FnOnce(&Path)) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    before(&root);
    let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut watch = ChangeWatch::subscribe(paths).unwrap();
        change(&root);
        tokio::time::timeout(Duration::from_millis(300), watch.changed()).await.is_ok()
    })
}

#[test]
fn a_file_replaced_by_rename_is_told() {
    assert!(is_told(
        &["resolv.conf"],
        |root| write(root.join("resolv.conf"), "1").unwrap(),
        |root| {
            write(root.join("temporary"), "2").unwrap();
            rename(root.join("temporary"), root.join("resolv.conf")).unwrap();
        }
    ));
}

#[test]
fn a_file_written_in_place_or_removed_is_told() {
    let lay = |root: &Path| write(root.join("resolv.conf"), "1").unwrap();
    assert!(is_told(&["resolv.conf"], lay, |root| write(root.join("resolv.conf"), "2").unwrap()));
    assert!(is_told(&["resolv.conf"], lay, |root| fs::remove_file(root.join("resolv.conf")).unwrap()));
}

#[test]
fn other_files_beside_it_are_not_told() {
    assert!(!is_told(
        &["resolv.conf"],
        |root| write(root.join("resolv.conf"), "1").unwrap(),
        |root| write(root.join("other"), "2").unwrap()
    ));
}

#[test]
fn a_swapped_link_is_told_and_so_is_a_change_behind_it() {
    let lay = |root: &Path| {
        create_dir_all(root.join("run/a")).unwrap();
        write(root.join("run/a/real"), "1").unwrap();
        symlink("run/a/real", root.join("resolv.conf")).unwrap();
    };
    assert!(is_told(&["resolv.conf"], lay, |root| {
        symlink("elsewhere", root.join("new")).unwrap();
        rename(root.join("new"), root.join("resolv.conf")).unwrap();
    }));
    assert!(is_told(&["resolv.conf"], lay, |root| {
        write(root.join("run/a/temporary"), "2").unwrap();
        rename(root.join("run/a/temporary"), root.join("run/a/real")).unwrap();
    }));
    assert!(is_told(&["resolv.conf"], lay, |root| rename(root.join("run/a"), root.join("run/b")).unwrap()));
}

#[test]
fn everything_in_a_watched_directory_is_told() {
    let lay = |root: &Path| create_dir(root.join("links")).unwrap();
    assert!(is_told(&["links"], lay, |root| write(root.join("links/2"), "DNS=").unwrap()));
}

#[test]
fn a_link_in_a_circle_does_no_harm() {
    let lay = |root: &Path| symlink("loop", root.join("loop")).unwrap();
    assert!(is_told(&["loop"], lay, |root| fs::remove_file(root.join("loop")).unwrap()));
}

#[test]
fn a_directory_that_comes_late_and_goes_and_comes_again_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let file = root.join("run/systemd/resolve/resolv.conf");
    let folder = file.parent().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut watch = ChangeWatch::subscribe(vec![file.clone()]).unwrap();
        for _ in 0..3 {
            create_dir_all(folder).unwrap();
            next(&mut watch).await;
            write(&file, "nameserver 10.0.0.2").unwrap();
            next(&mut watch).await;
            remove_dir_all(root.join("run")).unwrap();
            next(&mut watch).await;
        }
    });
}

#[test]
fn a_file_that_never_rests_is_told_within_half_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().canonicalize().unwrap().join("resolv.conf");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut watch = ChangeWatch::subscribe(vec![file.clone()]).unwrap();
        let restless = async {
            loop {
                write(&file, "nameserver 10.0.0.2").unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = restless => {}
            () = next(&mut watch) => {}
        }
    });
}

async fn next(watch: &mut ChangeWatch) {
    tokio::time::timeout(Duration::from_secs(2), watch.changed()).await.expect("a change is told");
}

#[test]
fn a_temporary_file_of_systemd_beside_it_is_told_though_the_file_stays_as_it_was() {
    let lay = |root: &Path| write(root.join("resolv.conf"), "1").unwrap();
    assert!(is_told(&["resolv.conf"], lay, |root| {
        write(root.join(".#resolv.confab12"), "1").unwrap();
        fs::remove_file(root.join(".#resolv.confab12")).unwrap();
    }));
    assert!(!is_told(&["resolv.conf"], lay, |root| write(root.join(".#stub-resolv.confab12"), "1").unwrap()));
}
