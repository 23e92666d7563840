//! The signals that the service obeys.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Caught from the moment it is made.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGHUP: read the configuration and the sources again.
    Reload,
    /// SIGTERM, SIGINT: finish what is in flight, and end.
    End,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// Where the system does not let us.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
        }
    }

    /// Waits for the next that wants us to end.
    pub(super) async fn end(&mut self) {
        while self.next().await != Wish::End {}
    }
}
