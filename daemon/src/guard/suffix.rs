//! What names have in common. Names are lower-cased and in wire form, as in [`name`]. Pure.

use crate::wire::name;

/// Returns how many labels a name has; the root has none.
pub(super) fn labels(of: &[u8]) -> usize {
    std::iter::successors(name::split(of), |(_, rest)| name::split(rest)).count()
}

/// Returns the longest suffix that both names are under; the root where they have nothing in common.
pub(super) fn common<'n>(one: &'n [u8], other: &[u8]) -> &'n [u8] {
    let mut rest = one;
    while !name::is_within(other, rest) {
        rest = name::parent(rest);
    }
    rest
}

/// Returns the last two labels of a name: for most names the domain that one party registered, and the least that a
/// stranger has to own to make up further names.
pub(super) fn domain(of: &[u8]) -> &[u8] {
    let mut rest = of;
    for _ in 2..labels(of) {
        rest = name::parent(rest);
    }
    rest
}

/// Returns the ancestor of `of` that stands just below `suffix`; none where there is none.
pub(super) fn child_of<'n>(of: &'n [u8], suffix: &[u8]) -> Option<&'n [u8]> {
    let mut rest = of;
    while name::split(rest).is_some() {
        if name::parent(rest) == suffix {
            return Some(rest);
        }
        rest = name::parent(rest);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::wire;

    #[test]
    fn what_two_names_have_in_common_ends_at_labels() {
        for (one, other, shared) in [
            ("www.a.loop.example", "www.b.loop.example", "loop.example"),
            ("a.example", "example", "example"),
            ("anexample", "example", ""),
            ("a.corp", "a.example", ""),
            ("", "a", ""),
        ] {
            assert_eq!(common(&wire(one), &wire(other)), wire(shared), "{one} {other}");
        }
    }

    #[test]
    fn the_domain_of_a_name_is_its_last_two_labels() {
        for (of, is) in [("www.a.example", "a.example"), ("a.example", "a.example"), ("corp", "corp"), ("", "")] {
            assert_eq!(domain(&wire(of)), wire(is), "{of}");
        }
    }

    #[test]
    fn the_child_of_a_suffix_is_one_label_longer() {
        assert_eq!(child_of(&wire("x.a.example"), &wire("example")), Some(&wire("a.example")[..]));
        assert_eq!(child_of(&wire("x.a.example"), name::ROOT), Some(&wire("example")[..]));
        assert_eq!(child_of(&wire("example"), &wire("example")), None);
        assert_eq!(child_of(&wire("a.corp"), &wire("example")), None);
    }
}
