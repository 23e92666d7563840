//! The reader of resolv.conf, a file that any program on the node may have written. `daemon/tests` hold it against the
//! C library; here it is held to what the rest of Onward builds on.

use onward::internals::discovery::resolv_conf::parse;

/// Longest name as text, without its last dot (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 253;

/// Reads `content` as a file.
pub fn check(content: &[u8]) {
    let conf = parse(content);
    let lines = 1..=content.split(|byte| *byte == b'\n').count();
    for nameserver in &conf.nameservers {
        assert!(lines.contains(&nameserver.line));
    }
    for remark in &conf.remarks {
        assert!(lines.contains(&remark.line));
        assert!(!remark.text.contains(char::is_control), "a remark is one line of a log: {:?}", remark.text);
    }
    for name in &conf.search {
        assert!(name.trim_end_matches('.').len() <= NAME_MAX && name.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    reads_its_own_words_again(&conf.search.join(" "), &conf.options.words());
}

/// The search list and the options, written as lines of a file, are read as the same.
fn reads_its_own_words_again(search: &str, options: &[String]) {
    let again = parse(format!("search {search}\noptions {}\n", options.join(" ")).as_bytes());
    assert_eq!(again.search.join(" "), search);
    assert_eq!(again.options.words(), options);
}
