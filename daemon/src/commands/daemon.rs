//! The running daemon, as commands see it: where it is asked, and what becomes of it where it does not answer.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::{self, Overrides, Settings};
use crate::control::client::AskError;

/// Where the daemon is asked: at the socket that was named, else where the configuration says.
pub(super) fn socket(named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| settings().control.socket, Path::to_owned)
}

/// The configuration of this host, or the defaults where it has faults: the daemon runs with another one then.
pub(super) fn settings() -> Settings {
    config::load(&Overrides::default()).map(|loaded| loaded.settings).unwrap_or_default()
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let text = error.to_string();
        match error {
            AskError::NotRunning(_) | AskError::Silent | AskError::TooOld => Self::Unavailable(text),
            AskError::NotAllowed(_) | AskError::Denied => Self::Permission(text),
            AskError::Refused(_) => Self::Usage(text),
            AskError::Failed { .. } => Self::System(text),
        }
    }
}
