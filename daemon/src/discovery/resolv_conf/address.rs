//! The address of a `nameserver` line, as glibc's `inet_aton`, `inet_pton` and its scope reader take it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::upstream::Server;
use crate::upstream::server::DNS_PORT;

/// One word to a server; nothing where glibc would take none.
pub(super) fn parse(word: &[u8]) -> Option<Server> {
    if let Some(ip) = ipv4(word) {
        return Some(Server::new(ip.into(), DNS_PORT));
    }
    let text = std::str::from_utf8(word.split(|byte| *byte == b'%').next()?).ok()?;
    let ip: Ipv6Addr = text.parse().ok()?;
    let scope = word.get(text.len() + 1..).and_then(|scope| scope_of(ip, scope));
    Some(Server::scoped(IpAddr::V6(ip), scope.unwrap_or_default(), DNS_PORT))
}

/// A scope that glibc honours: a number anywhere, a name on link-local addresses only. Whether the interface exists is
/// not asked here, since it may come later.
fn scope_of(ip: Ipv6Addr, scope: &[u8]) -> Option<&str> {
    let scope = std::str::from_utf8(scope).ok()?;
    if let Ok(number) = scope.parse::<u32>() {
        return (number != 0 && scope.starts_with(|first: char| first.is_ascii_digit())).then_some(scope);
    }
    // RFC 4291, section 2.7: ff01::/16 and ff02::/16, whatever the flags.
    let local_multicast = ip.is_multicast() && matches!(ip.octets()[1] & 0x0f, 1 | 2);
    let may_be_a_name = !scope.is_empty() && scope.len() < 16;
    (may_be_a_name && (ip.is_unicast_link_local() || local_multicast)).then_some(scope)
}

/// `inet_aton`: one to four numbers, each decimal, octal (`0`) or hexadecimal (`0x`), the last of which fills what is
/// left. So `010.0.0.1` is 8.0.0.1 and `10.1` is 10.0.0.1.
fn ipv4(word: &[u8]) -> Option<Ipv4Addr> {
    let mut parts = word.split(|byte| *byte == b'.').map(number);
    let mut address = 0u32;
    let mut last = parts.next()??;
    let mut left = 32;
    for part in parts {
        left -= 8;
        if left == 0 || last > 0xff {
            return None;
        }
        address |= last << left;
        last = part?;
    }
    let fits = left == 32 || last >> left == 0;
    fits.then(|| Ipv4Addr::from(address | last))
}

/// `strtoul` with base 0, on a word that begins with a digit and is all number.
fn number(text: &[u8]) -> Option<u32> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let (digits, base) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, base).ok()
}
