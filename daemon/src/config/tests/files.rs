//! Which files are read, and which are told as not read.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn files_that_are_passed_over_are_told() {
    let host = Host::new(&[
        ("etc/onward.toml", "workers = 2"),
        ("etc/onward.conf", "workers = 3"),
        ("etc/onward.template.toml", "workers = 3"),
        ("etc/onward.toml.d/10-a.conf", "workers = 3"),
        ("etc/onward.toml.d/10-a.toml", "workers = 4"),
        ("etc/onward.toml.d/20-b.yaml", "workers: 3"),
        ("etc/onward.toml.d/30-c.toml.bak", "workers = 3"),
        ("etc/onward.toml.d/.30-c.toml.swp", "workers = 3"),
    ]);
    let Loaded { settings, notes, .. } = host.load().unwrap();
    assert_eq!(settings.workers, Some(4));
    let folder = format!("{}/", host.folder.path().display());
    let told: Vec<_> = notes.iter().map(|note| note.to_string().replace(&folder, "")).collect();
    let expected = ["onward.conf", "onward.toml.d/10-a.conf", "onward.toml.d/20-b.yaml", "onward.toml.d/30-c.toml.bak"];
    assert_eq!(told, expected.map(|name| format!("etc/{name}: {NOT_READ}")));
}

#[test]
fn the_null_device_is_an_empty_file_by_name_and_as_a_mask() {
    let mut host = Host::new(&[("etc/onward.toml", "workers = 0"), ("etc/onward.toml.d/a.toml", "workers = 3")]);
    fs::remove_file(host.path("etc/onward.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/null", host.path("etc/onward.toml")).unwrap();
    assert_eq!(host.load().unwrap().settings.workers, Some(3));
    host.overrides.config = Some("/dev/null".into());
    assert_eq!(host.load().unwrap().settings, Settings::default());
    host.overrides.config = Some("/dev/zero".into());
    assert_eq!(host.load().unwrap_err().to_string(), "/dev/zero: not a file");
}

#[test]
fn blanks_tabs_and_ends_of_lines_of_other_systems_do_no_harm() {
    assert_eq!(settings("\u{feff}workers = 2\r\n[cache]\r\n\tttl_max\t=\t\"1h\"\r\n").workers, Some(2));
    let host = Host::new(&[]);
    fs::create_dir_all(host.path("etc")).unwrap();
    fs::write(host.path("etc/onward.toml"), b"\xff\xfew\0o\0").unwrap();
    assert_eq!(host.faults(), ["etc/onward.toml:1: UTF-16; save it as UTF-8, which TOML is written in"]);
}

#[test]
fn a_file_that_was_asked_for_stands_alone_and_must_exist() {
    let mut host = Host::new(&[("etc/onward.toml", "workers = 0"), ("mine.toml", "workers = 3")]);
    host.overrides.config = Some(host.path("mine.toml"));
    assert_eq!(host.load().unwrap().settings.workers, Some(3));
    host.overrides.config = Some(host.path("none.toml"));
    let told = host.load().unwrap_err().to_string();
    assert_eq!(
        told,
        format!("{}: cannot be read: No such file or directory (os error 2)", host.path("none.toml").display())
    );
    host.overrides.config = Some(host.path("etc"));
    assert_eq!(host.load().unwrap_err().to_string(), format!("{}: not a file", host.path("etc").display()));
}

#[test]
fn what_anyone_may_write_is_not_read() {
    let host = Host::new(&[("etc/onward.toml", "workers = 1"), ("etc/onward.toml.d/a.toml", "workers = 2")]);
    let open = |name: &str, mode| fs::set_permissions(host.path(name), fs::Permissions::from_mode(mode)).unwrap();
    open("etc/onward.toml", 0o666);
    open("etc/onward.toml.d", 0o777);
    let (file, folder) = (host.path("etc/onward.toml"), host.path("etc/onward.toml.d"));
    let (file, folder) = (file.display(), folder.display());
    let told = host.load().unwrap_err().to_string();
    let texts = [
        format!("{file}: anyone may change this file, so it is not read; run: chmod o-w {file}"),
        format!("{folder}: anyone may put files into this folder, so none of it is read; run: chmod o-w {folder}"),
    ];
    assert_eq!(told, texts.join("\n"));
    open("etc/onward.toml", 0o664);
    open("etc/onward.toml.d", 0o755);
    assert_eq!(host.load().unwrap().settings.workers, Some(2));
}

#[test]
fn files_that_are_no_text_are_told() {
    let host = Host::new(&[]);
    fs::create_dir_all(host.path("etc")).unwrap();
    fs::write(host.path("etc/onward.toml"), b"workers = 1\n# \xe9\n").unwrap();
    assert_eq!(host.faults(), ["etc/onward.toml:2: not UTF-8, which TOML is written in"]);
    fs::write(host.path("etc/onward.toml"), " ".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(host.faults(), ["etc/onward.toml: longer than 1MiB, which no configuration is"]);
}
