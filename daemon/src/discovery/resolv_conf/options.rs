//! The words of `options` lines, with the bounds and the prefix matching of glibc.

use std::fmt;

use crate::glibc::NUMBERED_OPTIONS;

/// Options that are on or off. Order matters: glibc takes the first that the word begins with.
const FLAGS: [&str; 10] = [
    "rotate",
    "edns0",
    "single-request-reopen",
    "single-request",
    "no_tld_query",
    "no-tld-query",
    "no-reload",
    "use-vc",
    "trust-ad",
    "no-aaaa",
];

/// All options, in the order in which they first appeared. Of a number given twice the last value holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<Word>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Number(&'static str, i64),
    Flag(&'static str),
    /// Unknown to glibc, perhaps known to another library.
    Other(String),
}

impl Options {
    /// The options as words, as one would write them.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// The value of `ndots`, `timeout` or `attempts` (seconds for the second), where given.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.0.iter().find_map(|word| match word {
            Word::Number(known, value) if *known == name => Some(*value),
            _ => None,
        })
    }

    /// Adds the words of one line.
    pub(super) fn take(&mut self, mut text: &[u8]) {
        let mut in_comment = false;
        loop {
            text = text.trim_ascii_start();
            let end = text.iter().position(|byte| *byte == b' ' || *byte == b'\t').unwrap_or(text.len());
            if end == 0 {
                return;
            }
            let (word, rest) = text.split_at(end);
            in_comment |= word.starts_with(b"#") || word.starts_with(b";");
            if let Some((name, most)) = numbered(word) {
                // From here to the line's end, since atoi(3) skips blanks: `ndots: 3` is 3.
                let value = i64::from(atoi(text.get(name.len() + 1..).unwrap_or_default())).min(most);
                // glibc keeps ndots in four bits, so a negative number becomes a large one.
                self.set(Word::Number(name, if name == "ndots" { value & 0xf } else { value }));
            } else if let Some(flag) = FLAGS.iter().find(|flag| word.starts_with(flag.as_bytes())) {
                self.set(Word::Flag(flag));
            } else if !in_comment && let Some(other) = other(word) {
                self.set(Word::Other(other));
            }
            text = rest;
        }
    }

    fn set(&mut self, word: Word) {
        match self.0.iter_mut().find(|known| known.is_same_option(&word)) {
            Some(known) => *known = word,
            None => self.0.push(word),
        }
    }
}

impl Word {
    fn is_same_option(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one, _), Self::Number(two, _)) => one == two,
            _ => self == other,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(name, value) => write!(f, "{name}:{value}"),
            Self::Flag(name) => f.write_str(name),
            Self::Other(word) => f.write_str(word),
        }
    }
}

/// The option with a number that a word begins with, and the maximum of the number.
fn numbered(word: &[u8]) -> Option<(&'static str, i64)> {
    let begins = |name: &str| word.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
    NUMBERED_OPTIONS.into_iter().find(|(name, _)| begins(name)).map(|(name, most)| (name, i64::from(most)))
}

/// Returns a word that glibc does not know as it stands, where it can be an option: visible ASCII that begins with a
/// letter.
fn other(word: &[u8]) -> Option<String> {
    let can_be = word.first().is_some_and(u8::is_ascii_alphabetic) && word.iter().all(u8::is_ascii_graphic);
    can_be.then(|| word.iter().copied().map(char::from).collect())
}

/// `atoi` of glibc: `strtol` with its bounds, cut to 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "glibc cuts here too, and its result is wanted")]
fn atoi(text: &[u8]) -> i32 {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let (_, text) = text.split_at(start);
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let value =
        digits.fold(0i64, |value, digit| value.saturating_mul(10).saturating_add(sign * i64::from(digit - b'0')));
    value as i32
}
