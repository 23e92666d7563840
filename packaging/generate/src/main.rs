//! Writes Onward's man pages and completions, as they are installed: `onward-generate DATE FOLDER`.
//!
//! The pages of section 8 and the completions come from the command line, so they say what `--help` says;
//! onward.toml(5) comes from the template of the configuration. What is not there is not written here either, so
//! nothing has to be kept in step by hand. Packing, and which folder a distribution wants, are for `packaging/build`.

mod command_pages;
mod completions;
mod configuration_page;
mod page;

use std::ffi::OsString;
use std::fs;
use std::io::{Error, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use onward::commands::CommandLine;

/// The configuration with all its options, which onward.toml(5) is made of.
const TEMPLATE: &str = include_str!("../../etc/onward.template.toml");

/// A file to be written.
struct Generated {
    /// Its place below the folder.
    path: String,
    /// What is in it.
    content: Vec<u8>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [date, folder] = arguments.as_slice() else {
        return failed("usage: onward-generate DATE FOLDER, as in: onward-generate 2026-01-31 target/generated", 64);
    };
    match write_all(&date.to_string_lossy(), &PathBuf::from(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot write into {}: {error}", folder.display()), 74),
    }
}

/// Writes all files below the folder, and makes the folders that they need.
fn write_all(date: &str, folder: &std::path::Path) -> Result<(), Error> {
    let command = CommandLine::command();
    let mut files = command_pages::generate(&command, date)?;
    files.push(configuration_page::generate(TEMPLATE, command.get_version().unwrap_or_default(), date));
    files.extend(completions::generate(&command));
    for file in files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.content)?;
    }
    Ok(())
}

/// Tells a person why nothing was written. Returns the exit code (sysexits.h).
fn failed(why: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "onward-generate: {why}");
    ExitCode::from(code)
}
