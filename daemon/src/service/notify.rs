//! What systemd is told (sd_notify(3), and a path unit). Without systemd nobody listens, and nothing happens.

use sd_notify::NotifyState;

use crate::durable;

/// The file, in the unit's `RuntimeDirectory=`, by which `onward-keep.path` hears that the program works.
const PROVEN: &str = "proven";

/// The service is up; `status` is what `systemctl status` shows.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The program has worked for a while.
pub(super) fn proven() {
    if let Some(directory) = durable::of_service("RUNTIME_DIRECTORY")
        && let Err(error) = std::fs::write(directory.join(PROVEN), env!("CARGO_PKG_VERSION"))
    {
        log::debug!(error:%; "systemd cannot be told that this program works");
    }
}

/// What `systemctl status` shows from now on.
pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] ends it.
pub(super) fn reloading() {
    // The time is what `Type=notify-reload` wants; without the clock there is nothing to tell.
    if let Ok(at) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, at]);
    }
}

/// The workers work; systemd wants to hear it more often than its limit ends.
pub(super) fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// The service ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!(error:%; "systemd cannot be told");
    }
}
