//! TCP from clients: accepts connections, bounds their number, and ends them in order.
//!
//! What happens on one connection is in `connection`; hickory frames messages and times idleness there. The accept loop
//! is ours because hickory-server's has no bound, answers in order only, and ends on the first aborted connection. What
//! a query deserves is the business of whoever implements [`Answer`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

mod connection;
mod gate;
mod idle;
#[cfg(test)]
mod tests;
mod turns;

use super::DRAIN;
pub(crate) use gate::LeftConnection;
use idle::Idle;

/// How long to let go by when the system has no room for another connection; each one that ends makes room.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers queries, whatever they are.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The answer to `query`, which came from `peer` to our address `local`.
    fn answer(
        &self,
        query: Vec<u8>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Answered<impl Future<Output = Option<Vec<u8>>> + Send>;
}

/// An answer as bytes to send, 65,535 at most; `None` to stay silent.
#[derive(Debug)]
pub(crate) enum Answered<F> {
    /// It is there.
    Now(Option<Vec<u8>>),
    /// It takes time; with the query, which the next process may have to answer. Dropped when the client hangs up; must
    /// end by itself in about two seconds.
    Later(Vec<u8>, F),
}

/// The bounds of all listeners together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpLimits {
    /// Connections at once. When all are taken, the one that is idle longest gives way to a newcomer.
    pub connections: usize,
    /// Queries of one connection that wait for their answer; further ones stay unread.
    pub in_flight: usize,
    /// How long one message may take to come in, or answers may take to be taken; also the idle time. Longer than an
    /// answer takes, for the time runs on meanwhile.
    pub idle: Duration,
    /// Time that connections have to send the answers that are due when the listener is told to stop.
    pub drain: Duration,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            in_flight: 64,
            // "On the order of a few seconds" (RFC 7766, section 6.2.3).
            idle: Duration::from_secs(10),
            drain: DRAIN,
        }
    }
}

/// What the connections of all listeners share: who answers, and the room that there is for them together.
#[derive(Debug)]
pub(crate) struct TcpServer<A> {
    answer: Arc<A>,
    limits: TcpLimits,
    room: Arc<Semaphore>,
    idle: Idle,
}

impl<A: Answer> TcpServer<A> {
    /// Makes a server that holds at most `limits.connections` connections at a time.
    #[must_use]
    pub(crate) fn new(answer: Arc<A>, limits: TcpLimits) -> Self {
        Self { answer, limits, room: Arc::new(Semaphore::new(limits.connections)), idle: Idle::default() }
    }

    /// The number of connections that there are now.
    #[must_use]
    pub(crate) fn connections(&self) -> usize {
        self.limits.connections.saturating_sub(self.room.available_permits())
    }
}

/// How a listener ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It goes on.
    NotYet,
    /// The answers that are due are still sent.
    Finish,
    /// The connections are left to the next process.
    HandOver,
}

/// Serves a listener, and the connections that an earlier process had there, until `shutdown` says how it ends (or its
/// sender is gone: then it finishes). Returns the connections that are left to the next process.
///
/// # Errors
/// When the listener itself is broken, which time does not mend.
pub(crate) async fn serve<A: Answer>(
    listener: TcpListener,
    inherited: Vec<LeftConnection>,
    shared: Arc<TcpServer<A>>,
    mut shutdown: watch::Receiver<Ending>,
) -> io::Result<Vec<LeftConnection>> {
    let mut connections = Connections { shared: &shared, shutdown: shutdown.clone(), running: JoinSet::new() };
    for LeftConnection { socket, unread, unsent } in inherited {
        if let (Ok(socket), Ok(permit)) = (TcpStream::from_std(socket), Arc::clone(&shared.room).try_acquire_owned()) {
            connections.run(socket, unread, unsent, permit);
        }
    }
    let mut left = Vec::new();
    let ended = loop {
        let accepted = tokio::select! {
            biased;
            _ = told(&mut shutdown) => break Ok(()),
            // One may have heard of the end before us.
            Some(ended) = connections.running.join_next() => {
                left.extend(ended.ok().flatten());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                if let Some(permit) = make_room(&shared.room, &shared.idle).await {
                    connections.run(socket, Vec::new(), Vec::new(), permit);
                }
            }
            Err(error) => match Trouble::of(&error) {
                Trouble::Connection => {}
                Trouble::Room => {
                    shared.idle.end_oldest();
                    tokio::time::sleep(PAUSE).await;
                }
                Trouble::Listener => break Err(error),
            },
        }
    };
    drop(listener);
    let drained = async {
        while let Some(ended) = connections.running.join_next().await {
            left.extend(ended.ok().flatten());
        }
    };
    // What is not sent by then is cut off when the set of connections is dropped.
    let _ = tokio::time::timeout(shared.limits.drain, drained).await;
    ended.map(|()| left)
}

/// The connections of a listener.
struct Connections<'s, A> {
    shared: &'s Arc<TcpServer<A>>,
    shutdown: watch::Receiver<Ending>,
    running: JoinSet<Option<LeftConnection>>,
}

impl<A: Answer> Connections<'_, A> {
    /// Serves one more, which keeps its place as long as it lasts.
    fn run(&mut self, socket: TcpStream, unread: Vec<u8>, unsent: Vec<u8>, place: OwnedSemaphorePermit) {
        let run = connection::run(socket, unread, unsent, Arc::clone(self.shared), self.shutdown.clone());
        self.running.spawn(async move {
            let left = run.await;
            drop(place);
            left
        });
    }
}

/// Resolves when it is time to stop, with the way to do so.
async fn told(shutdown: &mut watch::Receiver<Ending>) -> Ending {
    // An error means that the sender is gone: the program is ending.
    shutdown.wait_for(|ending| *ending != Ending::NotYet).await.map_or(Ending::Finish, |ending| *ending)
}

/// A place for one more connection, at the cost of the one that is idle longest; `None` where none is idle.
async fn make_room(room: &Arc<Semaphore>, idle: &Idle) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(room).try_acquire_owned() {
        return Some(permit);
    }
    if !idle.end_oldest() {
        return None;
    }
    // The one that was told to go does nothing else any more, so this takes no time worth speaking of.
    Arc::clone(room).acquire_owned().await.ok()
}

/// What an error of accept(2) is about, and so what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// One connection that came to nothing: accept the next. Linux hands a connection's pending network errors to
    /// accept.
    Connection,
    /// No descriptor or memory is left: the connection stays in the queue, so an immediate retry would only spin.
    Room,
    /// The listener.
    Listener,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => Self::Room,
            Some(Errno::EBADF | Errno::EFAULT | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP) => Self::Listener,
            _ => Self::Connection,
        }
    }
}
