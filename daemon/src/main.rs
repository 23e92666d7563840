//! The program: reads the command line, does what it says, turns a failure into a text and an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use onward::commands::{self, CommandLine, Failure};

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(told) => {
            // Help and version come this way too, and are no failure.
            if !told.use_stderr() {
                let _ = told.print();
                return ExitCode::SUCCESS;
            }
            commands::tell(&told.to_string());
            return ExitCode::from(Failure::Usage(String::new()).code());
        }
    };
    let mut out = std::io::stdout().lock();
    let ended = line.run(&mut out).and_then(|()| Ok(out.flush()?));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_unread() => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                commands::tell(&failure.to_string());
            }
            ExitCode::from(failure.code())
        }
    }
}
