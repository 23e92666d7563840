//! Keeps the configuration once it has proved itself, so that a start that finds faults in a later one has something to
//! run on ([`crate::config::last_good`]). The program has proved itself, too, then; keeping that is for root
//! (`systemd/attend`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::notify;
use crate::config::{Effective, last_good};
use crate::logging::LogEvent;

/// Time for which a configuration is in force before it counts as one that works.
const PROVEN: Duration = Duration::from_secs(60);

/// The configuration that is to be kept.
#[derive(Debug, Default)]
pub(super) struct Proving {
    task: Option<AbortHandle>,
    /// Whether a listener has answered under this configuration.
    has_answered: Arc<AtomicBool>,
}

impl Proving {
    /// Begins with a configuration, in the place of the one before. Without a state directory of systemd's nothing is
    /// kept.
    pub(super) fn begin(&mut self, effective: Effective) {
        self.stop();
        let Some(path) = last_good::path() else { return };
        let has_answered = Arc::clone(&self.has_answered);
        has_answered.store(false, Ordering::Relaxed);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(PROVEN).await;
                if has_answered.load(Ordering::Relaxed) {
                    break;
                }
            }
            notify::proven();
            if let Err(error) = last_good::save(&path, &effective) {
                let path = path.display();
                log::warn!(
                    event = LogEvent::FileFailed, path:%, error:%;
                    "the configuration that works cannot be kept in {path} ({error}): a start that finds faults in a later \
                     one will have nothing to run on"
                );
            }
        });
        self.task = Some(task.abort_handle());
    }

    /// Takes note that a listener answered.
    pub(super) fn answered(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Proving {
    fn drop(&mut self) {
        self.stop();
    }
}
