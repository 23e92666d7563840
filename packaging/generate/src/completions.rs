//! Completions of the command line for bash, zsh and fish.

use clap::Command;
use clap_complete::{Shell, generate as complete};

use crate::Generated;

/// Shells, and where the makers of each want the completions of a package.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "usr/share/bash-completion/completions/onward"),
    (Shell::Zsh, "usr/share/zsh/site-functions/_onward"),
    (Shell::Fish, "usr/share/fish/vendor_completions.d/onward.fish"),
];

/// Writes the completions of each shell. Commands that are hidden from people are none of their words.
pub(crate) fn generate(command: &Command) -> Vec<Generated> {
    let mut visible = Command::new("onward")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(command.get_arguments())
        .subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()));
    let mut of_one = |(shell, path): (Shell, &str)| {
        let mut content = Vec::new();
        complete(shell, &mut visible, "onward", &mut content);
        Generated { path: path.to_owned(), content }
    };
    SHELLS.into_iter().map(&mut of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use onward::commands::CommandLine;

    #[test]
    fn each_shell_completes_every_command_and_flag() {
        let command = CommandLine::command();
        let files = generate(&command);
        for file in &files {
            let text = std::str::from_utf8(&file.content).unwrap();
            for sub in command.get_subcommands() {
                // As bash, zsh and fish have it; a flag's help may have the word, too.
                let name = sub.get_name();
                let forms = [format!("onward,{name})"), format!("'{name}:"), format!("-a \"{name}\"")];
                let is_offered = forms.iter().any(|form| text.contains(form));
                assert_eq!(is_offered, !sub.is_hide_set(), "{name} in {}", file.path);
                if !is_offered {
                    continue;
                }
                for flag in sub.get_arguments().filter_map(|argument| argument.get_long()) {
                    assert!(text.contains(flag), "{} lacks --{flag} of {}", file.path, sub.get_name());
                }
            }
        }
        assert_eq!(files.len(), 3);
    }
}
