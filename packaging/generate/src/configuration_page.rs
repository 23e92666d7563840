//! The man page onward.toml(5), from the template of the configuration: its comments are the text, its lines the
//! options.
//!
//! That the template has every option with its default is tested with the daemon (`config/tests.rs`).

use roff::Roff;

use crate::Generated;
use crate::page::{Title, finished, section, term, text};

/// What stands together in the template, without an empty line between.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block<'a> {
    /// The table that begins here, without brackets.
    table: Option<&'a str>,
    /// The comment, in its order.
    parts: Vec<Part>,
    /// The options that the comment is about, each with its default: `ttl_min = "0s"`.
    options: Vec<&'a str>,
}

/// A piece of a comment.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Running text, in one line.
    Paragraph(String),
    /// An indented line: what may be written, and what it means.
    Choice(String, String),
}

/// Writes the page.
pub(crate) fn generate(template: &str, version: &str, date: &str) -> Generated {
    let title = Title { name: "onward.toml", section: "5", date, version };
    let mut roff = Roff::new();
    title.write(&mut roff);
    section(&mut roff, "Name");
    text(&mut roff, "onward.toml - the configuration of Onward, the resolver of a Kubernetes node");
    section(&mut roff, "Synopsis");
    text(&mut roff, "`/etc/onward/onward.toml`, `/etc/onward/onward.toml.d/*.toml`, `/usr/lib/onward/*.toml`");
    section(&mut roff, "Description");
    let blocks = blocks(template);
    let (introduction, options): (Vec<_>, Vec<_>) =
        blocks.iter().partition(|block| block.options.is_empty() && block.table.is_none());
    for block in introduction {
        paragraphs(&mut roff, &block.parts);
    }
    section(&mut roff, "Options");
    for block in options {
        option(&mut roff, block);
    }
    section(&mut roff, "See also");
    text(&mut roff, "`onward`(8), `onward-check`(8)");
    Generated { path: title.path(), content: finished(&roff.to_roff()) }
}

/// Reads the template.
fn blocks(template: &str) -> Vec<Block<'_>> {
    template.split("\n\n").map(block).filter(|block| *block != Block::default()).collect()
}

/// Reads what stands together.
fn block(lines: &str) -> Block<'_> {
    let mut block = Block::default();
    let mut running = String::new();
    for line in lines.lines() {
        if let Some(table) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            block.table = Some(table);
        } else if let Some(option) =
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        {
            block.options.push(option);
        } else if let Some(indented) = line.strip_prefix("#   ") {
            end(&mut running, &mut block.parts);
            add_choice(indented, &mut block.parts);
        } else {
            match line.strip_prefix("# ") {
                Some(more) if running.is_empty() => running.push_str(more),
                Some(more) => running.extend([" ", more]),
                None => end(&mut running, &mut block.parts),
            }
        }
    }
    end(&mut running, &mut block.parts);
    block
}

/// Ends a paragraph. Does nothing between two.
fn end(running: &mut String, parts: &mut Vec<Part>) {
    if !running.is_empty() {
        parts.push(Part::Paragraph(std::mem::take(running)));
    }
}

/// Adds an indented line: a choice and its meaning, parted by two blanks, or more of the meaning before.
fn add_choice(indented: &str, parts: &mut Vec<Part>) {
    match (indented.split_once("  "), parts.last_mut()) {
        (Some((what, meaning)), _) if !what.is_empty() => {
            parts.push(Part::Choice(what.to_owned(), meaning.trim().to_owned()));
        }
        (_, Some(Part::Choice(_, meaning))) => meaning.extend([" ", indented.trim()]),
        _ => parts.push(Part::Paragraph(indented.trim().to_owned())),
    }
}

/// Writes the options of a block, one under the other, and what the block says of them.
fn option(roff: &mut Roff, block: &Block<'_>) {
    if let Some(table) = block.table {
        roff.control("SS", [format!("[{table}]").as_str()]);
    }
    for (place, option) in block.options.iter().enumerate() {
        roff.control(if place == 0 { "TP" } else { "TQ" }, []);
        text(roff, &format!("`{option}`"));
    }
    let mut nested = false;
    for (place, part) in block.parts.iter().enumerate() {
        let is_choice = matches!(part, Part::Choice(..));
        if is_choice != nested {
            roff.control(if is_choice { "RS" } else { "RE" }, []);
            nested = is_choice;
        }
        match part {
            Part::Choice(what, meaning) => term(roff, what, &[meaning]),
            Part::Paragraph(words) => {
                if place > 0 {
                    roff.control("IP", []);
                }
                text(roff, words);
            }
        }
    }
    if nested {
        roff.control("RE", []);
    }
}

/// Writes a comment that belongs to no option.
fn paragraphs(roff: &mut Roff, parts: &[Part]) {
    for (place, part) in parts.iter().enumerate() {
        match part {
            Part::Choice(what, meaning) => term(roff, what, &[meaning]),
            Part::Paragraph(words) => {
                if place > 0 {
                    roff.control("PP", []);
                }
                text(roff, words);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "# Every option.\n#\n# Second paragraph,\n# in two lines.\n\n\
                         # Where, one of\n#   \"node\"   the node,\n#            found by itself\n# Not loopback.\n\
                         #listen = [\"node\"]\n\n\
                         [cache]\n# Bounds.\n#ttl_min = \"0s\"\n#ttl_max = \"1d\"\n";

    #[test]
    fn the_template_is_read_in_blocks() {
        let choice = Part::Choice("\"node\"".into(), "the node, found by itself".into());
        let paragraph = |words: &str| Part::Paragraph(words.into());
        let expected = [
            Block {
                parts: vec![paragraph("Every option."), paragraph("Second paragraph, in two lines.")],
                ..Block::default()
            },
            Block {
                parts: vec![paragraph("Where, one of"), choice, paragraph("Not loopback.")],
                options: vec!["listen = [\"node\"]"],
                table: None,
            },
            Block {
                table: Some("cache"),
                parts: vec![paragraph("Bounds.")],
                options: vec!["ttl_min = \"0s\"", "ttl_max = \"1d\""],
            },
        ];
        assert_eq!(blocks(SMALL), expected);
    }

    #[test]
    fn the_page_has_every_option_in_its_table_with_the_words_of_the_template() {
        let file = generate(crate::TEMPLATE, "1.2.3", "2026-01-31");
        let page = String::from_utf8(file.content).unwrap();
        // roff writes a hyphen and a dash of options differently, and a line break where a sentence ends.
        let plain =
            |text: &str| text.replace("\\-", "-").replace("\\&", "").replace("\\(aq", "'").replace(['\n', '`'], " ");
        let mut tables = 0;
        for line in crate::TEMPLATE.lines() {
            if line.starts_with('[') {
                tables += 1;
                assert!(page.contains(&format!(".SS {line}")), "{line}");
            } else if let Some(option) =
                line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
            {
                assert!(plain(&page).contains(option), "{option} in {page}");
            }
        }
        assert!(tables >= 6, "{tables}");
        assert!(page.contains("RFC 8767"));
    }

    #[test]
    fn choices_stand_below_their_option() {
        let file = generate(SMALL, "1.2.3", "2026-01-31");
        let page = String::from_utf8(file.content).unwrap();
        let expected = ".TP\n\\fBlisten = [\"node\"]\\fR\nWhere, one of\n.RS\n.TP\n\\fB\"node\"\\fR\nthe node, found by itself\n.RE\n\
                        .IP\nNot loopback.\n.SS [cache]\n.TP\n\\fBttl_min = \"0s\"\\fR\n.TQ\n\\fBttl_max = \"1d\"\\fR\nBounds.\n";
        assert!(page.contains(expected), "{page}");
    }
}
