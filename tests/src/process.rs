//! Programs that a test starts: their output goes to a file, and they end with the test, with all their children.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::wait;

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` as the head of a process group of its own; standard output and error go to `log`.
    ///
    /// # Panics
    /// If it cannot be started: the message names the program.
    #[must_use]
    pub fn start(name: &str, mut command: Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("create the log file");
        let second = file.try_clone().expect("a second handle on the log file");
        command.stdin(Stdio::null()).stdout(file).stderr(second).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// The process id of the program: the wrappers around it end in `exec`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for a line that contains `part`, and gives that line.
    ///
    /// # Panics
    /// If none comes within `limit`: the message holds the output.
    pub fn wait_for_line(&mut self, part: &str, limit: Duration) -> String {
        let found = wait::until(limit, || self.output().lines().find(|line| line.contains(part)).map(str::to_owned));
        found.unwrap_or_else(|| panic!("{}: no line with \"{part}\" in:\n{}", self.name, self.output()))
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for the state of the child")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it has not ended within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        wait::until(limit, || self.ended())
            .unwrap_or_else(|| panic!("{} is still running after {limit:?}:\n{}", self.name, self.output()))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.name));
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id fits"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- {} said:\n{}---", self.name, self.output());
        }
    }
}
