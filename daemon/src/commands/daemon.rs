//! The running daemon, as commands see it: where it is asked, and what becomes of it where it does not answer.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Failure;
use crate::config::{self, Overrides, Settings};
use crate::control::client::{self, AskError};
use crate::control::status::Status;

/// Where the daemon is asked: at the socket that was named, else where the configuration says.
pub(super) fn socket(named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| settings().control.socket, Path::to_owned)
}

/// The configuration of this host, or the defaults where it has faults: the daemon runs with another one then.
pub(super) fn settings() -> Settings {
    config::load(&Overrides::default()).map(|loaded| loaded.settings).unwrap_or_default()
}

/// Asks the daemon how things are.
pub(super) fn status(socket: &Path) -> Result<Status, AskError> {
    let mut reply = client::call::<Value>(socket, "Status", json!({}))?;
    let status = reply.get_mut("status").map(Value::take).unwrap_or_default();
    serde_json::from_value(status).map_err(|_| AskError::TooOld)
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
