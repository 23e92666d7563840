//! Holds our reader of resolv.conf against glibc itself, over a table of odd files and some hundred generated ones.
//!
//! `glibc/res_ninit.c` is compiled with `cc` and run in a mount namespace of its own, where each file in turn is bound
//! over /etc/resolv.conf. Needs a C compiler and either root or unprivileged user namespaces; without them it fails.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test, whose helpers fail as the test does"
)]

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use onward::internals::discovery::resolv_conf::{self, ResolvConf};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// What glibc said of one file: a line for each fact.
struct Glibc {
    facts: Vec<String>,
    search: Vec<String>,
}

#[test]
fn the_reader_agrees_with_glibc() {
    let mut files: Vec<Vec<u8>> = TABLE.iter().map(|file| file.to_vec()).collect();
    files.push([b"nameserver 10.0.0.1 ".as_slice(), &[b'x'; 100_000], b"\nnameserver 10.0.0.2\n"].concat());
    files.push([b"search a.example".as_slice(), &[b' '; 100_000], b"b.example\nnameserver 10.0.0.2"].concat());
    let mut runner = TestRunner::deterministic();
    let generated = generated_file();
    files.extend((0..600).map(|_| generated.new_tree(&mut runner).unwrap().current().into_bytes()));

    let answers = ask_glibc(&files);
    assert_eq!(answers.len(), files.len());
    for (file, glibc) in files.iter().zip(&answers) {
        let ours = resolv_conf::parse(file);
        let shown = file.escape_ascii().to_string();
        assert_eq!(facts(&ours), glibc.facts, "{shown}");
        compare_search(&ours.search, &glibc.search, &shown);
    }
}

/// Everything but the search list, as `res_ninit.c` prints it.
fn facts(conf: &ResolvConf) -> Vec<String> {
    let mut lines = Vec::new();
    for server in conf.nameservers.iter().take(3).map(|nameserver| &nameserver.server) {
        let mut line = format!("nameserver {}", server.ip());
        if let IpAddr::V6(ip) = server.ip() {
            line = format!("nameserver {:032x}", u128::from(ip));
            // An interface that does not exist is scope 0 to glibc.
            let scope = server
                .scope()
                .map_or(0, |scope| scope.parse().unwrap_or_else(|_| nix::net::if_::if_nametoindex(scope).unwrap_or(0)));
            write!(line, " scope {scope}").unwrap();
        }
        lines.push(line);
    }
    if lines.is_empty() {
        // glibc makes one up; we do not.
        lines.push("nameserver 127.0.0.1".to_owned());
    }
    for (name, default) in [("ndots", 1), ("timeout", 5), ("attempts", 2)] {
        lines.push(format!("{name} {}", conf.options.number(name).unwrap_or(default)));
    }
    let words = conf.options.words();
    for flag in [
        "rotate",
        "edns0",
        "single-request-reopen",
        "single-request",
        "no-tld-query",
        "no-reload",
        "use-vc",
        "trust-ad",
        "no-aaaa",
    ] {
        if words.iter().any(|word| word == flag || word.replace('_', "-") == flag) {
            lines.push(format!("flag {flag}"));
        }
    }
    lines
}

/// glibc hands out at most six domains in 256 bytes, and keeps what cannot be one; we cut at a comment and drop those.
fn compare_search(ours: &[String], glibc: &[String], shown: &str) {
    let limited = glibc.len() == 6 || glibc.iter().map(String::len).sum::<usize>() > 100;
    let is_comment = |name: &&String| name.starts_with('#') || name.starts_with(';');
    let can_be = |name: &&String| {
        let bare = name.strip_suffix('.').unwrap_or(name);
        name.as_str() == "."
            || (!name.contains('\\') && bare.split('.').all(|label| !label.is_empty() && label.len() < 64))
    };
    let expected: Vec<_> = glibc.iter().take_while(|name| !is_comment(name)).filter(can_be).cloned().collect();
    let cut_by_comment = glibc.iter().any(|name| is_comment(&name));
    if limited && !cut_by_comment {
        assert_eq!(ours.get(..expected.len()), Some(expected.as_slice()), "search of {shown}");
    } else {
        assert_eq!(ours, expected, "search of {shown}");
    }
}

fn ask_glibc(files: &[Vec<u8>]) -> Vec<Glibc> {
    let program = compile();
    let directory = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let path = directory.path().join(index.to_string());
        std::fs::write(&path, without_carriage_returns(file)).unwrap();
        paths.push(path);
    }
    let namespaces = if nix::unistd::geteuid().is_root() { "-mu" } else { "-rmu" };
    let output = Command::new("unshare").arg(namespaces).arg(&program).args(&paths).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut answers = Vec::new();
    let (mut facts, mut search) = (Vec::new(), Vec::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        match (line, line.strip_prefix("search ")) {
            ("end", _) => {
                answers.push(Glibc { facts: std::mem::take(&mut facts), search: std::mem::take(&mut search) })
            }
            (_, Some(name)) => search.push(name.to_owned()),
            (fact, None) => facts.push(fact.to_owned()),
        }
    }
    answers
}

fn compile() -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("res_ninit");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/glibc/res_ninit.c");
    let status = Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(source).arg("-lresolv").status();
    assert!(status.expect("cc, the C compiler, must be installed").success());
    program
}

/// The one thing that we read as it was meant: carriage returns at the ends of lines.
fn without_carriage_returns(file: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in file.split(|byte| *byte == b'\n') {
        let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
        lines.push(&line[..end]);
    }
    lines.join(&b'\n')
}

/// Files of lines that are nearly right.
fn generated_file() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        "(0x|0|00)?[0-9]{1,3}(\\.(0x|0)?[0-9a-f]{1,3}){0,4}",
        "[0-9]{1,11}(\\.[0-9]{1,9}){0,2}",
        "(fe80|ff02|ff12|ff05|fd00|::|2001:db8)?:?:?[0-9a-f]{0,5}:?(:[0-9a-f]{1,4}){0,7}(%(lo|nosuch0|1|3x|007|4294967296|))?",
        "(::ffff:|64:ff9b::|::)[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        "10\\.0\\.0\\.[1-9]",
    ];
    let name = "[a-c]{1,3}(\\.[a-z]{1,4}){0,2}\\.?";
    let option = prop_oneof![
        "(ndots|timeout|attempts):[ -+]?[0-9]{0,11}[a-z]?",
        "(rotate|edns0|single-request|single-request-reopen|no-tld-query|no_tld_query|no-reload|use-vc|trust-ad|no-aaaa)[:a-z]?",
        "[a-z]{1,5}:?[0-9]?",
    ];
    let blank = "[ \t]{1,3}";
    let line = prop_oneof![
        3 => (" ?", blank, address, "( #x|\t|x|\r|\\x00| \\x00)?").prop_map(|(a, b, c, d)| format!("{a}nameserver{b}{c}{d}")),
        2 => ("(search|domain)", prop::collection::vec((blank, name), 0..9), "(\r| #x y| ;x|\t|\\x00z)?").prop_map(|(word, names, end)| {
            let names: String = names.into_iter().map(|(b, n)| b + &n).collect();
            // A comment with nothing before it has a test of its own: it leaves the list as it was.
            let end = if names.is_empty() && end.contains(['#', ';']) { String::new() } else { end };
            format!("{word}{names}{end}")
        }),
        2 => prop::collection::vec((blank, option), 0..4)
            .prop_map(|words| format!("options{}", words.into_iter().map(|(b, w)| b + &w).collect::<String>())),
        1 => "[#; ]?(nameserver|search|domain|options|sortlist)?[a-z0-9.: ]{0,12}",
    ];
    (prop::collection::vec(line, 0..8), "\n?").prop_map(|(lines, end)| lines.join("\n") + &end)
}

const TABLE: &[&[u8]] = &[
    b"",
    b"\n\n",
    b"nameserver 10.0.0.1",
    b"nameserver 10.0.0.1\n",
    b"nameserver 10.0.0.1\r\n",
    b"nameserver 10.0.0.1\r\nsearch a.example b.example\r\noptions ndots:3 rotate\r\n",
    b"nameserver 10.0.0.1 \r\n",
    b"nameserver\t10.0.0.1\n",
    b"nameserver \t 10.0.0.1 \t \n",
    b" nameserver 10.0.0.1\n",
    b"\tnameserver 10.0.0.1\n",
    b"nameserver10.0.0.1\n",
    b"nameserver\n",
    b"nameserver \n",
    b"nameservers 10.0.0.1\n",
    b"NAMESERVER 10.0.0.1\n",
    b"nameserver 10.0.0.1 10.0.0.2\n",
    b"nameserver 10.0.0.1 # one\nnameserver 10.0.0.2 ; two\n",
    b"nameserver 10.0.0.1# one\n",
    b"nameserver 10.0.0.1#53\n",
    b"nameserver 10.0.0.1:53\n",
    b"# nameserver 10.0.0.1\n; nameserver 10.0.0.2\n#nameserver 10.0.0.3\nnameserver 10.0.0.4\n",
    b"nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
    b"nameserver 10.0.0.1\nnameserver 10.0.0.1\n",
    b"nameserver 010.0.0.1\n",
    b"nameserver 0x0a.0.0.1\n",
    b"nameserver 0x\nnameserver 08.0.0.1\nnameserver 0x1.2\n",
    b"nameserver 10.1\nnameserver 10.0.1\nnameserver 167772161\n",
    b"nameserver 4294967296\nnameserver 1.16777216\nnameserver 1.2.65536\nnameserver 1.2.3.256\n",
    b"nameserver 1.2.3.4.5\nnameserver 1..2\nnameserver .1\nnameserver 1.\n",
    b"nameserver +1.2.3.4\nnameserver -1\nnameserver 0x+1\n",
    b"nameserver 0\nnameserver 0.0.0.0\nnameserver 255.255.255.255\n",
    b"nameserver 256.1.1.1\nnameserver 1.1.1\n",
    b"nameserver fd00::1\n",
    b"nameserver FD00::ABCD\n",
    b"nameserver [fd00::1]\n",
    b"nameserver fe80::1%lo\n",
    b"nameserver fe80::1%1\n",
    b"nameserver fe80::1%nosuch0\n",
    b"nameserver fe80::1%\n",
    b"nameserver fe80::1\n",
    b"nameserver fe80::1%1x\nnameserver fe80::1%4294967295\nnameserver fe80::1%4294967296\n",
    b"nameserver fd00::1%lo\nnameserver fd00::1%1\nnameserver fd00::1%+1\n",
    b"nameserver ff02::fb%lo\nnameserver ff01::1%lo\nnameserver ff05::1%lo\n",
    b"nameserver ff12::fb%lo\n",
    b"nameserver 10.0.0.1%lo\n",
    b"nameserver ::ffff:10.0.0.1\nnameserver ::10.0.0.1\nnameserver ::ffff:10.0.0.01\n",
    b"nameserver 1:2:3:4:5:6:7:8\nnameserver 1:2:3:4:5:6:7::\nnameserver ::2:3:4:5:6:7:8\n",
    b"nameserver 1:2:3:4:5:6:7::8\nnameserver 1::2::3\nnameserver 12345::\nnameserver :1\n",
    b"nameserver 1:2:3:4:5:6:10.0.0.1\nnameserver 1:2:3:4:5:6:7:10.0.0.1\nnameserver 00001::\n",
    b"nameserver dns.example\n",
    b"nameserver 10.0.0.1\0\nnameserver 10.0.0.2\n",
    b"nameserver 10.0.0.1\0garbage\nnameserver\0 10.0.0.2\n\0nameserver 10.0.0.3\n",
    b"nameserver 10.0.0.1\r\0\n",
    b"nameserver 10.0.0.1\x0b\nnameserver 10.0.0.2\x0c\n",
    b"search a.example b.example c.example\n",
    b"search\ta.example\tb.example \n",
    b"search a.example\nsearch b.example\n",
    b"search a.example\nsearch \t\n",
    b"search a.example\nsearch\n",
    b"search a.example\ndomain b.example c.example\n",
    b"domain b.example\nsearch a.example c.example\n",
    b"domain a.example\t\ndomain\n",
    b"domain \t a.example\n",
    b"search .\n",
    b"search a.example.\n",
    b"search a.example a.example\n",
    b"search a.example #b.example\n",
    b"search a.example # b.example\n",
    b"search a.example ;b.example c.example\n",
    b"search a..b .a b.example\n",
    b"search a b c d e f g h\n",
    b"search a.example\0b.example c.example\n",
    b"search a.example",
    b"search \xff\xfe b.example\n",
    b"searching a.example\n",
    b"options ndots:3\n",
    b"options ndots:15\noptions ndots:16\n",
    b"options ndots:0 timeout:0 attempts:0\n",
    b"options ndots:-1 timeout:-1 attempts:-1\n",
    b"options ndots:-17\n",
    b"options ndots: 3\n",
    b"options ndots:\t3 timeout: \n",
    b"options ndots:\noptions ndots:x\n",
    b"options ndots:0x3 timeout:010\n",
    b"options ndots:+3\n",
    b"options ndots:99999999999999999999 timeout:-99999999999999999999\n",
    b"options ndots:4294967297 timeout:4294967297 attempts:8589934592\n",
    b"options timeout:30 attempts:5\n",
    b"options timeout:31 attempts:6\n",
    b"options ndots:1 ndots:2\n",
    b"options ndots:5\noptions rotate\noptions timeout:1\n",
    b"options rotate edns0 single-request-reopen single-request no_tld_query use-vc trust-ad no-reload no-aaaa\n",
    b"options rotatexyz edns0:1 single-requests trust-adx\n",
    b"options single-request-reopenx no-tld-query\n",
    b"options ROTATE Ndots:3 inet6 debug\n",
    b"options\trotate\tndots:2\n",
    b"options  \n",
    b"options\n",
    b"options ndots:2 # a comment\n",
    b"options ndots:2 # rotate\n",
    b"options ndots:2 #rotate\n",
    b"options ndots:2 #ndots:4\n",
    b"options edns0\0 rotate\n",
    b" options rotate\n",
    b"sortlist 10.0.0.0/255.0.0.0\nnameserver 10.0.0.1\n",
    b"lookup file bind\nfamily inet4\nnameserver 10.0.0.1\n",
    b"nameserver 10.0.0.1\\\nnameserver 10.0.0.2\n",
    b"nameserver 10.0.0.1\rnameserver 10.0.0.2\r",
    b"nameserver \"10.0.0.1\"\n",
    b"search a.example\r\r\nnameserver 10.0.0.1\r\r\n",
];
