//! Man pages of section 8: onward(8) and one for each command, as onward-check(8), all from the command line's own
//! help.

use std::io::Error;

use clap::Command;
use clap_mangen::Man;
use roff::Roff;

use crate::Generated;
use crate::page::{Title, example, finished, section, term, text};

/// Pages of others that a reader of onward(8) may want next.
const OTHERS: [&str; 4] = ["onward.toml(5)", "journalctl(1)", "resolv.conf(5)", "systemctl(1)"];

/// Writes the page of the program and those of its commands.
///
/// # Errors
/// Never: they are written into memory.
pub(crate) fn generate(command: &Command, date: &str) -> Result<Vec<Generated>, Error> {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let version = command.get_version().unwrap_or_default().to_owned();
    let mut all = vec![page(&command, &version, date)?];
    for sub in shown(&command) {
        all.push(page(sub, &version, date)?);
    }
    Ok(all)
}

/// Returns the commands that people call; others are for units, and have no page.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

/// Writes one page: what clap_mangen makes of the command, then the sections that stand below the options in its help.
fn page(command: &Command, version: &str, date: &str) -> Result<Generated, Error> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let title = Title { name, section: "8", date, version };
    let mut roff = Roff::new();
    title.write(&mut roff);
    let mut content = roff.to_roff().into_bytes();

    let man = Man::new(command.clone()).section("8");
    man.render_name_section(&mut content)?;
    man.render_synopsis_section(&mut content)?;
    man.render_description_section(&mut content)?;
    man.render_options_section(&mut content)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut content)?;
    }

    let mut roff = Roff::new();
    let below = command.get_after_long_help().or_else(|| command.get_after_help());
    sections(&mut roff, &below.map(ToString::to_string).unwrap_or_default());
    section(&mut roff, "See also");
    text(&mut roff, &see_also(command, name));
    content.extend(roff.to_roff().into_bytes());
    Ok(Generated { path: title.path(), content: finished(&String::from_utf8_lossy(&content)) })
}

/// Returns the pages that are named at the end: of the program those of its commands, of a command that of the program.
fn see_also(command: &Command, name: &str) -> String {
    let own: Vec<String> = if command.has_subcommands() {
        shown(command).map(|sub| format!("`{name}-{}`(8)", sub.get_name())).collect()
    } else {
        vec!["`onward`(8)".to_owned()]
    };
    let others = OTHERS.map(|page| page.replacen('(', "`(", 1)).map(|page| format!("`{page}"));
    own.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

/// Writes the text below the options of a help as sections: "Files:" begins one, and so does "Example: onward check",
/// with its text behind the colon. Indented lines are terms with their meanings where two blanks part them, else
/// examples.
fn sections(roff: &mut Roff, help: &str) {
    let mut examples: Vec<&str> = Vec::new();
    for line in help.lines() {
        if let Some(indented) = line.strip_prefix("  ") {
            match indented.split_once("  ") {
                Some((what, meaning)) => term(roff, what, &[meaning.trim()]),
                None => examples.push(indented),
            }
            continue;
        }
        flush(roff, &mut examples);
        match line.split_once(':') {
            Some((heading, rest)) => {
                section(roff, heading);
                match rest.trim() {
                    "" => {}
                    command if command.starts_with("onward ") => example(roff, &[command]),
                    other => text(roff, other),
                }
            }
            None => text(roff, line),
        }
    }
    flush(roff, &mut examples);
}

/// Writes the examples that were gathered, if there are any.
fn flush(roff: &mut Roff, examples: &mut Vec<&str>) {
    if !examples.is_empty() {
        example(roff, examples);
        examples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use onward::commands::CommandLine;

    fn pages() -> Vec<(String, String)> {
        let files = generate(&CommandLine::command(), "2026-01-31").unwrap();
        files.into_iter().map(|file| (file.path, String::from_utf8(file.content).unwrap())).collect()
    }

    #[test]
    fn every_command_has_a_page_that_onward_8_names() {
        let pages = pages();
        let (path, main) = &pages[0];
        assert_eq!(path, "usr/share/man/man8/onward.8");
        let command = CommandLine::command();
        for sub in shown(&command) {
            let name = format!("onward-{}", sub.get_name());
            assert!(pages.iter().any(|(path, _)| *path == format!("usr/share/man/man8/{name}.8")), "{name}");
            assert!(main.contains(&format!("\\fB{}\\fR(8)", name.replace('-', "\\-"))), "{name} in {main}");
        }
    }

    #[test]
    fn a_page_has_every_flag_of_its_command() {
        let pages = pages();
        for sub in shown(&CommandLine::command()) {
            let (_, text) =
                pages.iter().find(|(path, _)| path.ends_with(&format!("onward-{}.8", sub.get_name()))).unwrap();
            let arguments = sub.get_arguments().filter(|argument| !argument.is_hide_set());
            for flag in arguments.filter_map(|argument| argument.get_long()) {
                assert!(text.contains(&format!("\\-\\-{}", flag.replace('-', "\\-"))), "--{flag} in {text}");
            }
        }
    }

    #[test]
    fn what_stands_below_the_options_becomes_sections() {
        let mut roff = Roff::new();
        sections(
            &mut roff,
            "Files:\n  /run/x  what it is\nExamples:\n  onward a\n  onward b\nExample: onward c\nNote: some text",
        );
        let expected = ".SH FILES\n.TP\n\\fB/run/x\\fR\nwhat it is\n\
                        .SH EXAMPLES\n.EX\n    onward a\n    onward b\n.EE\n\
                        .SH EXAMPLE\n.EX\n    onward c\n.EE\n.SH NOTE\nsome text\n";
        assert_eq!(roff.to_roff(), expected);
    }
}
