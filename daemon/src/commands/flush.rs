//! `onward flush`: has the daemon forget responses.

use std::io::Write;

use serde::Deserialize;
use serde_json::json;

use super::{Failure, FlushArgs, daemon};
use crate::control::client;

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
