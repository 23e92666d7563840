//! Names on the wire, as far as the guard looks into them: labels, parents, suffixes. Pure, bounds-checked.
//!
//! A name here is uncompressed (RFC 1035, section 3.1): length, label, …, and the zero of the root. Callers that
//! compare names lower-case them first; length bytes are below 64 and so below every letter, which lets a name be
//! treated as text.

use std::net::IpAddr;

use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::BinEncodable;

/// Maximum length of a name on the wire, in bytes (RFC 1035, section 2.3.4).
pub(crate) const NAME_MAX: usize = 255;
/// Maximum length of a label, in bytes (RFC 1035, section 2.3.4).
pub(crate) const LABEL_MAX: usize = 63;
/// Maximum length of a name as text, in characters without the last dot: of [`NAME_MAX`] less the first length and the
/// root's.
pub(crate) const TEXT_MAX: usize = NAME_MAX - 2;

/// The root, which every name is under.
pub(crate) const ROOT: &[u8] = &[0];

/// The first label of `name` and what follows it; none at the root and where the name is broken.
pub(crate) fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = name.split_first()?;
    if length == 0 || usize::from(length) > LABEL_MAX {
        return None;
    }
    rest.split_at_checked(usize::from(length))
}

/// The name without its first label; the root is its own parent.
pub(crate) fn parent(name: &[u8]) -> &[u8] {
    split(name).map_or(ROOT, |(_, rest)| rest)
}

/// Whether `name` is `suffix` or under it. Both are lower-cased.
pub(crate) fn is_within(name: &[u8], suffix: &[u8]) -> bool {
    if suffix == ROOT {
        return true;
    }
    let mut rest = name;
    loop {
        if rest == suffix {
            return true;
        }
        match split(rest) {
            Some((_, next)) => rest = next,
            None => return false,
        }
    }
}

/// The labels of a name, without the root.
pub(crate) fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (label, next) = split(rest)?;
        rest = next;
        Some(label)
    })
}

/// The address whose reverse name this is, in lower case (RFC 1035, section 3.5; RFC 3596, section 2.5); `None` for
/// other names, zones of reverse names among them.
pub(crate) fn reversed(name: &[u8]) -> Option<IpAddr> {
    let number = |label: &[u8], radix| u8::from_str_radix(std::str::from_utf8(label).ok()?, radix).ok();
    if let Some(octets) = name.strip_suffix(b"\x07in-addr\x04arpa\0") {
        let octets: Option<Vec<u8>> = labels(octets).map(|label| number(label, 10)).collect();
        let mut octets: [u8; 4] = octets?.try_into().ok()?;
        octets.reverse();
        return Some(octets.into());
    }
    let nibbles = name.strip_suffix(b"\x03ip6\x04arpa\0")?;
    let nibbles: Option<Vec<u8>> =
        labels(nibbles).map(|label| number(label, 16).filter(|_| label.len() == 1)).collect();
    let nibbles = nibbles.filter(|nibbles| nibbles.len() == 32)?;
    let bits = nibbles.iter().rev().fold(0_u128, |bits, nibble| bits << 4 | u128::from(*nibble));
    Some(bits.to_be_bytes().into())
}

/// Reads a name that a person wrote (RFC 1035, section 5.1), with or without its last dot. Returns its wire form,
/// lower-cased.
///
/// # Errors
/// Where it is empty, too long, or has letters beyond ASCII; with what is wrong.
pub(crate) fn of_text(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Err("it is empty; the root is a dot".to_owned());
    }
    if !text.is_ascii() {
        return Err("letters beyond ASCII are written as A-labels, which begin with xn-- (RFC 5890)".to_owned());
    }
    let name = Name::from_ascii(text).map_err(|error| error.to_string())?;
    name.to_lowercase().to_bytes().map_err(|error| error.to_string())
}

/// The wire form of a name that a test writes.
#[cfg(test)]
pub(crate) fn wire(text: &str) -> Vec<u8> {
    let mut name = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        name.push(u8::try_from(label.len()).unwrap());
        name.extend(label.as_bytes());
    }
    name.push(0);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_end_at_labels() {
        for (name, suffix, within) in [
            ("a.corp.example", "corp.example", true),
            ("corp.example", "corp.example", true),
            ("acorp.example", "corp.example", false),
            ("example", "corp.example", false),
            ("anything", "", true),
            ("", "", true),
            ("", "example", false),
        ] {
            assert_eq!(is_within(&wire(name), &wire(suffix)), within, "{name} under {suffix}");
        }
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        for (text, name) in [
            ("WWW.example", Ok(wire("www.example"))),
            ("www.example.", Ok(wire("www.example"))),
            (".", Ok(vec![0])),
            (r"a\.b.example", Ok(b"\x03a.b\x07example\0".to_vec())),
            ("_dns._udp.example", Ok(wire("_dns._udp.example"))),
            ("", Err(())),
            ("bücher.example", Err(())),
            ("a..example", Err(())),
        ] {
            assert_eq!(of_text(text).map_err(drop), name, "{text}");
        }
        assert!(of_text(&"a".repeat(64)).is_err() && of_text(&"a.".repeat(128)).is_err());
    }

    #[test]
    fn reverse_names_tell_their_address_and_zones_do_not() {
        let reverse = |text: &str| wire(Name::from(text.parse::<IpAddr>().unwrap()).to_ascii().trim_end_matches('.'));
        for text in ["10.0.0.7", "255.254.0.1", "fd00::7", "2001:db8::abcd"] {
            assert_eq!(reversed(&reverse(text)), text.parse().ok(), "{text}");
        }
        for text in
            ["0.0.10.in-addr.arpa", "1.7.0.0.10.in-addr.arpa", "256.0.0.10.in-addr.arpa", "www.example", "ip6.arpa"]
        {
            assert_eq!(reversed(&wire(text)), None, "{text}");
        }
    }

    #[test]
    fn broken_names_end_where_they_break() {
        assert_eq!(split(&[5, b'a']), None);
        assert_eq!(split(&[0xc0, 0x0c]), None);
        assert_eq!(parent(&[9, b'a']), ROOT);
        assert!(!is_within(&[9, b'a'], &wire("a")));
    }
}
