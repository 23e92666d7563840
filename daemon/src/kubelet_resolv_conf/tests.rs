//! The file's rules one by one, any input against kubelet's reading of it, and the way to disk.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use proptest::prelude::*;

use super::render::{Content, Found, Naming, NoServers, render};
use super::settings::{Domain, Policy, ResolverOption};
use super::write::{Written, write};

fn listeners(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Both lines as the node has them.
fn kept<'a>(listeners: &'a [SocketAddr], search: &'a [String], options: &'a [String]) -> Content<'a> {
    let found = Found { search, options };
    Content { naming: Naming::Onward, listeners, search: &Policy::Keep, options: &Policy::Keep, found }
}

/// The lines that are no comments, and the notes.
fn rendered(at: &[&str], search: &[String], options: &[String]) -> (Vec<String>, Vec<String>) {
    shown(&kept(&listeners(at), search, options))
}

fn shown(content: &Content<'_>) -> (Vec<String>, Vec<String>) {
    let rendered = render(content).unwrap();
    let lines = rendered.text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    (lines, rendered.notes.iter().map(ToString::to_string).collect())
}

#[test]
fn the_whole_file() {
    let at = listeners(&["10.0.0.5:53", "[fd00::5]:53"]);
    let (search, options) = (strings(&["corp.example", "example"]), strings(&["edns0", "trust-ad", "ndots:2"]));
    let file = render(&kept(&at, &search, &options)).unwrap();
    assert!(file.text.starts_with("# Written by Onward for kubelet; edits are lost."));
    assert!(
        file.text.ends_with(
            "\nnameserver 10.0.0.5\nnameserver fd00::5\nsearch corp.example example\noptions edns0 ndots:2\n"
        ),
        "{}",
        file.text
    );
    assert_eq!(file.notes.len(), 1);
}

#[test]
fn only_reachable_listeners_on_port_53_are_named() {
    let all = [
        "10.0.0.5:5353",
        "127.0.0.1:53",
        "10.0.0.5:53",
        "10.0.0.5:53",
        "[::]:53",
        "[fe80::1%2]:53",
        "10.0.0.6:53",
        "[::ffff:10.0.0.7]:53",
        "10.0.0.8:53",
    ];
    let (lines, notes) = rendered(&all, &[], &[]);
    assert_eq!(lines, ["nameserver 10.0.0.5", "nameserver 10.0.0.6", "nameserver 10.0.0.7"]);
    assert_eq!(notes.len(), 5, "{notes:?}");
    for (at, part) in
        [(vec![], "not listen anywhere yet"), (vec!["10.0.0.5:5353", "127.0.0.1:53"], "10.0.0.5:5353, 127.0.0.1:53")]
    {
        let error: NoServers = render(&kept(&listeners(&at), &[], &[])).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn domains_that_cannot_be_are_dropped_and_told() {
    let long = format!("{}.example", "a".repeat(64));
    let found = strings(&[
        "Corp.Example.",
        ".",
        "",
        "corp.example",
        "_tcp.example",
        "a..b",
        "a b",
        "#c",
        &long,
        "ä.example",
        "ok-1",
    ]);
    let (lines, notes) = rendered(&["10.0.0.5:53"], &found, &[]);
    assert_eq!(lines[1..], ["search Corp.Example _tcp.example ok-1"]);
    assert_eq!(notes.len(), 8, "{notes:?}");
    let allowed = found.iter().filter(|text| text.parse::<Domain>().is_ok()).count();
    assert_eq!(allowed, 4, "what cannot be written cannot be configured");
}

#[test]
fn what_an_operator_names_is_written_and_nothing_of_the_node() {
    let (search, options) = (strings(&["corp.example"]), strings(&["edns0"]));
    let at = listeners(&["10.0.0.5:53"]);
    let own = Policy::List(vec!["own.example.".parse().unwrap()]);
    let named = Policy::List(["rotate", "use-vc", "ndots:99"].map(|text| text.parse().unwrap()).into());
    let content = Content { search: &own, options: &named, ..kept(&at, &search, &options) };
    let (lines, notes) = shown(&content);
    assert_eq!(lines[1..], ["search own.example", "options rotate use-vc ndots:15"]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    let nothing = Content { search: &Policy::None, options: &Policy::None, ..content };
    assert_eq!(shown(&nothing).0[1..], [""; 0]);
    for refused in ["ndots:x", "ndots:99999", "Edns0", "", "#"] {
        assert!(refused.parse::<ResolverOption>().is_err(), "{refused}");
    }
}

#[test]
fn room_is_left_for_the_domains_of_the_cluster() {
    let many: Vec<String> = (0..40).map(|n| format!("d{n}.example")).collect();
    let (lines, notes) = rendered(&["10.0.0.5:53"], &many, &[]);
    assert_eq!(lines[1].split(' ').count() - 1, 29);
    assert_eq!(notes.len(), 11);
    let wide: Vec<String> =
        (0..20).map(|n| format!("d{n:02}.{}", ["a".repeat(59), "b".repeat(60)].join("."))).collect();
    let (lines, _) = rendered(&["10.0.0.5:53"], &wide, &[]);
    // 124 characters each and a blank between: 14 make 1,749, one more would make 1,874.
    assert_eq!(lines[1].len() - "search ".len(), 14 * 124 + 13);
    // Exactly 1,792 fit.
    let exact = [vec!["c".repeat(42)], wide[..14].to_vec()].concat();
    let (lines, notes) = rendered(&["10.0.0.5:53"], &exact, &[]);
    assert_eq!((lines[1].len() - "search ".len(), notes.len()), (1_792, 0));
}

#[test]
fn options_are_kept_clamped_or_dropped() {
    let found = strings(&[
        "trust-ad",
        "use-vc",
        "rotate",
        "inet6",
        "ndots:99",
        "timeout:3",
        "attempts:99999999999",
        "no-aaaa",
        "#",
        "ndots:x",
        "edns0",
        "edns0",
    ]);
    let (lines, notes) = rendered(&["10.0.0.5:53"], &[], &found);
    assert_eq!(lines[1..], ["options ndots:15 timeout:3 attempts:5 no-aaaa edns0"]);
    assert_eq!(notes.len(), 8, "{notes:?}");
}

/// Reads as kubelet does (`parseResolvConf`): whole-line comments only, the last `search` and `options` win.
fn kubelet(text: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut parsed = (vec![], vec![], vec![]);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => parsed.0.extend(words.next()),
            Some("search") => parsed.1 = words.collect(),
            Some("options") => parsed.2 = words.collect(),
            other => panic!("{other:?} is no keyword that we write"),
        }
    }
    parsed
}

proptest! {
    #[test]
    fn whatever_goes_in_kubelet_reads_what_comes_out(
        at in proptest::collection::vec(any::<SocketAddr>(), 0..6),
        search in proptest::collection::vec("[a-zA-Z0-9._ #\n-]{0,90}|\\PC{0,12}|([a-z]{1,63}\\.){1,6}[a-z]{1,9}\\.?", 0..45),
        options in proptest::collection::vec("[a-z-]{0,12}(:[0-9]{0,7})?|\\PC{0,9}|trust-ad|rotate", 0..40),
    ) {
        let at: Vec<_> = at.into_iter().enumerate().map(|(n, a)| SocketAddr::new(a.ip(), if n % 3 == 0 { a.port() } else { 53 })).collect();
        let Ok(file) = render(&kept(&at, &search, &options)) else { return Ok(()) };
        let (servers, domains, options) = kubelet(&file.text);
        prop_assert!((1..=3).contains(&servers.len()));
        for server in &servers {
            let ip: std::net::IpAddr = server.parse().unwrap();
            prop_assert!(!ip.is_loopback() && !ip.is_unspecified());
            prop_assert!(at.iter().any(|a| a.ip().to_canonical() == ip && a.port() == 53));
        }
        prop_assert!(domains.len() <= 29 && domains.join(" ").len() <= 1_792);
        prop_assert!(domains.iter().all(|d| d.len() <= 253 && d != "." && !d.contains('#') && !d.ends_with('.')));
        prop_assert!(domains.iter().all(|d| search.iter().any(|s| s.strip_suffix('.').unwrap_or(s) == d)));
        prop_assert!(options.iter().all(|o| !o.contains('#') && o != "trust-ad" && o != "rotate"));
        prop_assert!(file.text.ends_with('\n') && file.text.lines().all(|line| !line[1..].contains('#')));
    }
}

#[test]
fn the_file_is_replaced_whole_and_left_alone_when_equal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/onward/resolv.conf");
    assert_eq!(write(&path, "one\n").unwrap(), Written::Replaced);
    assert_eq!(path.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o755);
    let first = path.metadata().unwrap();
    assert_eq!(first.mode() & 0o7777, 0o644);
    assert_eq!(write(&path, "one\n").unwrap(), Written::Unchanged);
    assert_eq!(path.metadata().unwrap().ino(), first.ino());
    assert_eq!(write(&path, "two\n").unwrap(), Written::Replaced);
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(write(&path, "two\n").unwrap(), Written::Replaced, "a file that kubelet may not read is mended");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left behind");
}

#[test]
fn a_link_is_replaced_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (other, path) = (directory.path().join("other"), directory.path().join("resolv.conf"));
    fs::write(&other, "two\n").unwrap();
    symlink(&other, &path).unwrap();
    assert_eq!(write(&path, "two\n").unwrap(), Written::Replaced);
    assert!(path.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read_to_string(&other).unwrap(), "two\n");
}

#[test]
fn a_failure_is_told_and_leaves_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "old\n").unwrap();
    let below_a_file = write(&file.join("resolv.conf"), "new\n").unwrap_err().to_string();
    assert!(below_a_file.contains("making its directory"), "{below_a_file}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
    fs::create_dir(directory.path().join("directory")).unwrap();
    let onto_a_directory = write(&directory.path().join("directory"), "new\n").unwrap_err().to_string();
    assert!(onto_a_directory.contains("renaming"), "{onto_a_directory}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "no temporary file is left behind");
    assert!(write(std::path::Path::new("/"), "new\n").is_err());
}
