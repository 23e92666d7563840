//! The program: reads the command line, does what it says, turns a failure into a text and an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use onward::commands::{CommandLine, Failure};

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(told) => {
            // Help and version come this way too, and are no failure.
            let code = if told.use_stderr() { Failure::Usage(String::new()).code() } else { 0 };
            let _ = told.print();
            return ExitCode::from(code);
        }
    };
    let mut out = std::io::stdout().lock();
    let ended = line.run(&mut out).and_then(|()| Ok(out.flush()?));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_unread() => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_logged() {
                let _ = writeln!(std::io::stderr(), "{failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}
