//! The listeners: opens those that are wanted, keeps those that pods may still ask, closes the rest.
//!
//! Which addresses are wanted is decided by [`crate::node_address`]; how a socket is opened by [`crate::net::bind`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::net::bind::{BindError, Bound, RECEIVE_BUFFER, bind};
use crate::node_address::{Chosen, Tables};
use crate::server::DRAIN;
use crate::server::mailbox::{Mail, Mailboxes};
use crate::server::queries::Queries;
use crate::server::tcp::{TcpLimits, serve};
use crate::waiters::ListenerId;

/// All that listens.
#[derive(Debug)]
pub(super) struct Listening {
    listeners: Vec<Listener>,
    workers: Mailboxes,
    queries: Arc<Queries>,
    limits: TcpLimits,
    streams: JoinSet<std::io::Result<()>>,
    /// The id of the next listener.
    next: u32,
}

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    id: ListenerId,
    stop: watch::Sender<bool>,
    wanted: bool,
}

/// What changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Listened on from now on, with the reason.
    pub(super) opened: Vec<(SocketAddr, String)>,
    /// No longer the node's by the rules, but still there: pods that know it are still answered.
    pub(super) kept: Vec<SocketAddr>,
    /// Gone from the node.
    pub(super) closed: Vec<SocketAddr>,
}

impl Listening {
    /// Nothing yet; `workers` will serve the sockets, and `queries` the connections.
    #[must_use]
    pub(super) fn new(workers: Mailboxes, queries: Queries, limits: TcpLimits) -> Self {
        let (queries, streams) = (Arc::new(queries), JoinSet::new());
        Self { listeners: Vec::new(), workers, queries, limits, streams, next: 0 }
    }

    /// Every address that is listened on, former ones included.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listeners.iter().map(|listener| listener.address)
    }

    /// Brings the listeners in line with what was chosen. What could not be opened is told, and does not keep the rest back.
    pub(super) fn follow(&mut self, chosen: &Chosen, tables: &Tables) -> (Changes, Vec<BindError>) {
        let (mut changes, mut errors) = (Changes::default(), Vec::new());
        for address in &chosen.addresses {
            if self.listeners.iter().any(|listener| listener.address == address.socket) {
                continue;
            }
            match bind(address.socket, self.workers.all().len()) {
                Ok(bound) => match self.open(bound) {
                    Ok(address_bound) => changes.opened.push((address_bound, address.origin.to_string())),
                    Err(error) => log::error!(error:%; "cannot listen over TCP"),
                },
                Err(error) => errors.push(error),
            }
        }
        for listener in &mut self.listeners {
            let wanted = chosen.addresses.iter().any(|address| address.socket == listener.address);
            if listener.wanted && !wanted && tables.has(listener.address.ip()) {
                changes.kept.push(listener.address);
            }
            listener.wanted = wanted;
        }
        let gone = |listener: &mut Listener| !listener.wanted && !tables.has(listener.address.ip());
        for listener in self.listeners.extract_if(.., gone).collect::<Vec<_>>() {
            changes.closed.push(listener.address);
            self.close(listener);
        }
        (changes, errors)
    }

    fn open(&mut self, bound: Bound) -> std::io::Result<SocketAddr> {
        if bound.receive_buffer < RECEIVE_BUFFER {
            let (granted, address) = (bound.receive_buffer, bound.address);
            log::warn!(
                address:%, granted;
                "the kernel grants the sockets of {address} a receive buffer of {granted} bytes of {RECEIVE_BUFFER}; a \
                 burst of questions may be lost: raise net.core.rmem_max, or give Onward CAP_NET_ADMIN"
            );
        }
        let stream = tokio::net::TcpListener::from_std(bound.tcp)?;
        let id = ListenerId(self.next);
        self.next += 1;
        for (worker, socket) in self.workers.all().iter().zip(bound.udp) {
            worker.tell(Mail::Listen(id, socket));
        }
        let (stop, stopped) = watch::channel(false);
        self.streams.spawn(serve(stream, self.limits, Arc::clone(&self.queries), stopped));
        self.listeners.push(Listener { address: bound.address, id, stop, wanted: true });
        Ok(bound.address)
    }

    fn close(&self, listener: Listener) {
        self.workers.tell_all(|| Mail::Unlisten(listener.id));
        // Dropping `stop` ends the TCP listener, which still sends the answers that are due.
        drop(listener.stop);
    }

    /// Ends when a TCP listener has failed for good; one that was closed does not count.
    pub(super) async fn broken(&mut self) -> std::io::Error {
        loop {
            match self.streams.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return std::io::Error::other(error),
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Stops TCP, then the workers, which answer over UDP to the last; returns when the former is done and the latter are
    /// told. Both together have [`DRAIN`].
    pub(super) async fn drain(mut self, now: Instant) {
        self.listeners.clear();
        // The workers ask what is due over TCP, so they end after that.
        while self.streams.join_next().await.is_some() {}
        self.workers.tell_all(|| Mail::Drain(now + DRAIN));
    }
}
