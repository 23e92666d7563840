//! The difference of two texts, as one block of lines: what `--diff` shows, and what is taken out again where other
//! lines of the file were changed since. Pure.
//!
//! All that Onward changes in a file is in one place, so that one block says everything.

use std::fmt::Write as _;

/// Number of equal lines that are shown around a block.
const CONTEXT: usize = 3;

/// The block in which two texts differ. Lines have their ends.
#[derive(Debug, PartialEq, Eq)]
struct Block<'a> {
    /// Equal lines before it.
    before: &'a [&'a str],
    /// What the first text has there.
    removed: &'a [&'a str],
    /// What the second text has there.
    added: &'a [&'a str],
    /// Equal lines after it.
    after: &'a [&'a str],
}

impl<'a> Block<'a> {
    fn between(first: &'a [&'a str], second: &'a [&'a str]) -> Self {
        let same = first.iter().zip(second).take_while(|(one, other)| one == other).count();
        let (before, first) = first.split_at(same);
        let second = second.get(same..).unwrap_or_default();
        let same = first.iter().rev().zip(second.iter().rev()).take_while(|(one, other)| one == other).count();
        let (removed, after) = first.split_at(first.len() - same);
        let added = second.get(..second.len() - same).unwrap_or_default();
        Self { before, removed, added, after }
    }
}

/// Returns the difference in the unified form (diff(1), `-u`), without the names of files; nothing where they are
/// equal.
#[must_use]
pub(super) fn unified(first: &str, second: &str) -> String {
    let (first, second) = (lines(first), lines(second));
    let Block { before, removed, added, after } = Block::between(&first, &second);
    if removed.is_empty() && added.is_empty() {
        return String::new();
    }
    let skipped = before.len().saturating_sub(CONTEXT);
    let before = before.get(skipped..).unwrap_or_default();
    let after = after.get(..CONTEXT.min(after.len())).unwrap_or_default();
    let around = before.len() + after.len();
    // A side without a line has the number of the line before it.
    let range = |own: usize| match around + own {
        0 => "0,0".to_owned(),
        number => format!("{},{number}", skipped + 1),
    };
    let mut text = format!("@@ -{} +{} @@\n", range(removed.len()), range(added.len()));
    for (sign, lines) in [(' ', before), ('-', removed), ('+', added), (' ', after)] {
        for line in lines {
            let _ = write!(text, "{sign}{line}");
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    text
}

/// Takes out of `now` what made `after` of `before`, where other lines were changed since. `None` where those lines are
/// not there any more, or more than once.
#[must_use]
pub(super) fn undo(before: &str, after: &str, now: &str) -> Option<String> {
    let (before, after, now) = (lines(before), lines(after), lines(now));
    let Block { removed, added, .. } = Block::between(&before, &after);
    if added.is_empty() {
        return None;
    }
    let mut places = now.windows(added.len()).enumerate().filter(|(_, lines)| *lines == added);
    let (place, _) = places.next()?;
    if places.next().is_some() {
        return None;
    }
    let (start, rest) = now.split_at(place);
    let end = rest.get(added.len()..)?;
    Some([start, removed, end].concat().concat())
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_with_three_lines_around() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        assert_eq!(
            unified(before, &before.replace("5\n", "five\nV\n")),
            "@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-5\n+five\n+V\n 6\n 7\n 8\n"
        );
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
        assert_eq!(unified("a", "a\n"), "@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n");
        assert_eq!(unified(before, before), "");
    }

    #[test]
    fn what_was_put_in_is_taken_out_whatever_was_changed_elsewhere() {
        let (before, after) = ("a\nb\nc\n", "a\nB\nc\n");
        assert_eq!(undo(before, after, after).as_deref(), Some(before));
        assert_eq!(undo(before, after, "x\na\nB\nc\nd\n").as_deref(), Some("x\na\nb\nc\nd\n"));
        assert_eq!(undo("a\n", "a\nours\n", "a\nz\nours\n").as_deref(), Some("a\nz\n"));
        assert_eq!(undo("", "ours\n", "ours\nmore\n").as_deref(), Some("more\n"));
        for now in ["a\nb\nc\n", "B\na\nB\n", "a\nBB\nc\n", ""] {
            assert_eq!(undo(before, after, now), None, "{now:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn undoing_gives_back_what_was_there(before in "[ab\n]{0,12}", after in "[abc\n]{0,12}") {
            let undone = undo(&before, &after, &after);
            proptest::prop_assert!(undone.is_none_or(|text| text == before || after.matches(&*before).count() != 1));
        }
    }
}
