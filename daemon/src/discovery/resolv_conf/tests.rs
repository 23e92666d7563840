use proptest::prelude::*;

use super::{ResolvConf, parse};

fn servers(conf: &ResolvConf) -> Vec<(String, usize)> {
    conf.nameservers.iter().map(|nameserver| (nameserver.server.to_string(), nameserver.line)).collect()
}

#[test]
fn a_plain_file_is_read_with_its_line_numbers() {
    let conf = parse(
        b"# from DHCP\nsearch corp.example lab.example\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\noptions edns0 ndots:3\n",
    );
    assert_eq!(servers(&conf), [("10.0.0.2:53".into(), 3), ("[fe80::1%eth0]:53".into(), 4)]);
    assert_eq!(conf.search, ["corp.example", "lab.example"]);
    assert_eq!(conf.options.words(), ["edns0", "ndots:3"]);
    assert_eq!(conf.remarks, []);
}

#[test]
fn more_than_three_servers_are_kept() {
    let conf = parse(b"nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4");
    assert_eq!(conf.nameservers.len(), 4);
}

#[test]
fn a_carriage_return_does_not_hide_a_server() {
    let conf = parse(b"nameserver 10.0.0.2\r\nsearch a.example\r\noptions rotate\r\n");
    assert_eq!(servers(&conf), [("10.0.0.2:53".into(), 1)]);
    assert!(conf.nameservers[0].carriage_return);
    assert_eq!(conf.search, ["a.example"]);
    assert_eq!(conf.options.words(), ["rotate"]);
    assert!(conf.remarks[0].text.contains("carriage return"));
}

#[test]
fn a_comment_after_search_is_no_domain() {
    for (text, search) in [
        (&b"search a.example #b.example"[..], &["a.example"][..]),
        (b"search a.example ; b.example c.example", &["a.example"]),
        (b"search z.example\nsearch # nothing", &["z.example"]),
        (b"search z.example\ndomain #nothing", &["z.example"]),
    ] {
        let conf = parse(text);
        assert_eq!(conf.search, search, "{}", text.escape_ascii());
        assert_eq!(conf.remarks.len(), 1);
    }
}

#[test]
fn what_cannot_be_a_domain_is_dropped_and_told() {
    let label = "a".repeat(64);
    let long = vec!["abcdefgh"; 29].join(".");
    let conf = parse(format!("search a..b {label}.example {long} \u{1}x ok.example . b.example.").as_bytes());
    assert_eq!(conf.search, ["ok.example", ".", "b.example."]);
    assert_eq!(conf.remarks.len(), 4);
    assert!(conf.remarks[0].text.contains("\"a..b\""));
}

#[test]
fn lines_that_do_nothing_are_told() {
    let conf = parse(b" nameserver 10.0.0.2\nnameserver dns.example\nnonsense\n");
    assert_eq!(servers(&conf), []);
    let lines: Vec<_> = conf.remarks.iter().map(|remark| remark.line).collect();
    assert_eq!(lines, [1, 2]);
}

#[test]
fn options_after_a_comment_are_those_that_glibc_honours() {
    let conf = parse(b"options inet6 ndots:2 # some words rotate\n");
    assert_eq!(conf.options.words(), ["inet6", "ndots:2", "rotate"]);
}

#[test]
fn an_option_that_nobody_knows_is_kept_letter_for_letter() {
    let conf = parse(b"options it's \\odd \"quoted\" b\"c back\\slash contr\x01ol\n");
    assert_eq!(conf.options.words(), ["it's", "b\"c", "back\\slash"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(content in prop::collection::vec(any::<u8>(), 0..300)) {
        let conf = parse(&content);
        prop_assert!(conf.nameservers.iter().all(|nameserver| nameserver.line > 0));
    }

    #[test]
    fn no_nearly_right_line_makes_it_fail(
        lines in prop::collection::vec("(nameserver|search|domain|options)[ \t][ -~\\x00\r\u{80}-\u{ff}]{0,40}", 0..6)
    ) {
        let conf = parse(lines.join("\n").as_bytes());
        prop_assert!(conf.nameservers.iter().all(|nameserver| (1..=lines.len()).contains(&nameserver.line)));
        prop_assert!(conf.search.iter().all(|name| !name.contains([' ', '\t', '\n']) && name.len() <= 254));
    }
}

#[test]
fn a_file_in_utf_16_is_told_and_names_nothing() {
    let text: Vec<u16> = "nameserver 10.0.0.2\n".encode_utf16().collect();
    let little = [&b"\xff\xfe"[..], &text.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>()].concat();
    let big = [&b"\xfe\xff"[..], &text.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>()].concat();
    for content in [little, big] {
        let conf = parse(&content);
        assert!(conf.nameservers.is_empty());
        assert_eq!(conf.remarks.len(), 1, "{:?}", conf.remarks);
        assert!(conf.remarks[0].text.contains("save it as UTF-8"), "{:?}", conf.remarks);
    }
    assert!(parse(b"\xff\xfe\nnameserver 10.0.0.2\n").remarks.is_empty());
}
