//! `onward flush`: has the daemon forget responses.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{Failure, daemon};
use crate::control::client;

/// `onward flush`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Forget what is in the cache: of a name, of all names below one, or all",
    long_about = "Forget what is in the cache: the responses for a name, for a name and all names below it, or all.\n\nWhat \
                  is forgotten serves no more, not even where no upstream answers. For root, and for the user that Onward \
                  runs as.",
    after_help = "Examples:\n  onward flush www.example.com\n  onward flush --suffix corp.example\n  onward flush --all"
)]
#[command(group(clap::ArgGroup::new("names").required(true)))]
pub struct FlushArgs {
    /// Forget the responses for this name
    #[arg(value_name = "NAME", group = "names")]
    pub name: Option<String>,
    /// Forget the responses for this name and for all below it
    #[arg(long, value_name = "NAME", group = "names")]
    pub suffix: Option<String>,
    /// Forget all responses
    #[arg(long, group = "names")]
    pub all: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Ask the daemon here, instead of where the configuration says
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Flushed {
    forgotten: u64,
}

/// Does it.
pub(super) fn run(args: &FlushArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let FlushArgs { name, suffix, all: _, json, control_socket } = args;
    let parameters = json!({ "name": name, "suffix": suffix });
    let socket = daemon::socket(control_socket.as_deref());
    let Flushed { forgotten } = client::call(&socket, "Flush", parameters)?;
    if *json {
        writeln!(out, "{}", json!({ "forgotten": forgotten }))?;
    } else {
        writeln!(out, "forgot {forgotten} response{}", if forgotten == 1 { "" } else { "s" })?;
    }
    Ok(())
}
