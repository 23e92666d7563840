//! Reads resolv.conf as glibc 2.36 reads it (`res_vinit_1` there), and never fails, whatever the bytes.
//!
//! Three things glibc does that nobody can have meant, and there this reader takes what was meant and remarks on it:
//! a byte order mark makes glibc skip the first line; a carriage return at a line's end makes it drop a server or spoil
//! a name; and in `search` it keeps a trailing comment, or anything else, as a domain. In all else the two agree, which
//! `tests/resolv_conf_against_glibc.rs` holds against the library itself. All servers are kept, not only the first
//! three, and none is made up where there is none.
//!
//! Pure: bytes in, values out. Which servers are used is for `vet` and `preference`.

mod address;
mod options;
#[cfg(test)]
mod tests;

pub(crate) use options::Options;

use crate::upstream::Server;
use crate::wire::name;

/// What a resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, in order.
    pub nameservers: Vec<Nameserver>,
    /// The search list: of the last `search` or `domain` line that has one.
    pub search: Vec<String>,
    /// The options of all `options` lines.
    pub options: Options,
    /// What a person should know: lines that do not do what they seem to.
    pub remarks: Vec<Remark>,
}

/// One `nameserver` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameserver {
    /// The server, at port 53.
    pub server: Server,
    /// The line, counted from 1.
    pub line: usize,
    /// Whether glibc would drop the line for its carriage return.
    pub carriage_return: bool,
}

/// Something odd about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The line, counted from 1.
    pub line: usize,
    /// What is odd, for people.
    pub text: String,
}

/// The byte order mark in UTF-8, which some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The same in UTF-16, of which neither the C library nor this reader makes anything.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Reads a file's content.
#[must_use]
pub fn parse(content: &[u8]) -> ResolvConf {
    let mut conf = ResolvConf::default();
    let without = content.strip_prefix(BYTE_ORDER_MARK);
    if without.is_some() {
        conf.remark(1, "begins with a byte order mark, for which the C library does not read the line".to_owned());
    }
    let content = without.unwrap_or(content);
    // getline(3): a last line without a newline is a line, an empty rest is none; the latter matches nothing anyhow.
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        conf.take_line(index + 1, line);
    }
    if conf.nameservers.is_empty() && UTF_16.iter().any(|mark| content.starts_with(mark)) {
        let what = "begins as UTF-16 does, of which the C library reads nothing either; save it as UTF-8";
        conf.remark(1, what.to_owned());
    }
    conf
}

impl ResolvConf {
    fn take_line(&mut self, number: usize, whole: &[u8]) {
        let trimmed = whole.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
        let carriage_return = trimmed < whole.len();
        let (line, _) = whole.split_at(trimmed);
        // glibc's string functions see no further than the first NUL.
        let line = line.split(|byte| *byte == 0).next().unwrap_or(line);
        if let Some(rest) = after_keyword(line, b"nameserver") {
            self.take_nameserver(number, rest, carriage_return);
        } else if let Some(rest) = after_keyword(line, b"search") {
            self.take_search(number, rest);
        } else if let Some(rest) = after_keyword(line, b"domain") {
            // Only the first word counts.
            self.take_search(number, words(rest).next().unwrap_or_default());
        } else if let Some(rest) = after_keyword(line, b"options") {
            self.options.take(rest);
        } else if line.first().is_some_and(|byte| is_blank(*byte)) && has_keyword(line.trim_ascii_start()) {
            self.remark(number, "begins with a blank: not read, by the C library neither".to_owned());
        }
    }

    fn take_nameserver(&mut self, line: usize, rest: &[u8], carriage_return: bool) {
        let word = words(rest).next().unwrap_or_default();
        match address::parse(word) {
            Some(server) => {
                if carriage_return {
                    self.remark(line, "ends with a carriage return, for which the C library drops it".to_owned());
                }
                self.nameservers.push(Nameserver { server, line, carriage_return });
            }
            None => self.remark(line, format!("\"{}\" is not an address", word.escape_ascii())),
        }
    }

    fn take_search(&mut self, line: usize, rest: &[u8]) {
        let mut names = Vec::new();
        let mut empty = true;
        for word in words(rest) {
            if word.starts_with(b"#") || word.starts_with(b";") {
                self.remark(line, "a comment begins within the line; the C library takes it for domains".to_owned());
                break;
            }
            empty = false;
            match name_of(word) {
                Some(name) => names.push(name),
                None => self.remark(line, format!("\"{}\" cannot be a domain", word.escape_ascii())),
            }
        }
        // A line without names leaves the list as it was.
        if !empty {
            self.search = names;
        }
    }

    fn remark(&mut self, line: usize, text: String) {
        self.remarks.push(Remark { line, text });
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// What follows a keyword, which a blank must end.
fn after_keyword<'a>(line: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(keyword).filter(|rest| rest.first().is_some_and(|byte| is_blank(*byte)))
}

fn has_keyword(line: &[u8]) -> bool {
    [&b"nameserver"[..], b"search", b"domain", b"options"].iter().any(|word| after_keyword(line, word).is_some())
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty())
}

/// Returns a name as it is, if it can be one: labels of visible characters within the limits of RFC 1035, section
/// 2.3.4; or the root.
fn name_of(word: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(word).ok()?;
    let bare = text.strip_suffix('.').unwrap_or(text);
    let labels = bare.split('.').all(|label| (1..=name::LABEL_MAX).contains(&label.len()));
    let fits = bare.len() <= name::TEXT_MAX && bare.bytes().all(|byte| byte.is_ascii_graphic());
    (text == "." || (labels && fits)).then(|| text.to_owned())
}
