//! What every man page has: its title line, sections, lists of terms, examples, and text with its references set in
//! bold.

use roff::{Inline, Roff, bold, roman};

/// Maximum length of a line in the source of a page, in bytes; roff fills lines by itself, so that this changes no
/// page.
const LINE: usize = 79;

/// The words that begin a man page: which section it is in, as of when, of which version.
pub(crate) struct Title<'a> {
    /// The page's own, as in onward.toml(5).
    pub(crate) name: &'a str,
    /// The number of the manual's section.
    pub(crate) section: &'a str,
    /// As of when, in the form 2026-01-31.
    pub(crate) date: &'a str,
    /// Onward's.
    pub(crate) version: &'a str,
}

impl Title<'_> {
    /// Writes the title line, `.TH`.
    pub(crate) fn write(&self, roff: &mut Roff) {
        let source = format!("Onward {}", self.version);
        let title = self.name.to_uppercase();
        roff.control("TH", [title.as_str(), self.section, self.date, source.as_str(), "Onward"]);
    }

    /// Returns where the page is installed.
    pub(crate) fn path(&self) -> String {
        format!("usr/share/man/man{0}/{1}.{0}", self.section, self.name)
    }
}

/// Begins a section; its name in capital letters, as man pages have it.
pub(crate) fn section(roff: &mut Roff, name: &str) {
    roff.control("SH", [name.to_uppercase().as_str()]);
}

/// Adds a term and what it means.
pub(crate) fn term(roff: &mut Roff, term: &str, meaning: &[&str]) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    for line in meaning {
        text(roff, line);
    }
}

/// Adds lines that keep their breaks, such as commands.
pub(crate) fn example(roff: &mut Roff, lines: &[&str]) {
    roff.control("EX", []);
    for line in lines {
        roff.text([roman(format!("    {line}"))]);
    }
    roff.control("EE", []);
}

/// Adds a line of running text: each sentence begins a line of its own, as roff wants it, and what stands in `these` is
/// bold.
pub(crate) fn text(roff: &mut Roff, line: &str) {
    for sentence in sentences(line) {
        let mut inlines: Vec<Inline> = Vec::new();
        for (place, part) in sentence.split('`').enumerate() {
            match place % 2 {
                _ if part.is_empty() => {}
                0 => inlines.push(roman(part)),
                _ => inlines.push(bold(part)),
            }
        }
        roff.text(inlines);
    }
}

/// Returns the sentences of a text. Only what is followed by a capital letter or a quote ends one: "10.0.0.1, as in"
/// does not.
fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    let mut from = 0;
    while let Some(at) = rest.get(from..).and_then(|tail| tail.find(". ")).map(|at| at + from) {
        let (head, tail) = rest.split_at(at + 1);
        let tail_text = tail.trim_start();
        if tail_text.starts_with(|first: char| first.is_uppercase() || first == '"') {
            found.push(head);
            rest = tail_text;
            from = 0;
        } else {
            from = at + 2;
        }
    }
    found.push(rest);
    found
}

/// Returns the finished page: no blanks at the ends of lines, and no long lines but in examples, where breaks count.
pub(crate) fn finished(source: &str) -> Vec<u8> {
    let mut page = String::new();
    let mut is_example = false;
    for line in source.lines().map(str::trim_end) {
        match line {
            ".EX" => is_example = true,
            ".EE" => is_example = false,
            _ => {}
        }
        if is_example || line.starts_with('.') {
            page.push_str(line);
            page.push('\n');
        } else {
            wrap(line, &mut page);
        }
    }
    page.into_bytes()
}

/// Adds a line of text, broken where a word would pass the bound. A broken line may not begin as a request of roff
/// does.
fn wrap(line: &str, page: &mut String) {
    let mut length = 0;
    for word in line.split(' ') {
        if length > 0 && length + 1 + word.len() > LINE {
            page.push('\n');
            length = 0;
            if word.starts_with(['.', '\'']) {
                page.push_str("\\&");
                length = 2;
            }
        } else if length > 0 {
            page.push(' ');
            length += 1;
        }
        page.push_str(word);
        length += word.len();
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_blanks_except_in_examples() {
        let words = ["word"; 20].join(" ");
        let source = format!("{words} .and \n.EX\n    {words}\n.EE\n");
        let page = String::from_utf8(finished(&source)).unwrap();
        let short = ["word"; 15].join(" ");
        assert_eq!(page, format!("{short} word\n{} .and\n.EX\n    {words}\n.EE\n", ["word"; 4].join(" ")));
    }

    #[test]
    fn a_broken_line_is_no_request() {
        let page = String::from_utf8(finished(&format!("{} .and", "w".repeat(LINE - 1)))).unwrap();
        assert_eq!(page, format!("{}\n\\&.and\n", "w".repeat(LINE - 1)));
    }

    #[test]
    fn each_sentence_begins_a_line_and_names_in_backticks_are_bold() {
        let mut roff = Roff::new();
        text(
            &mut roff,
            "Run `onward check`, which tells. Then 10.0.0.1 or e.g. this is one sentence. \"node\" is another.",
        );
        let rendered = roff.to_roff();
        let expected = "Run \\fBonward check\\fR, which tells.\n\
                        Then 10.0.0.1 or e.g. this is one sentence.\n\"node\" is another.\n";
        assert_eq!(rendered, expected);
    }

    #[test]
    fn a_page_is_installed_in_the_folder_of_its_section() {
        let title = Title { name: "onward.toml", section: "5", date: "2026-01-31", version: "1.2.3" };
        assert_eq!(title.path(), "usr/share/man/man5/onward.toml.5");
        let mut roff = Roff::new();
        title.write(&mut roff);
        assert_eq!(roff.to_roff(), ".TH ONWARD.TOML 5 2026-01-31 \"Onward 1.2.3\" Onward\n");
    }
}
