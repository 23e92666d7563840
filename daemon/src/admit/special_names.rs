//! Names that are answered here and never forwarded, since only the resolver that a client talks to may speak for them.
//!
//! Names that are home to a loop guard (probes) are `guard`'s.

use crate::wire::name;

/// The wire form of `resolver.arpa.`, lower-cased.
const RESOLVER_ARPA: &[u8] = b"\x08resolver\x04arpa\0";

/// Returns whether a client asks its resolver about itself: `resolver.arpa` and the names under it, as
/// `_dns.resolver.arpa`.
///
/// A forwarder does not forward these (RFC 9462, section 6.1): the client would take the designation of the upstream
/// for that of the forwarder. `name` is the lower-cased wire form.
#[must_use]
pub(crate) fn is_about_the_resolver(name: &[u8]) -> bool {
    name.ends_with(RESOLVER_ARPA) && name::is_within(name, RESOLVER_ARPA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::wire;

    #[test]
    fn resolver_arpa_and_the_names_under_it_are_not_forwarded() {
        for (text, is) in [
            ("_dns.resolver.arpa", true),
            ("resolver.arpa", true),
            ("arpa", false),
            ("aresolver.arpa", false),
            ("resolver.arpa.example", false),
            ("10.in-addr.arpa", false),
            ("", false),
        ] {
            assert_eq!(is_about_the_resolver(&wire(text)), is, "{text}");
        }
    }
}
