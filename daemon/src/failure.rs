//! How the program can fail: a text for people, and the exit code that goes with it (sysexits.h).

use std::io;

use crate::config::Faults;
use crate::logging::LogEvent;

/// How a command can fail.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line does not make sense.
    #[error("{0}")]
    Usage(String),
    /// Something in Onward itself that should not happen.
    #[error("{0}")]
    Internal(String),
    /// The system does not give what is needed: a port, a file, a thread.
    #[error("{0}")]
    System(String),
    /// A privilege is missing.
    #[error("{0}")]
    Permission(String),
    /// The configuration has faults.
    #[error("{0}")]
    Configuration(#[from] Faults),
    /// The configuration is sound, but can never work on this node.
    #[error("{0}")]
    Unusable(String),
    /// The daemon does not run, or does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// It is in the log or in the result already; this is its exit code.
    #[error("see the log")]
    Told(u8),
    /// The result could not be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The exit code (sysexits.h).
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Unavailable(_) => 69,
            Self::Internal(_) => 70,
            Self::System(_) => 71,
            Self::Output(_) => 74,
            Self::Permission(_) => 77,
            Self::Configuration(_) | Self::Unusable(_) => 78,
            Self::Told(code) => *code,
        }
    }

    /// Writes it to the log, each fault of a configuration as a line of its own. Returns what is left of it: the exit
    /// code.
    #[must_use]
    pub fn logged(self) -> Self {
        match &self {
            Self::Configuration(faults) => {
                for fault in faults.as_slice() {
                    log::error!(event = LogEvent::ConfigurationFault; "{fault}");
                }
            }
            other => log::error!(event = LogEvent::StartFailed; "{other}"),
        }
        Self::Told(self.code())
    }

    /// Whether people know it already, so that nobody is to be told again.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Told(_))
    }

    /// Whether the reader of our output has gone, as `head` does: no one is left to be told.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
