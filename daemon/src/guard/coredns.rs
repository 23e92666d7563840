//! Recognises the loop probe of CoreDNS, so that CoreDNS beside us stays up.
//!
//! Its `loop` plugin sends itself one random HINFO question at start and exits when it sees it a third time. Forwarded, each
//! resend and each further upstream would add a sighting; so the question ends here.

use crate::wire::rtype;

/// The plugin's labels are random numbers of 62 bits: up to 19 digits, and hardly ever fewer than 10.
const DIGITS: std::ops::RangeInclusive<usize> = 10..=19;

/// Whether `name` (lower-cased, as on the wire) and `qtype` are such a probe: HINFO, and the first two labels are numbers of
/// 10 to 19 digits, whatever follows them.
#[must_use]
pub fn is_probe(name: &[u8], qtype: u16) -> bool {
    fn number(name: &[u8]) -> Option<&[u8]> {
        let (&length, rest) = name.split_first()?;
        let (label, rest) = rest.split_at_checked(length.into())?;
        (DIGITS.contains(&label.len()) && label.iter().all(u8::is_ascii_digit)).then_some(rest)
    }
    qtype == rtype::HINFO && number(name).and_then(number).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_known_under_any_suffix_and_nothing_else_is() {
        let probe = b"\x135577006791947779410\x138674665223082153551\0";
        assert!(is_probe(probe, rtype::HINFO));
        assert!(is_probe(b"\x0a0123456789\x0a9876543210\x07cluster\x05local\0", rtype::HINFO));
        assert!(!is_probe(probe, 1));
        assert!(!is_probe(b"\x09123456789\x0a9876543210\0", rtype::HINFO));
        assert!(!is_probe(b"\x0a0123456789\x01a\x0a9876543210\0", rtype::HINFO));
        assert!(!is_probe(b"\0", rtype::HINFO));
    }
}
