//! Shell patterns with bash's extended groups, as Debian's `interface-order` uses them: `eth*([^.]).@(dhclient|pump)`.
//!
//! Written for short names and the patterns of an administrator, not for hostile ones: it tries all ways.

/// Whether the whole of `name` matches.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    whole(pattern.as_bytes(), name.as_bytes())
}

fn whole(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], _) => name.is_empty(),
        ([kind @ (b'?' | b'*' | b'+' | b'@' | b'!'), b'(', body @ ..], _) => group(*kind, pattern, body, name),
        ([b'*', rest @ ..], _) => splits(name).any(|(_, tail)| whole(rest, tail)),
        ([b'?', rest @ ..], [_, tail @ ..]) => whole(rest, tail),
        ([b'[', body @ ..], [first, tail @ ..]) => match class(body, *first) {
            Some((hit, rest)) => hit && whole(rest, tail),
            None => *first == b'[' && whole(body, tail),
        },
        ([one, rest @ ..], [first, tail @ ..]) => one == first && whole(rest, tail),
        (_, []) => false,
    }
}

/// `pattern` begins with `kind(body`.
fn group(kind: u8, pattern: &[u8], body: &[u8], name: &[u8]) -> bool {
    let Some((alternatives, rest)) = alternatives(body) else { return false };
    let one = |head: &[u8]| alternatives.iter().any(|alternative| whole(alternative, head));
    let mut splits = splits(name);
    match kind {
        b'@' => splits.any(|(head, tail)| one(head) && whole(rest, tail)),
        b'!' => splits.any(|(head, tail)| !one(head) && whole(rest, tail)),
        b'?' => whole(rest, name) || splits.any(|(head, tail)| one(head) && whole(rest, tail)),
        b'+' => {
            splits.any(|(head, tail)| one(head) && (whole(rest, tail) || (!head.is_empty() && whole(pattern, tail))))
        }
        _ => whole(rest, name) || splits.any(|(head, tail)| !head.is_empty() && one(head) && whole(pattern, tail)),
    }
}

/// The alternatives of a group, and what follows its end.
fn alternatives(body: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut depth = 0usize;
    let mut found = Vec::new();
    let mut start = 0;
    for (index, byte) in body.iter().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => {
                found.push(body.get(start..index)?);
                return Some((found, body.get(index + 1..)?));
            }
            b')' => depth -= 1,
            b'|' if depth == 0 => {
                found.push(body.get(start..index)?);
                start = index + 1;
            }
            _ => {}
        }
    }
    None
}

/// Whether `byte` is in the class that `body` begins with, and what follows the class; nothing where it has no end.
fn class(body: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, body) = match body {
        [b'^' | b'!', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    // A bracket that comes first is one of the class.
    let end = body.iter().skip(1).position(|byte| *byte == b']')? + 1;
    let (mut members, rest) = (body.get(..end)?, body.get(end + 1..)?);
    let mut hit = false;
    while let [first, more @ ..] = members {
        if let [b'-', last, after @ ..] = more {
            hit |= (*first..=*last).contains(&byte);
            members = after;
        } else {
            hit |= *first == byte;
            members = more;
        }
    }
    Some((hit != negated, rest))
}

fn splits(name: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    (0..=name.len()).map(|at| name.split_at(at))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_patterns_of_debians_interface_order_match_what_they_should() {
        for (pattern, name, expected) in [
            ("lo", "lo", true),
            ("lo", "lo.inet", false),
            ("lo.@(dnsmasq|pdnsd)", "lo.dnsmasq", true),
            ("lo.@(dnsmasq|pdnsd)", "lo.named", false),
            ("lo.!(pdns|pdns-recursor)", "lo.named", true),
            ("lo.!(pdns|pdns-recursor)", "lo.pdns", false),
            ("tun*", "tun0.openvpn", true),
            ("em+([0-9])?(_+([0-9]))*", "em1_2.dhclient", true),
            ("em+([0-9])?(_+([0-9]))*", "em.dhclient", false),
            ("eth*([^.]).inet6", "eth0.inet6", true),
            ("eth*([^.]).inet6", "eth0.1.inet6", false),
            ("@(br|eth)*([^.]).@(dhclient|pump)", "br0.dhclient", true),
            ("wlan[0-9]", "wlan3", true),
            ("wlan[!0-9]", "wlan3", false),
            ("wg[0-9", "wg[0-9", true),
            ("@(a|b", "a", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(super::matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
