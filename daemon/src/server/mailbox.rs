//! How other threads speak to a worker: a queue, and a bell that wakes it.
//!
//! For what is rare. A query that came over UDP stays on the thread that received it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::notice::Reports;
use crate::exchange::AttemptId;
use crate::exchange::stream::StreamError;
use crate::forwarder::Event;
use crate::waiters::ListenerId;

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Mail {
    /// For its core.
    Event(Event),
    /// What a stream brought for an attempt.
    Streamed(AttemptId, Result<Vec<u8>, StreamError>),
    /// Serve this socket, too.
    Listen(ListenerId, UdpSocket),
    /// Serve it no longer.
    Unlisten(ListenerId),
    /// Take this query as if it had come from this client, which waits until then: it was in flight when an earlier
    /// process ended.
    Query(ListenerId, SocketAddr, Vec<u8>, Instant),
    /// Say there what you know.
    Report(Reports),
    /// Go on until no client waits, or until this time; then end.
    Drain(Instant),
    /// Read nothing any more, and end: the next process goes on.
    Stop,
}

impl From<Event> for Mail {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// The sending end; each sender has a clone.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    queue: Sender<Mail>,
    bell: Arc<EventFd>,
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Receiver<Mail>,
    bell: Arc<EventFd>,
}

/// The mailboxes of all workers; a worker's index is its place.
#[derive(Debug, Clone)]
pub(crate) struct Mailboxes(Arc<[Mailbox]>);

/// Makes both ends. The queue has no bound of its own: what goes into it is bounded by the lookups there may be, and by
/// what comes in while a worker does its turn.
///
/// # Errors
/// Where the system has no file descriptor to give.
pub(crate) fn mailbox() -> std::io::Result<(Mailbox, Inbox)> {
    let bell = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    let (sender, receiver) = channel();
    Ok((Mailbox { queue: sender, bell: Arc::clone(&bell) }, Inbox { queue: receiver, bell }))
}

impl Mailbox {
    /// Tells the worker. One that has ended hears nothing.
    pub(crate) fn tell(&self, mail: impl Into<Mail>) {
        if self.queue.send(mail.into()).is_ok() {
            let _ = self.bell.write(1); // fails only when it has rung 2^64 times unheard
        }
    }
}

impl Mailboxes {
    /// Gathers the mailboxes of all workers, in their order.
    #[must_use]
    pub(crate) fn new(mailboxes: Vec<Mailbox>) -> Self {
        Self(mailboxes.into())
    }

    /// The mailboxes, one a worker.
    #[must_use]
    pub(crate) fn all(&self) -> &[Mailbox] {
        &self.0
    }

    /// Tells all workers.
    pub(crate) fn tell_all<M: Into<Mail>>(&self, mail: impl Fn() -> M) {
        self.0.iter().for_each(|worker| worker.tell(mail()));
    }

    /// Tells the worker with this index.
    pub(crate) fn tell(&self, index: usize, mail: Mail) {
        if let Some(worker) = self.0.get(index) {
            worker.tell(mail);
        }
    }

    /// Tells all workers but the one with this index.
    pub(crate) fn tell_others(&self, index: usize, event: &Event) {
        let others = self.0.iter().enumerate().filter(|(at, _)| *at != index);
        others.for_each(|(_, worker)| worker.tell(event.clone()));
    }

    /// Tells one worker, the same for all that a client asks from one port.
    pub(crate) fn tell_one(&self, client: SocketAddr, event: Event) {
        self.tell(usize::from(client.port()) % self.0.len().max(1), event.into());
    }
}

impl Inbox {
    /// What becomes readable when the bell rings.
    #[must_use]
    pub(crate) fn bell(&self) -> &EventFd {
        &self.bell
    }

    /// Silences the bell; to be called before the mail is taken.
    pub(crate) fn clear(&self) {
        let _ = self.bell.read();
    }

    /// Takes the next mail, if there is any.
    pub(crate) fn next(&self) -> Option<Mail> {
        self.queue.try_recv().ok()
    }
}
