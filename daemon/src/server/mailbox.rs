//! How other threads speak to a worker: a queue, and a bell that wakes it.
//!
//! For what is rare. A query that came over UDP stays on the thread that received it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::notice::Reports;
use crate::exchange::{AttemptId, LookupRequest};
use crate::upstream::{UpstreamId, UpstreamSet};
use crate::wire::QuestionKey;

/// What a worker is told.
#[derive(Debug)]
pub enum Order {
    /// Ask this: it came in over TCP, or is to be refreshed.
    Ask(LookupRequest),
    /// Ask this when it has been held: it came in over TCP.
    Hold(LookupRequest),
    /// What a stream brought for an ask.
    Streamed(AttemptId, Option<Vec<u8>>),
    /// Our own question came back through this upstream; somebody who brought it waits until the time given.
    CameBack(QuestionKey, UpstreamId, Instant),
    /// Somebody waits for this for whom one upstream is not enough.
    Widen(QuestionKey),
    /// The guard has given other verdicts, or has another key.
    Guidance,
    /// The allow-list is another.
    Allow,
    /// These are the upstreams now.
    Adopt(Arc<UpstreamSet>),
    /// Say there what you know.
    Report(Reports),
    /// Addresses or routes changed.
    RenewSockets,
    /// Serve this socket, too.
    Listen(Arc<UdpSocket>),
    /// Serve it no longer.
    Unlisten(Arc<UdpSocket>),
    /// Take no more queries, finish those in flight, end.
    Drain,
}

/// The sending end; there are as many as are needed.
#[derive(Debug, Clone)]
pub struct Orders {
    queue: Sender<Order>,
    bell: Arc<EventFd>,
}

/// The receiving end.
#[derive(Debug)]
pub struct Inbox {
    queue: Receiver<Order>,
    bell: Arc<EventFd>,
}

/// Both ends. The queue has no bound of its own: what goes into it is bounded by the flights there may be, and by what comes
/// in while a worker does its turn.
///
/// # Errors
/// Where the system has no file descriptor to give.
pub fn inbox() -> std::io::Result<(Orders, Inbox)> {
    let bell = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    let (sender, receiver) = channel();
    Ok((Orders { queue: sender, bell: Arc::clone(&bell) }, Inbox { queue: receiver, bell }))
}

impl Orders {
    /// Tells the worker. One that has ended hears nothing.
    pub fn tell(&self, order: Order) {
        if self.queue.send(order).is_ok() {
            let _ = self.bell.write(1); // fails only when it has rung 2^64 times unheard
        }
    }
}

impl Inbox {
    /// What becomes readable when the bell rings.
    #[must_use]
    pub fn bell(&self) -> &EventFd {
        &self.bell
    }

    /// Silences the bell; to be called before the orders are taken.
    pub fn hush(&self) {
        let _ = self.bell.read();
    }

    /// The next order, if there is one.
    pub fn next(&self) -> Option<Order> {
        self.queue.try_recv().ok()
    }
}
