//! The listeners: opens and closes them.
//!
//! Which addresses are listened on is decided by the plan; how a socket is opened by [`crate::net::bind`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::logging::LogEvent;
use crate::net::bind::{BindError, Bound, RECEIVE_BUFFER, bind};
use crate::net::port_holder::Layer;
use crate::server::DRAIN;
use crate::server::mailbox::{Mail, Mailboxes};
use crate::server::queries::Queries;
use crate::server::tcp::{TcpLimits, TcpServer, serve};
use crate::waiters::ListenerId;

/// All that listens.
#[derive(Debug)]
pub(super) struct Listening {
    listeners: Vec<Listener>,
    workers: Mailboxes,
    tcp: Arc<TcpServer<Queries>>,
    streams: JoinSet<std::io::Result<()>>,
    /// The id of the next listener.
    next: u32,
}

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    id: ListenerId,
    stop: watch::Sender<bool>,
}

impl Listening {
    /// Listens nowhere yet; `workers` will serve the sockets, and `queries` the connections.
    #[must_use]
    pub(super) fn new(workers: Mailboxes, queries: Arc<Queries>, limits: TcpLimits) -> Self {
        let tcp = Arc::new(TcpServer::new(queries, limits));
        Self { listeners: Vec::new(), workers, tcp, streams: JoinSet::new(), next: 0 }
    }

    /// Returns every address that is listened on, former ones included.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.address).collect()
    }

    /// Listens on an address, over UDP and TCP; over both or not at all.
    pub(super) fn open(&mut self, address: SocketAddr) -> Result<(), BindError> {
        let bound = bind(address, self.workers.all().len())?;
        warn_of_small_buffer(&bound);
        let stream = tokio::net::TcpListener::from_std(bound.tcp).map_err(|source| BindError::Other {
            address,
            layer: Layer::Tcp,
            source,
        })?;
        let id = ListenerId(self.next);
        self.next += 1;
        for (worker, socket) in self.workers.all().iter().zip(bound.udp) {
            worker.tell(Mail::Listen(id, socket));
        }
        let (stop, stopped) = watch::channel(false);
        self.streams.spawn(serve(stream, Arc::clone(&self.tcp), stopped));
        self.listeners.push(Listener { address, id, stop });
        Ok(())
    }

    /// Listens there no longer; answers over TCP that are due are still sent. A no-op where nothing listens.
    pub(super) fn close(&mut self, address: SocketAddr) {
        for listener in self.listeners.extract_if(.., |listener| listener.address == address) {
            self.workers.tell_all(|| Mail::Unlisten(listener.id));
            // Dropping `stop` ends the TCP listener.
            drop(listener.stop);
        }
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

    /// Stops TCP, then the workers, which answer over UDP to the last; returns when the former is done and the latter
    /// are told. Both together have [`DRAIN`].
    pub(super) async fn drain(mut self, now: Instant) {
        self.listeners.clear();
        // The workers ask what is due over TCP, so they end after that.
        while self.streams.join_next().await.is_some() {}
        self.workers.tell_all(|| Mail::Drain(now + DRAIN));
    }
}

fn warn_of_small_buffer(bound: &Bound) {
    if bound.receive_buffer < RECEIVE_BUFFER {
        let (granted, address) = (bound.receive_buffer, bound.address);
        log::warn!(
            event = LogEvent::ReceiveBufferSmall, address:%, granted;
            "the kernel grants the sockets of {address} a receive buffer of {granted} bytes of {RECEIVE_BUFFER}; a \
             burst of queries may be lost: raise net.core.rmem_max, or give Onward CAP_NET_ADMIN"
        );
    }
}
