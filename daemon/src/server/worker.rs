//! A worker: one thread that answers queries over UDP from the cache, asks upstreams for the rest, and sends their answers to
//! all who wait.
//!
//! It owns a socket for each listen address, the engine, and the engine's sockets; it waits for all of them in one place and
//! shares nothing with other workers but the [`Forwarder`]. What it decides stands in `forwarder` and in `exchange`.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{SockaddrIn, SockaddrIn6};

use super::serving::{Batches, Entrance, Serving, Took};
use crate::net::batch::Patience;

use super::mailbox::{Inbox, Order, Orders};
use crate::clock;
use crate::exchange::pool::Socket;
use crate::exchange::sockets::{Sent, Sockets};
use crate::exchange::stream::Streams;
use crate::exchange::{Action, CLIENT_BUDGET, Engine, Failure, Guidance};
use crate::forwarder::Forwarder;
use crate::guard::Witness;
use crate::net::outbox::Outbox;

/// Full batches that are served from one socket before the others get their turn.
const TURN: usize = 8;
/// So many queries at once make it likely that more come soon.
const BUSY: usize = 4;
/// How long a busy socket is stayed with before the others get their turn.
const STAY: Duration = Duration::from_millis(5);
/// The longest answer that an upstream may send over UDP: the most that `limits.udp_payload` allows.
const ANSWER_MAX: usize = 4096;
/// How long a worker that is told to end waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(2);
/// Epoll tokens: the engine's sockets count up from one, listeners down from here, the bell has the last number.
const BELL: u64 = u64::MAX;
const LISTENERS: u64 = u64::MAX - 1;

/// What a worker needs to begin.
#[derive(Debug)]
pub struct Parts {
    /// What all workers share.
    pub forwarder: Arc<Forwarder>,
    /// Where it is told things, and how it tells itself.
    pub inbox: (Orders, Inbox),
    /// Connections to upstreams.
    pub streams: Arc<Streams>,
    /// Where those live.
    pub runtime: tokio::runtime::Handle,
    /// Ports that are not to be used.
    pub reserved_ports: Vec<u16>,
}

/// Room for queries and answers; made on the worker's own thread, where it stays.
#[derive(Default)]
struct Buffers {
    v4: Batches<SockaddrIn>,
    v6: Batches<SockaddrIn6>,
    /// Answers to clients that waited.
    outbox: Outbox,
}

/// A socket that queries come in on. Its family is asked of the kernel once.
struct Listener {
    socket: Arc<UdpSocket>,
    is_v4: bool,
}

/// See the module.
pub struct Worker {
    forwarder: Arc<Forwarder>,
    serving: Serving,
    sockets: Sockets,
    streams: Arc<Streams>,
    runtime: tokio::runtime::Handle,
    orders: Orders,
    inbox: Inbox,
    epoll: Epoll,
    listeners: Vec<Listener>,
    answer: Vec<u8>,
    ends: Option<Instant>,
}

impl Worker {
    /// A worker that listens nowhere yet.
    ///
    /// # Errors
    /// Where the system has no file descriptor to give.
    pub fn new(parts: Parts, engine: Engine) -> std::io::Result<Self> {
        let Parts { forwarder, inbox: (orders, inbox), streams, runtime, reserved_ports } = parts;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(inbox.bell().as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        Ok(Self {
            serving: Serving::new(engine),
            forwarder,
            sockets: Sockets::new(reserved_ports),
            streams,
            runtime,
            orders,
            inbox,
            epoll,
            listeners: Vec::new(),
            answer: vec![0; ANSWER_MAX],
            ends: None,
        })
    }

    /// Works until it is told to drain.
    pub fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        let mut buffers = Buffers::default();
        loop {
            let timeout = self.timeout();
            let count = self.epoll.wait(&mut events, timeout).unwrap_or(0); // EINTR: as if nothing came
            let mut now = clock::now();
            for event in events.iter().take(count) {
                match event.data() {
                    BELL => self.obey(&mut buffers, now),
                    token if LISTENERS - token < self.listeners.len() as u64 => {
                        if self.serve(LISTENERS - token, &mut buffers, now) && count == 1 {
                            self.stay(LISTENERS - token, &mut buffers, now);
                        }
                    }
                    token => self.hear(Socket(token), &mut buffers.outbox, now),
                }
                self.act(&mut buffers.outbox, now);
            }
            if self.next_time().is_some() {
                now = clock::now();
                self.serving.engine.wake(now);
                self.serving.let_go(&self.forwarder, &mut buffers.outbox, now);
                self.act(&mut buffers.outbox, now);
            }
            buffers.outbox.flush();
            if self.ends.is_some_and(|ends| now >= ends || self.serving.is_done()) {
                return;
            }
        }
    }

    fn timeout(&mut self) -> EpollTimeout {
        let Some(at) = self.next_time() else { return EpollTimeout::NONE };
        let left = at.saturating_duration_since(clock::now());
        // Rounded up: a wake too early would only have to wait again.
        EpollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(EpollTimeout::MAX)
    }

    /// When something is to be done though nothing comes.
    fn next_time(&mut self) -> Option<Instant> {
        [self.serving.next_time(), self.ends].into_iter().flatten().min()
    }

    /// Takes queries from a listener. Returns whether it is worth staying with.
    fn serve(&mut self, listener: u64, buffers: &mut Buffers, now: Instant) -> bool {
        let mut most = 0;
        for _ in 0..TURN {
            let Took { count, more, .. } = self.serve_batch(listener, buffers, Patience::None, now);
            most = most.max(count);
            if !more {
                break;
            }
        }
        most >= BUSY
    }

    /// Waits for further queries at one listener: while nothing is asked and nothing held, they are all that can come, and
    /// one system call does for two. What other threads want is looked at again soon.
    fn stay(&mut self, listener: u64, buffers: &mut Buffers, now: Instant) {
        let until = now + STAY;
        while self.serving.is_idle() {
            let Took { count, at, .. } = self.serve_batch(listener, buffers, Patience::One, now);
            buffers.outbox.flush();
            if count == 0 || at >= until {
                return;
            }
        }
    }

    fn serve_batch(&mut self, listener: u64, buffers: &mut Buffers, patience: Patience, now: Instant) -> Took {
        let listener = usize::try_from(listener).ok().and_then(|index| self.listeners.get(index));
        let Some(Listener { socket, is_v4 }) = listener else { return Took { count: 0, more: false, at: now } };
        let entrance = Entrance { forwarder: &self.forwarder, socket };
        let took = match is_v4 {
            true => self.serving.serve(entrance, &mut buffers.v4, patience, now),
            false => self.serving.serve(entrance, &mut buffers.v6, patience, now),
        };
        self.act(&mut buffers.outbox, took.at);
        took
    }

    /// Takes an answer from an upstream.
    fn hear(&mut self, socket: Socket, outbox: &mut Outbox, now: Instant) {
        // One at a time: a second try would nearly always find nothing, and where there is more, epoll says so again.
        match self.sockets.receive(socket, &mut self.answer) {
            Some((upstream, Ok(length))) => {
                let message = self.answer.get(..length).unwrap_or_default();
                if let Some(landed) = self.serving.engine.datagram(upstream, socket, message, now) {
                    self.forwarder.give(&landed, outbox, now);
                }
            }
            Some((upstream, Err(_))) => self.serving.engine.refused(upstream, socket, now),
            None => {}
        }
    }

    /// Does what the engine wants done.
    #[inline]
    fn act(&mut self, outbox: &mut Outbox, now: Instant) {
        while let Some(action) = self.serving.engine.next_action() {
            self.perform(action, outbox, now);
        }
    }

    #[inline(never)]
    fn perform(&mut self, action: Action, outbox: &mut Outbox, now: Instant) {
        match action {
            Action::Open(socket, upstream) => {
                if let Err(error) = self.sockets.open(socket, &upstream, &self.epoll) {
                    log::debug!(upstream:% = upstream.server, error:%; "no socket to an upstream");
                    self.serving.engine.refused(upstream.id, socket, now);
                }
            }
            Action::Send(socket, ask) => {
                let sent = self.serving.engine.message(ask).map(|message| self.sockets.send(socket, message));
                if let Some(Sent::Refused(upstream)) = sent {
                    self.serving.engine.refused(upstream, socket, now);
                }
            }
            Action::Close(socket) => self.sockets.close(socket),
            Action::Stream(ask, upstream, deadline) => {
                let message = self.serving.engine.message(ask).unwrap_or_default().to_vec();
                let (streams, orders) = (Arc::clone(&self.streams), self.orders.clone());
                self.runtime.spawn(async move {
                    let answer = match upstream.server.socket_address() {
                        Ok(server) => streams.ask(server, message, deadline.into()).await.ok(),
                        Err(_) => None, // its interface is gone
                    };
                    orders.tell(Order::Streamed(ask, answer));
                });
            }
            Action::Answered(said) => match said.landed() {
                Some(landed) => self.forwarder.give(&landed, outbox, now),
                None => self.forwarder.give_up(&said.key, Failure::NoAnswer, outbox, now),
            },
            Action::Refused(said) => self.forwarder.give_failure(&said, outbox, now),
            Action::Failed(key, why) => self.forwarder.give_up(&key, why, outbox, now),
            Action::Overdue(key) => {
                let next = self.forwarder.give_overdue(&key, outbox, now);
                self.serving.engine.remind(&key, next.unwrap_or(now + CLIENT_BUDGET));
            }
            Action::Silent(upstream, transport, key) => {
                self.forwarder.guard.suspect(upstream, transport, Witness::Silence, (&key).into());
            }
        }
    }

    /// Does what other threads want done.
    fn obey(&mut self, buffers: &mut Buffers, now: Instant) {
        self.inbox.hush();
        while let Some(order) = self.inbox.next() {
            match order {
                Order::Ask(question) => {
                    let widened = question.passed.foreign() && !self.forwarder.waiters.is_alone(question.key.bytes());
                    let key = widened.then(|| question.key.clone());
                    self.serving.engine.ask(question, now);
                    key.iter().for_each(|key| self.serving.engine.widen(key, now));
                }
                Order::Hold(question) => self.serving.hold(question, now),
                Order::Widen(key) => self.serving.engine.widen(&key, now),
                Order::Streamed(ask, answer) => {
                    if let Some(landed) = self.serving.engine.streamed(ask, answer.as_deref(), now) {
                        self.forwarder.give(&landed, &mut buffers.outbox, now);
                    }
                }
                Order::CameBack(key, upstream, until) => {
                    self.serving.engine.came_back(&key, upstream, now);
                    self.serving.engine.remind(&key, until);
                }
                Order::Guidance => {
                    let guard = &self.forwarder.guard;
                    let (verdicts, key) = (Arc::clone(&guard.verdicts()), Arc::clone(&guard.key()));
                    self.serving.engine.guide(Guidance { verdicts, key }, now);
                }
                Order::Allow => self.serving.forget_moment(),
                Order::Adopt(set) => self.serving.engine.adopt(set),
                Order::RenewSockets => self.serving.engine.renew_sockets(),
                Order::Listen(socket) => self.listen(socket),
                Order::Unlisten(socket) => {
                    self.listeners.retain(|listener| !Arc::ptr_eq(&listener.socket, &socket));
                    self.watch_listeners(&socket);
                }
                Order::Drain => {
                    for listener in 0..self.listeners.len() {
                        self.serve(listener as u64, buffers, now); // what already came is answered, too
                    }
                    for listener in std::mem::take(&mut self.listeners) {
                        let _ = self.epoll.delete(listener.socket.as_fd());
                    }
                    self.ends = Some(now + DRAIN);
                }
            }
        }
    }

    fn listen(&mut self, socket: Arc<UdpSocket>) {
        let token = LISTENERS - self.listeners.len() as u64;
        if let Err(error) = self.epoll.add(socket.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, token)) {
            log::error!(error:%; "cannot wait for queries");
            return;
        }
        let is_v4 = socket.local_addr().is_ok_and(|address| address.is_ipv4());
        self.listeners.push(Listener { socket, is_v4 });
    }

    /// One was taken out: the others have new numbers.
    fn watch_listeners(&mut self, gone: &UdpSocket) {
        let _ = self.epoll.delete(gone.as_fd());
        for (index, listener) in self.listeners.iter().enumerate() {
            let mut event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENERS - index as u64);
            let _ = self.epoll.modify(listener.socket.as_fd(), &mut event);
        }
    }
}
