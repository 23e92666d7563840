//! Which words may stand in the file: names of domains, and resolver options as glibc takes them. Pure.

use crate::glibc::NUMBERED_OPTIONS;
use crate::kubelet_limits as limits;

/// The most of numbers that glibc does not know.
const MOST_OF_OTHERS: u32 = 65_535;
/// Options that hold for the way to a stub on loopback alone: `trust-ad` because nobody is in between, `use-vc` because
/// TCP costs nothing there, `rotate` and `inet6` for what its list or its answers needed.
const FOR_STUB: [&str; 4] = ["trust-ad", "use-vc", "rotate", "inet6"];

/// A sound option.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// To be written as it is.
    Plain,
    /// To be written as this, the most that glibc takes.
    Clamped(String),
}

/// The domain without its last dot, or what is wrong with it.
pub(super) fn domain(text: &str) -> Result<&str, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err("the root is not a domain to search; kubelet and older C libraries fail on it");
    }
    if name.len() > limits::NAME {
        return Err("a name has 253 characters at most");
    }
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    for label in name.split('.') {
        if label.is_empty() || label.len() > limits::LABEL {
            return Err("each label has 1 to 63 characters");
        }
        if !label.bytes().all(sound) {
            return Err("a label has letters, digits, \"-\" and \"_\" only");
        }
    }
    Ok(name)
}

/// Whether the option was meant for a stub on loopback.
pub(super) fn is_for_stub(text: &str) -> bool {
    FOR_STUB.contains(&text)
}

/// The option as glibc takes it, or what is wrong with it. Options that we do not know are let through: C libraries
/// learn new ones and skip those that they do not know.
pub(super) fn option(text: &str) -> Result<Word, &'static str> {
    let (name, number) = match text.split_once(':') {
        Some((name, number)) => (name, Some(number)),
        None => (text, None),
    };
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if !(1..=limits::OPTION_NAME).contains(&name.len()) || !name.bytes().all(sound) {
        return Err("it is not an option of resolv.conf(5)");
    }
    let Some(number) = number else { return Ok(Word::Plain) };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("what follows the \":\" is not a number");
    }
    let most = NUMBERED_OPTIONS.iter().find(|(known, _)| *known == name).map_or(MOST_OF_OTHERS, |(_, most)| *most);
    // A number too long for u32 is above the most as well.
    if number.parse::<u32>().is_ok_and(|number| number <= most) {
        return Ok(Word::Plain);
    }
    Ok(Word::Clamped(format!("{name}:{most}")))
}
