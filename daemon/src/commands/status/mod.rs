//! `onward status`: asks the daemon how things are and the addresses in the file for kubelet whether they answer, and
//! shows both. Where no daemon answers it says what can be said without one.
//!
//! How it looks is for [`text`], asking an address for [`reach`].

mod reach;
mod text;

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Failure, daemon};
use crate::clock;
use crate::control::client::AskError;
use crate::control::status::{Overall, Status};
use crate::discovery::resolv_conf;
use reach::Reach;
use text::Paint;

/// `onward status`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Show how things are: listeners, the file for kubelet, upstreams, cache, what is wrong",
    long_about = "Show how things are: what the daemon listens on, what it wrote for kubelet and whether the addresses in it \
                  answer, which servers it asks and how they do, what is remembered, and what is wrong.\n\nThe numbers of \
                  servers are of the last one to two minutes. The addresses in the file are asked by this command itself, \
                  over UDP and TCP, also where no daemon runs.",
    after_help = "Exit status: 0 all is well; 1 names are resolved, but something is wrong; 2 no DNS; 69 the daemon does not \
                  run, or is stuck\n\
                  Examples:\n  onward status\n  onward status --watch\n  \
                  onward status --json | jq '.upstreams[] | select(.state != \"up\")'"
)]
pub struct StatusArgs {
    /// Print one JSON object
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Ask the daemon here, instead of where the configuration says
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
}

/// Time between two looks of `--watch`.
const AGAIN: Duration = Duration::from_secs(2);
/// Maximum number of addresses of the file that are asked; kubelet takes three.
const ASKED_MOST: usize = 8;
/// Exit code where the daemon does not answer (EX_UNAVAILABLE of sysexits.h).
const UNAVAILABLE: u8 = 69;

/// The file for kubelet as it is on disk.
#[derive(Debug, Default, Serialize)]
struct FileOnDisk {
    path: String,
    /// Time since it was written; none where it is not there.
    age_seconds: Option<u64>,
    /// What it names, and whether that answers.
    addresses: Vec<Reach>,
}

/// What is shown.
struct Shown {
    daemon: Result<Status, AskError>,
    file: FileOnDisk,
}

/// Shows it, once or again and again.
pub(super) fn run(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let socket = daemon::socket(args.control_socket.as_deref());
    let is_terminal = std::io::stdout().is_terminal();
    let paint = Paint { colours: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    loop {
        let shown = look(&socket);
        if args.json {
            serde_json::to_writer_pretty(&mut *out, &shown.json()).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            let text = text::render(&shown, paint);
            // One write, and only what is left of longer lines is wiped out, so that nothing flickers (ECMA-48, CUP, EL
            // and ED).
            let frame = if args.watch && is_terminal {
                format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
            } else {
                text
            };
            out.write_all(frame.as_bytes())?;
        }
        out.flush()?;
        if !args.watch {
            return shown.code().map_or(Ok(()), |code| Err(Failure::Told(code)));
        }
        std::thread::park_timeout(AGAIN);
    }
}

fn look(socket: &Path) -> Shown {
    let daemon = daemon::status(socket);
    let path = match &daemon {
        Ok(status) => status.file.path.clone(),
        Err(_) => daemon::settings().resolv_conf.path.display().to_string(),
    };
    Shown::of(daemon, FileOnDisk::read(path))
}

impl FileOnDisk {
    /// Reads it, and asks what it names.
    fn read(path: String) -> Self {
        let Ok(content) = std::fs::read(&path) else { return Self { path, ..Self::default() } };
        let written = std::fs::metadata(&path).and_then(|file| file.modified());
        let age = written.ok().and_then(|at| clock::wall().duration_since(at).ok()).unwrap_or_default();
        let named = resolv_conf::parse(&content).nameservers;
        let addresses: Vec<IpAddr> = named.iter().map(|named| named.server.ip()).take(ASKED_MOST).collect();
        Self { path, age_seconds: Some(age.as_secs()), addresses: reach::ask_all(&addresses) }
    }
}

impl Shown {
    /// Adds to what the daemon says of itself which addresses of the file did not answer this command: then not all is
    /// well.
    fn of(mut daemon: Result<Status, AskError>, file: FileOnDisk) -> Self {
        if let Ok(status) = &mut daemon {
            let silent = file.addresses.iter().filter_map(|reach| reach.trouble(&file.path));
            let silent: Vec<String> = silent.collect();
            if status.state == Overall::Ok && !silent.is_empty() {
                status.state = Overall::Degraded;
            }
            status.troubles.extend(silent);
        }
        Self { daemon, file }
    }

    /// The exit code, where it is not 0.
    fn code(&self) -> Option<u8> {
        match &self.daemon {
            Err(AskError::NotAllowed(_)) => Some(77),
            Err(_) => Some(UNAVAILABLE),
            Ok(status) => match status.state {
                Overall::NoDns => Some(2),
                Overall::Degraded | Overall::Unknown => Some(1),
                Overall::Ok => None,
            },
        }
    }

    fn json(&self) -> Value {
        let mut object = match &self.daemon {
            Ok(status) => json!(status),
            Err(error) => json!({ "state": "not_running", "troubles": [error.to_string()] }),
        };
        if let Some(object) = object.as_object_mut() {
            object.insert("running".to_owned(), json!(self.daemon.is_ok()));
            object.insert("file_on_disk".to_owned(), json!(self.file));
        }
        object
    }
}
