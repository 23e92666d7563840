//! The listeners: opens and closes them, and leaves them to the next process.
//!
//! Which addresses are listened on is decided by the plan; how a socket is opened by [`crate::net::bind`].

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock;
use crate::exchange::CLIENT_BUDGET;
use crate::handover::store::{self, Inherited};
use crate::handover::unfinished::{Connection, Query, Unfinished};
use crate::logging::LogEvent;
use crate::net::bind::{BindError, Bound, RECEIVE_BUFFER, bind};
use crate::net::port_holder::Layer;
use crate::server::DRAIN;
use crate::server::mailbox::{Mail, Mailboxes};
use crate::server::queries::Queries;
use crate::server::tcp::{Ending, LeftConnection, TcpServer, serve};
use crate::waiters::{ListenerId, ReplyTo, Waiters};

/// Maximum time until connections are left to the next process. They are at once; a second is silence for clients.
const LEAVE: Duration = Duration::from_millis(200);

/// All that listens.
#[derive(Debug)]
pub(super) struct Listening {
    listeners: Vec<Listener>,
    workers: Mailboxes,
    tcp: Arc<TcpServer<Queries>>,
    /// The listeners over TCP, each with the connections that it leaves to the next process.
    streams: JoinSet<(SocketAddr, std::io::Result<Vec<LeftConnection>>)>,
    /// The id of the next listener.
    next: u32,
    /// What an earlier process left, as long as the service starts.
    inherited: Inherited,
}

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    /// One for each socket that every worker has: mostly one, more where an earlier process had more workers.
    ids: Vec<ListenerId>,
    stop: watch::Sender<Ending>,
}

impl Listening {
    /// Listens nowhere yet; `workers` will serve the sockets, and `tcp` the connections. What was `inherited` is used
    /// where it is wanted.
    #[must_use]
    pub(super) fn new(workers: Mailboxes, tcp: Arc<TcpServer<Queries>>, inherited: Inherited) -> Self {
        Self { listeners: Vec::new(), workers, tcp, streams: JoinSet::new(), next: 0, inherited }
    }

    /// Returns every address that is listened on, former ones included.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.address).collect()
    }

    /// Listens on an address, over UDP and TCP; over both or not at all.
    pub(super) fn open(&mut self, address: SocketAddr) -> Result<(), BindError> {
        let kept = self.inherited.take(address);
        let bound = bind(address, self.workers.all().len(), kept)
            // What was kept is closed by now; left in the store it would take the port away from the next try.
            .inspect_err(|_| store::forget(&store::listener_name(address)))?;
        warn_of_small_buffer(&bound);
        store::keep(&store::listener_name(bound.address), &bound.opened());
        let stream = tokio::net::TcpListener::from_std(bound.tcp).map_err(|source| BindError::Other {
            address,
            layer: Layer::Tcp,
            source,
        })?;
        let ids = self.share_out(bound.udp);
        let (now, since_boot) = (clock::now(), clock::since_boot());
        for (number, query) in self.inherited.take_queries(bound.address).into_iter().enumerate() {
            let left = query.deadline.map_or(CLIENT_BUDGET, |deadline| deadline.saturating_sub(since_boot));
            if let Some(id) = ids.first() {
                let mail = Mail::Query(*id, query.client, query.message, now + left.min(CLIENT_BUDGET));
                self.workers.tell(number % self.workers.all().len(), mail);
            }
        }
        let (stop, stopped) = watch::channel(Ending::NotYet);
        let serve = serve(stream, self.inherited.take_connections(bound.address), Arc::clone(&self.tcp), stopped);
        self.streams.spawn(async move { (bound.address, serve.await) });
        self.listeners.push(Listener { address, ids, stop });
        Ok(())
    }

    /// Gives the sockets of an address to the workers, several to each where there are more. Returns their ids.
    fn share_out(&mut self, sockets: Vec<UdpSocket>) -> Vec<ListenerId> {
        let mut ids = Vec::new();
        let mut sockets = sockets.into_iter().peekable();
        while sockets.peek().is_some() {
            let id = ListenerId(self.next);
            self.next += 1;
            ids.push(id);
            for (worker, socket) in self.workers.all().iter().zip(sockets.by_ref().take(self.workers.all().len())) {
                worker.tell(Mail::Listen(id, socket));
            }
        }
        ids
    }

    /// Lets go what was inherited and is not wanted: the service has started.
    pub(super) fn settle(&mut self) {
        self.inherited.drop_rest();
    }

    /// Listens there no longer; answers over TCP that are due are still sent. A no-op where nothing listens.
    pub(super) fn close(&mut self, address: SocketAddr) {
        for listener in self.listeners.extract_if(.., |listener| listener.address == address) {
            listener.ids.iter().for_each(|id| self.workers.tell_all(|| Mail::Unlisten(*id)));
            store::forget(&store::listener_name(address));
            // Dropping `stop` ends the TCP listener.
            drop(listener.stop);
        }
    }

    /// Ends when a TCP listener has failed for good; one that was closed does not count.
    pub(super) async fn broken(&mut self) -> std::io::Error {
        loop {
            match self.streams.join_next().await {
                Some(Ok((_, Err(error)))) => return error,
                Some(Err(error)) => return std::io::Error::other(error),
                Some(Ok((_, Ok(_)))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Returns the address of the listener that a socket belongs to.
    fn address_of(&self, id: ListenerId) -> Option<SocketAddr> {
        self.listeners.iter().find(|listener| listener.ids.contains(&id)).map(|listener| listener.address)
    }

    /// Stops reading from clients over TCP. Returns their connections, each with the address of its listener.
    pub(super) async fn leave_connections(&mut self) -> Vec<(SocketAddr, LeftConnection)> {
        for listener in &self.listeners {
            let _ = listener.stop.send(Ending::HandOver); // one that is broken has no connections
        }
        let mut all = Vec::new();
        let ended = async {
            while let Some(ended) = self.streams.join_next().await {
                if let Ok((listener, Ok(left))) = ended {
                    all.extend(left.into_iter().map(|connection| (listener, connection)));
                }
            }
        };
        let _ = tokio::time::timeout(LEAVE, ended).await; // a listener that was closed before may take longer
        all
    }

    /// Returns what is unfinished: the queries over UDP that wait, and the connections, whose sockets are beside it.
    pub(super) fn unfinished(
        &self,
        waiters: &Waiters,
        connections: Vec<(SocketAddr, LeftConnection)>,
    ) -> (Unfinished, Vec<TcpStream>) {
        let (mut unfinished, mut sockets) = (Unfinished::new(), Vec::new());
        let (now, since_boot) = (clock::now(), clock::since_boot());
        for waiter in waiters.take_all() {
            if let ReplyTo::Udp(id, client) = waiter.reply_to
                && waiter.returned_through.is_none()
                && let Some(listener) = self.address_of(id)
            {
                let deadline = Some(since_boot + waiter.deadline.saturating_duration_since(now));
                unfinished.add_query(Query { listener, client, message: waiter.packet.to_vec(), deadline });
            }
        }
        let most = store::most_connections();
        if let closed @ 1.. = connections.len().saturating_sub(most) {
            log::warn!(
                event = LogEvent::HandoverDropped, closed;
                "{closed} connections of clients are closed: systemd's store has room for {most} (FileDescriptorStoreMax= and \
                 FDSTORE of the unit, twice that)"
            );
        }
        for (listener, LeftConnection { socket, unread, unsent }) in connections.into_iter().take(most) {
            if let (Ok(local), Ok(peer)) = (socket.local_addr(), socket.peer_addr()) {
                unfinished.add_connection(Connection { listener, local, peer, unread, unsent });
                sockets.push(socket);
            }
        }
        (unfinished, sockets)
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
