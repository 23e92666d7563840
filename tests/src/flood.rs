//! A flood from a namespace: random names and garbage over UDP, and TCP clients that waste their place.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::garbage::Garbage;
use crate::netns::Namespace;
use crate::query::{Query, types};
use crate::tcp;
use crate::threads::{Stop, Threads};
use crate::wait;

/// Sources of datagrams, each a socket of its own.
const SOURCES: usize = 16;
/// How long a slow client waits before it connects again, once it was sent away.
const AGAIN: Duration = wait::millis(500);
/// Number of queries that a client which never reads writes at a time.
const PIPELINE: usize = 64;

/// A running flood. It ends when it is dropped.
#[derive(Debug)]
pub struct Flood<'a> {
    namespace: &'a Namespace,
    server: SocketAddr,
    threads: Threads,
    asked: Arc<AtomicU64>,
}

impl<'a> Flood<'a> {
    /// Nothing yet, from `namespace` to `server`.
    #[must_use]
    pub fn new(namespace: &'a Namespace, server: SocketAddr) -> Self {
        Self { namespace, server, threads: Threads::default(), asked: Arc::default() }
    }

    /// Names below `zone` that were never asked before: `count` of them, `rate` a second. Nobody reads the answers.
    pub fn names(&mut self, zone: &str, count: u64, rate: u64) {
        let query = Query::new(&format!("{:016x}.{zone}", 0), types::A).bytes();
        let asked = Arc::clone(&self.asked);
        let names = (1..=count).map(move |number| {
            let mut query = query.clone();
            // An odd factor makes another number of each, and they look like anything but a sequence.
            let label = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            query[..2].copy_from_slice(&label.to_be_bytes()[..2]);
            query[13..29].copy_from_slice(format!("{label:016x}").as_bytes());
            asked.store(number, Ordering::Relaxed);
            query
        });
        self.datagrams(names, rate);
    }

    /// How many names were asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Garbage, `rate` messages a second.
    pub fn garbage(&mut self, rate: u64) {
        self.datagrams(Garbage::default(), rate);
    }

    fn datagrams(&mut self, messages: impl Iterator<Item = Vec<u8>> + Send + 'static, rate: u64) {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let sockets: Vec<UdpSocket> = (0..SOURCES).map(|_| self.namespace.udp(any)).collect();
        for socket in &sockets {
            socket.connect(self.server).expect("a route to the server");
        }
        self.threads.start(move |stop| send(messages, rate, &sockets, stop));
    }

    /// `count` slow clients, a quarter of each kind: silent ones; those that send a byte now and then; those that ask
    /// for `known` without end and read nothing; those that ask for `unknown`, wait, and ask again.
    pub fn slow_clients(&mut self, count: usize, known: &str, unknown: &str) {
        let enter = self.namespace.entrance();
        let frame = |name: &str| tcp::framed(&Query::new(name, types::A).bytes());
        let (known, unknown, server) = (frame(known).repeat(PIPELINE), frame(unknown), self.server);
        self.threads.start(move |stop| {
            enter();
            let kinds = [Kind::Silent, Kind::Trickles, Kind::NeverReads(known), Kind::Waits(unknown)];
            let mut clients: Vec<Slow> = kinds.into_iter().cycle().take(count).map(Slow::new).collect();
            while !stop.told() {
                let now = Instant::now();
                clients.iter_mut().for_each(|client| client.go_on(server, now));
                sleep(wait::millis(20));
            }
        });
    }
}

/// Sends `rate` messages a second until there are no more.
fn send(messages: impl Iterator<Item = Vec<u8>>, rate: u64, sockets: &[UdpSocket], stop: &Stop) {
    let began = Instant::now();
    for ((message, socket), number) in messages.zip(sockets.iter().cycle()).zip(0_u64..) {
        let due = began + Duration::from_nanos(1_000_000_000 / rate * number);
        // Many at a time, with a pause: a pause for each would take longer than it should.
        let early = due.saturating_duration_since(Instant::now());
        if early > wait::millis(2) {
            sleep(early);
        }
        if stop.told() {
            return;
        }
        let _ = socket.send(&message); // what the kernel has no room for is lost, as with any flood
    }
}

/// How a slow client wastes its place.
#[derive(Clone)]
enum Kind {
    Silent,
    Trickles,
    NeverReads(Vec<u8>),
    Waits(Vec<u8>),
}

struct Slow {
    kind: Kind,
    stream: Option<TcpStream>,
    next: Instant,
}

impl Slow {
    fn new(kind: Kind) -> Self {
        Self { kind, stream: None, next: Instant::now() }
    }

    fn go_on(&mut self, server: SocketAddr, now: Instant) {
        if now < self.next {
            return;
        }
        let alive = match &mut self.stream {
            None => {
                self.stream = TcpStream::connect_timeout(&server, wait::millis(200)).ok();
                self.stream.as_ref().is_some_and(|stream| stream.set_nonblocking(true).is_ok())
            }
            Some(stream) => waste(&self.kind, stream),
        };
        if !alive {
            self.stream = None;
        }
        self.next = now + AGAIN;
    }
}

/// One step; false where the server has hung up.
fn waste(kind: &Kind, mut stream: &TcpStream) -> bool {
    let written = match kind {
        Kind::Silent => Ok(0),
        Kind::Trickles => stream.write(&[0]),
        Kind::NeverReads(queries) => return is_alive(stream.write(queries)),
        Kind::Waits(query) => stream.write(query),
    };
    is_alive(written)
        && is_alive(stream.read(&mut [0; 4096]).and_then(|count| match count {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            more => Ok(more),
        }))
}

fn is_alive(done: std::io::Result<usize>) -> bool {
    !matches!(done, Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted))
}
