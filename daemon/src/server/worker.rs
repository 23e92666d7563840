//! A worker: one thread that answers queries over UDP from the cache, asks upstreams for the rest, and sends their
//! responses to all who wait. It is the shell of a [`Forwarder`], which decides; here bytes are carried.
//!
//! It owns a socket for each listen address and the sockets to upstreams, waits for all of them in one place, and
//! shares nothing with other workers but what their cores share.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{SockaddrIn, SockaddrIn6};

use super::batches::{BatchResult, Batches};
use super::clients::Clients;
use super::listeners::Listeners;
use super::mailbox::{Inbox, Mail, Mailboxes};
use super::notice::{Notice, Notices, WorkerReport};
use crate::clock;
use crate::exchange::pool::Socket;
use crate::exchange::sockets::{Sent, Sockets};
use crate::exchange::stream::Streams;
use crate::forwarder::{Forwarder, Incoming, Ingress, Reply, Transmit};
use crate::net::batch::Patience;
use crate::net::outbox::Outbox;
use crate::upstream::Upstream;
use crate::waiters::{ListenerId, ReplyTo};

/// Maximum number of full batches that are served from one socket before the others get their turn.
const BATCHES_PER_TURN: usize = 8;
/// Number of queries in a batch from which on more are likely to come soon.
const BUSY: usize = 4;
/// Longest time to keep reading one busy listener before returning to epoll, so that other sockets are served.
const LINGER: Duration = Duration::from_millis(5);
/// Maximum length of an upstream's message over UDP, in bytes: the most that `limits.udp_payload` allows.
const MESSAGE_MAX: usize = 4096;
/// Epoll tokens: sockets to upstreams count up from one, listeners down from here, the bell has the last number.
const BELL: u64 = u64::MAX;
const LISTENERS: u64 = u64::MAX - 1;

/// What a worker needs to begin.
#[derive(Debug)]
pub(crate) struct Parts {
    /// How it is told things.
    pub inbox: Inbox,
    /// How it tells others, and itself.
    pub workers: Mailboxes,
    /// Its place among them.
    pub index: usize,
    /// Clients on connections.
    pub clients: Arc<Clients>,
    /// Connections to upstreams.
    pub streams: Arc<Streams>,
    /// Where it tells news.
    pub notices: Notices,
    /// Where connections live.
    pub runtime: tokio::runtime::Handle,
    /// Ports that are not to be used.
    pub reserved_ports: Vec<u16>,
}

/// Room for queries and responses; made on the worker's own thread, where it stays.
#[derive(Default)]
struct Buffers {
    v4: Batches<SockaddrIn>,
    v6: Batches<SockaddrIn6>,
    /// Responses to clients that waited.
    outbox: Outbox,
    /// What the core wants sent.
    out: Vec<u8>,
}

/// See the module.
pub(crate) struct Worker {
    forwarder: Forwarder,
    parts: Parts,
    sockets: Sockets,
    epoll: Epoll,
    listeners: Listeners,
    message: Vec<u8>,
    ends: Option<Instant>,
    is_stopped: bool,
}

impl Worker {
    /// Makes a worker that listens nowhere yet.
    ///
    /// # Errors
    /// Where the system has no file descriptor to give.
    pub(crate) fn new(parts: Parts, forwarder: Forwarder) -> std::io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(parts.inbox.bell().as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        Ok(Self {
            forwarder,
            sockets: Sockets::new(parts.reserved_ports.clone()),
            parts,
            epoll,
            listeners: Listeners::default(),
            message: vec![0; MESSAGE_MAX],
            ends: None,
            is_stopped: false,
        })
    }

    /// Works until it is told to stop, or to drain and has.
    pub(crate) fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        let mut buffers = Buffers::default();
        let mut now = clock::now();
        loop {
            let timeout = self.timeout(now);
            let count = self.epoll.wait(&mut events, timeout).unwrap_or(0); // EINTR: as if nothing came
            now = clock::now();
            for event in events.iter().take(count) {
                match event.data() {
                    BELL => self.read_mail(&mut buffers, now),
                    token => match listener(token) {
                        Some(id) if self.serve(id, &mut buffers, now) && count == 1 => {
                            now = self.linger(id, &mut buffers, now);
                        }
                        Some(_) => {}
                        None => self.receive(Socket(token), now),
                    },
                }
                self.transmit(&mut buffers, now);
            }
            if self.next_time().is_some() {
                self.forwarder.handle_timeout(now);
                self.listeners.let_go(&self.epoll, now);
                self.transmit(&mut buffers, now);
            }
            buffers.outbox.flush();
            if self.is_stopped {
                return;
            }
            if self.ends.is_some_and(|ends| now >= ends || self.forwarder.is_done()) {
                return self.end(&mut buffers, now);
            }
        }
    }

    fn report(&self, now: Instant) -> WorkerReport {
        WorkerReport { engine: self.forwarder.report(now), counters: self.forwarder.counters().clone() }
    }

    /// Answers what has come to the last moment: hits as ever, all others with what there is.
    fn end(mut self, buffers: &mut Buffers, now: Instant) {
        for id in self.listeners.ids() {
            self.serve(id, buffers, now);
        }
        self.forwarder.finish(now);
        self.transmit(buffers, now);
        buffers.outbox.flush();
    }

    /// How long to sleep at most. `now` is when the worker woke: a turn is short, and the clock is read once for each.
    fn timeout(&mut self, now: Instant) -> EpollTimeout {
        let Some(at) = self.next_time() else { return EpollTimeout::NONE };
        let left = at.saturating_duration_since(now);
        // Rounded up: a wake too early would only have to wait again.
        EpollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(EpollTimeout::MAX)
    }

    /// When something is to be done though nothing comes.
    fn next_time(&mut self) -> Option<Instant> {
        [self.forwarder.poll_timeout(), self.listeners.next_time(), self.ends].into_iter().flatten().min()
    }

    /// Takes queries from a listener. Returns whether it is worth lingering at.
    fn serve(&mut self, id: ListenerId, buffers: &mut Buffers, now: Instant) -> bool {
        let mut most = 0;
        for _ in 0..BATCHES_PER_TURN {
            let BatchResult { count, more, .. } = self.serve_batch(id, buffers, Patience::None, now);
            most = most.max(count);
            if !more {
                break;
            }
        }
        most >= BUSY
    }

    /// Waits for further queries at one listener: while nothing is asked and nothing held, they are all that can come,
    /// and one system call does for two. What other threads want is looked at again soon. Returns the time of the last
    /// of them.
    fn linger(&mut self, id: ListenerId, buffers: &mut Buffers, now: Instant) -> Instant {
        let (mut last, until) = (now, now + LINGER);
        while self.forwarder.is_idle() {
            let BatchResult { count, at, .. } = self.serve_batch(id, buffers, Patience::One, last);
            buffers.outbox.flush();
            last = at;
            if count == 0 || at >= until {
                break;
            }
        }
        last
    }

    fn serve_batch(&mut self, id: ListenerId, buffers: &mut Buffers, patience: Patience, now: Instant) -> BatchResult {
        let Some(listener) = self.listeners.get(id) else { return BatchResult { count: 0, more: false, at: now } };
        let result = if listener.is_v4 {
            buffers.v4.serve(&mut self.forwarder, listener, patience, now)
        } else {
            buffers.v6.serve(&mut self.forwarder, listener, patience, now)
        };
        self.transmit(buffers, result.at);
        result
    }

    /// Takes a message from an upstream.
    fn receive(&mut self, socket: Socket, now: Instant) {
        // One at a time: a second try would nearly always find nothing, and where there is more, epoll says so again.
        match self.sockets.receive(socket, &mut self.message) {
            Some((upstream, Ok(length))) => {
                let message = self.message.get(..length).unwrap_or_default();
                self.forwarder.handle_datagram(upstream, socket, message, now);
            }
            Some((upstream, Err(_))) => self.forwarder.handle_refused(upstream, socket, now),
            None => {}
        }
    }

    /// Sends what the core wants sent.
    #[inline]
    fn transmit(&mut self, buffers: &mut Buffers, now: Instant) {
        while let Some(transmit) = self.forwarder.poll_transmit(now, &mut buffers.out) {
            self.carry(transmit, buffers, now);
        }
    }

    #[inline(never)]
    fn carry(&mut self, transmit: Transmit, buffers: &mut Buffers, now: Instant) {
        let Buffers { outbox, out, .. } = buffers;
        match transmit {
            Transmit::Open(socket, upstream) => self.open(socket, &upstream, now),
            Transmit::Send(socket) => {
                if let Sent::Refused(upstream) = self.sockets.send(socket, out) {
                    self.forwarder.handle_refused(upstream, socket, now);
                }
            }
            Transmit::Close(socket) => self.sockets.close(socket),
            Transmit::Stream(attempt, upstream, deadline) => {
                let (streams, message) = (Arc::clone(&self.parts.streams), std::mem::take(out));
                let (workers, index) = (self.parts.workers.clone(), self.parts.index);
                self.parts.runtime.spawn(async move {
                    let response = streams.ask(upstream.endpoint.clone(), message, deadline.into()).await;
                    workers.tell(index, Mail::Streamed(attempt, response));
                });
            }
            Transmit::Respond(ReplyTo::Udp(listener, client)) => {
                // A listener that is closed since has nobody left who waits.
                if let Some(socket) = self.listeners.socket(listener) {
                    outbox.push(socket, client, |datagram| {
                        std::mem::swap(datagram, out);
                        true
                    });
                }
            }
            Transmit::Respond(ReplyTo::Stream(client)) => self.parts.clients.respond(client, std::mem::take(out)),
            Transmit::HealthChanged => drop(self.parts.notices.send(Notice::HealthChanged)),
            Transmit::Tell(event) => self.parts.workers.tell_others(self.parts.index, &event),
        }
    }

    fn open(&mut self, socket: Socket, upstream: &Upstream, now: Instant) {
        if let Err(error) = self.sockets.open(socket, upstream, &self.epoll) {
            log::debug!(upstream:% = upstream.endpoint, error:%; "no socket to an upstream");
            self.forwarder.handle_refused(upstream.id, socket, now);
        }
    }

    /// Does what other threads want done.
    fn read_mail(&mut self, buffers: &mut Buffers, now: Instant) {
        self.parts.inbox.clear();
        while let Some(mail) = self.parts.inbox.next() {
            match mail {
                Mail::Event(event) => self.forwarder.handle_event(event, now),
                Mail::Streamed(attempt, message) => {
                    self.forwarder.handle_stream(attempt, message.as_deref().map_err(|why| *why), now);
                }
                Mail::Listen(id, socket) => {
                    self.listeners.open(id, socket, &self.epoll, LISTENERS - u64::from(id.0));
                }
                Mail::Unlisten(id) => self.listeners.close(id, now),
                Mail::Query(id, client, query, deadline) => {
                    let incoming = Incoming { packet: &query, from: client, ingress: Ingress::Udp(id) };
                    self.take_query(&incoming, (ReplyTo::Udp(id, client), deadline), buffers, now);
                }
                Mail::Report(to) => drop(to.send((self.parts.index, self.report(now)))),
                Mail::Drain(until) => self.ends = Some(until),
                Mail::Stop => self.is_stopped = true,
            }
        }
    }

    /// Takes a query that an earlier process received.
    fn take_query(
        &mut self,
        query: &Incoming<'_>,
        (reply_to, deadline): (ReplyTo, Instant),
        buffers: &mut Buffers,
        now: Instant,
    ) {
        self.forwarder.begin_batch(now);
        if self.forwarder.handle_left_query(query, deadline, &mut buffers.out) == Reply::Now {
            self.carry(Transmit::Respond(reply_to), buffers, now);
        }
        self.transmit(buffers, now);
    }
}

/// The listener that an epoll token stands for; `None` for a socket to an upstream.
#[inline]
fn listener(token: u64) -> Option<ListenerId> {
    u32::try_from(LISTENERS - token).ok().map(ListenerId)
}
