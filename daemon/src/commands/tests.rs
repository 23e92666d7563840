//! The command line is read as its help says.

use super::*;
use clap::CommandFactory;

// The flags of one command by themselves. No doc comment: clap would take it for the help text.
#[derive(Debug, Parser)]
struct Flags<T: Args> {
    #[command(flatten)]
    args: T,
}

#[test]
fn the_definition_holds_together() {
    CommandLine::command().debug_assert();
}

#[test]
fn flags_become_overrides() {
    let line = "run --config a.toml --listen node --listen 10.0.0.1:5300 --upstream 9.9.9.9 --resolv-conf r --state-dir s \
                --log-level debug";
    let flags: Flags<RunArgs> = Flags::try_parse_from(line.split_whitespace()).unwrap();
    let overrides = flags.args.overrides();
    assert_eq!(overrides.config, Some("a.toml".into()));
    assert_eq!(overrides.listen, ["node", "10.0.0.1:5300"]);
    assert_eq!(overrides.upstream, ["9.9.9.9"]);
    assert_eq!((overrides.resolv_conf, overrides.state_dir), (Some("r".into()), Some("s".into())));
    assert_eq!(overrides.log_level.as_deref(), Some("debug"));

    let flags: Flags<DiscoverArgs> = Flags::try_parse_from(["discover", "--upstream", "9.9.9.9", "--json"]).unwrap();
    assert!(flags.args.json);
    assert_eq!(flags.args.overrides().upstream, ["9.9.9.9"]);
}

#[test]
fn every_help_has_an_example() {
    let mut commands = vec![CommandLine::command(), Flags::<RunArgs>::command(), Flags::<DiscoverArgs>::command()];
    commands.extend(CommandLine::command().get_subcommands().cloned());
    for mut command in commands {
        assert!(command.get_about().is_some() && command.get_long_about().is_some(), "{}", command.get_name());
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example") && help.contains("onward "), "{help}");
    }
}

#[test]
fn failures_have_the_codes_of_sysexits() {
    let text = String::new;
    let codes =
        [Failure::Usage(text()), Failure::Internal(text()), Failure::System(text()), Failure::Permission(text())];
    assert_eq!(codes.map(|failure| failure.code()), [64, 70, 71, 77]);
    let help = CommandLine::command().render_long_help().to_string();
    for code in [64, 70, 71, 74, 77, 78] {
        assert!(help.contains(&format!("\n  {code}  ")), "{code} in {help}");
    }
    let gone = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert!(gone.is_unread() && gone.code() == 74);
}
