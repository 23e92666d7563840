//! Response codes and record types by the names that people know them by (IANA, "DNS RCODEs" and "Resource Record
//! TYPEs").

use hickory_proto::rr::RecordType;

use super::rcode;

/// The name of a response code, without the upper bits of EDNS.
#[must_use]
pub(crate) fn of_rcode(code: u8) -> String {
    match code {
        rcode::NOERROR => "NOERROR",
        rcode::FORMERR => "FORMERR",
        rcode::SERVFAIL => "SERVFAIL",
        rcode::NXDOMAIN => "NXDOMAIN",
        rcode::NOTIMP => "NOTIMP",
        rcode::REFUSED => "REFUSED",
        other => return format!("RCODE{other}"),
    }
    .to_owned()
}

/// The name of a record type; `TYPE` and its number where it has none (RFC 3597, section 5).
#[must_use]
pub(crate) fn of_type(number: u16) -> String {
    match RecordType::from(number) {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

/// Reads a record type: its name in any spelling, `TYPE` and its number, or its number alone.
pub(crate) fn type_of(text: &str) -> Option<u16> {
    let upper = text.to_ascii_uppercase();
    let number = upper.strip_prefix("TYPE").unwrap_or(&upper);
    number.parse().ok().or_else(|| upper.parse::<RecordType>().ok().map(u16::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_their_names_and_are_read_by_them() {
        for (text, number, name) in [
            ("a", 1, "A"),
            ("AAAA", 28, "AAAA"),
            ("https", 65, "HTTPS"),
            ("TYPE65280", 65280, "TYPE65280"),
            ("16", 16, "TXT"),
        ] {
            assert_eq!((type_of(text), of_type(number).as_str()), (Some(number), name));
        }
        assert_eq!((type_of("NOPE"), type_of(""), type_of("TYPE70000")), (None, None, None));
        assert_eq!([0, 3, 11].map(of_rcode), ["NOERROR", "NXDOMAIN", "RCODE11"]);
    }
}
