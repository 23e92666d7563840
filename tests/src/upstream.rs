//! Upstream servers that follow a script: a closure decides for each query what comes back, when, and from where.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::dns::Answer;
use crate::netns::Namespace;
use crate::query::{flags, length, name, types};
use crate::tcp;
use crate::threads::{Stop, Threads};

/// How often the threads look whether they should end.
const TICK: Duration = Duration::from_millis(50);
/// How long a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Within this time what belongs to one segment has come.
const SEGMENT: Duration = Duration::from_millis(2);

/// Over what a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A message of a connection.
    Tcp,
}

/// A query that an upstream saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The query, to the last byte.
    pub query: Answer,
    /// Over what it came.
    pub transport: Transport,
    /// Who asked.
    pub peer: SocketAddr,
}

/// One thing that a script does about a query.
#[derive(Clone, Debug)]
pub struct Reply {
    /// After this time.
    pub after: Duration,
    /// This message is sent; over TCP an empty one closes the connection.
    pub message: Vec<u8>,
    /// From another port than the one that was asked (UDP only).
    pub elsewhere: bool,
    /// Whatever came over the connection together with the query is dropped first (TCP only).
    pub drops_rest: bool,
}

impl Reply {
    /// This message, at once.
    #[must_use]
    pub fn now(message: Vec<u8>) -> Vec<Self> {
        Self::after(Duration::ZERO, message)
    }

    /// This message, late.
    #[must_use]
    pub fn after(after: Duration, message: Vec<u8>) -> Vec<Self> {
        vec![Self { after, message, elsewhere: false, drops_rest: false }]
    }

    /// Nothing.
    #[must_use]
    pub fn silence() -> Vec<Self> {
        Vec::new()
    }
}

/// The EDNS option that carries the loop guard's tag.
const TAG: [u8; 2] = 65_353_u16.to_be_bytes();

impl Seen {
    /// The name of the question in lower case.
    #[must_use]
    pub fn name(&self) -> String {
        self.query.asked().to_ascii_lowercase()
    }

    /// Whether it has additional records, of which queries have none but OPT (RFC 6891, section 6.1.1).
    #[must_use]
    pub fn has_opt(&self) -> bool {
        self.query.0[11] > 0
    }

    /// Whether its name has upper case letters.
    #[must_use]
    pub fn is_spelled(&self) -> bool {
        self.query.asked().bytes().any(|byte| byte.is_ascii_uppercase())
    }

    /// Whether it is a probe of the loop guard.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.name().starts_with("probe.")
    }

    /// Whether it has a tag of the loop guard.
    #[must_use]
    pub fn is_tagged(&self) -> bool {
        self.has_opt() && self.query.0.windows(2).any(|two| two == TAG)
    }

    /// The header of an answer to this query with these counts, and its question as it was spelled.
    #[must_use]
    pub fn header(&self, bits: u16, counts: [u16; 3]) -> Vec<u8> {
        let mut message = self.query.0[..2].to_vec();
        message.extend((flags::QR | flags::RD | flags::RA | bits).to_be_bytes());
        message.extend(1_u16.to_be_bytes());
        counts.iter().for_each(|count| message.extend(count.to_be_bytes()));
        message.extend(self.query.question());
        message
    }

    /// An answer with one address.
    #[must_use]
    pub fn address(&self, address: [u8; 4], ttl: u32) -> Vec<u8> {
        let mut message = self.header(0, [1, 0, 0]);
        message.extend(record(&[0xc0, 12], types::A, ttl, &address));
        message
    }

    /// An answer with one record of any type, owned by the name that was asked.
    #[must_use]
    pub fn record(&self, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
        let mut message = self.header(0, [1, 0, 0]);
        message.extend(record(&[0xc0, 12], kind, ttl, data));
        message
    }

    /// An answer that holds nothing but its response code.
    #[must_use]
    pub fn code(&self, rcode: u16) -> Vec<u8> {
        self.header(rcode, [0, 0, 0])
    }

    /// An answer that says no, with the zone's SOA: `code` is NXDOMAIN or, for "no such type", 0.
    #[must_use]
    pub fn negative(&self, code: u16, ttl: u32) -> Vec<u8> {
        let mut message = self.header(code, [0, 1, 0]);
        let mut soa = [name("ns.test.example"), name("hostmaster.test.example")].concat();
        for number in [1, 3600, 600, 86_400, ttl] {
            soa.extend(u32::to_be_bytes(number));
        }
        message.extend(record(&name("example"), types::SOA, ttl, &soa));
        message
    }

    /// SERVFAIL with an extended error (RFC 8914).
    #[must_use]
    pub fn failure(&self, extended: u16) -> Vec<u8> {
        let mut message = self.header(crate::dns::rcode::SERVFAIL, [0, 0, 1]);
        message.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2]);
        message.extend(extended.to_be_bytes());
        message
    }
}

/// A record of class IN.
#[must_use]
pub fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(length(data));
    bytes.extend(data);
    bytes
}

type Script = dyn Fn(&Seen) -> Vec<Reply> + Send + Sync;

/// A scripted upstream that listens on UDP and TCP until it is dropped.
pub struct Scripted {
    shared: Arc<Shared>,
    threads: Threads,
}

struct Shared {
    script: Box<Script>,
    threads: PerQuery,
    seen: Mutex<Vec<Seen>>,
}

/// On which thread a script decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PerQuery {
    /// On the listener's: one query after the other, in the order in which they came.
    Shared,
    /// On one of its own: it may wait for others, itself among them.
    Own,
}

impl Scripted {
    /// Listens on `address`, over UDP and TCP, in `namespace`.
    #[must_use]
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self::over_udp(namespace, address, PerQuery::Shared, Box::new(script)).and_tcp(namespace, address)
    }

    /// Listens over UDP and TCP, and runs the script for each query on a thread of its own, so that it may wait.
    #[must_use]
    pub fn start_waiting(
        namespace: &Namespace,
        address: SocketAddr,
        script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self::over_udp(namespace, address, PerQuery::Own, Box::new(script)).and_tcp(namespace, address)
    }

    /// Listens on `address` over UDP; TCP connections are refused.
    ///
    /// # Panics
    /// If the address cannot be bound.
    #[must_use]
    pub fn udp_only(
        namespace: &Namespace,
        address: SocketAddr,
        script: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self::over_udp(namespace, address, PerQuery::Shared, Box::new(script))
    }

    fn over_udp(namespace: &Namespace, address: SocketAddr, threads: PerQuery, script: Box<Script>) -> Self {
        let shared = Arc::new(Shared { script, threads, seen: Mutex::new(Vec::new()) });
        let socket = Arc::new(namespace.udp(address));
        let elsewhere = Arc::new(namespace.udp(SocketAddr::new(address.ip(), 0)));
        let serving = Arc::clone(&shared);
        let mut threads = Threads::default();
        threads.start(move |stop| serving.serve_udp(&socket, &elsewhere, stop));
        Self { shared, threads }
    }

    fn and_tcp(mut self, namespace: &Namespace, address: SocketAddr) -> Self {
        let listener = namespace.listener(address);
        let shared = Arc::clone(&self.shared);
        self.threads.start(move |stop| shared.serve_tcp(&listener, stop));
        self
    }

    /// What it has seen of a name, in any spelling and of any type.
    ///
    /// # Panics
    /// If a script panicked.
    #[must_use]
    pub fn seen(&self, name: &str) -> Vec<Seen> {
        let seen = self.shared.seen.lock().expect("no script panicked");
        seen.iter().filter(|seen| seen.name() == name).cloned().collect()
    }

    /// All that it has seen, probes of the loop guard among it.
    ///
    /// # Panics
    /// If a script panicked.
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no script panicked").clone()
    }

    /// How many probes of the loop guard it has seen.
    ///
    /// # Panics
    /// If a script panicked.
    #[must_use]
    pub fn count_of_probes(&self) -> usize {
        self.count_of("probe.")
    }

    /// How often it was asked for names that begin so.
    ///
    /// # Panics
    /// If a script panicked.
    #[must_use]
    pub fn count_of(&self, beginning: &str) -> usize {
        let seen = self.shared.seen.lock().expect("no script panicked");
        seen.iter().filter(|seen| seen.name().starts_with(beginning)).count()
    }

    /// How often it was asked for a name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.seen(name).len()
    }
}

impl Shared {
    fn ask_script(&self, message: &[u8], transport: Transport, peer: SocketAddr) -> Vec<Reply> {
        if message.len() < 17 || message[2] & 0x80 != 0 {
            return Reply::silence();
        }
        let seen = Seen { query: Answer(message.to_vec()), transport, peer };
        self.seen.lock().expect("no script panicked").push(seen.clone());
        (self.script)(&seen)
    }

    fn serve_udp(self: Arc<Self>, socket: &Arc<UdpSocket>, elsewhere: &Arc<UdpSocket>, stop: &Stop) {
        socket.set_read_timeout(Some(TICK)).expect("set a timeout");
        let mut buffer = [0; 4096];
        while !stop.told() {
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            let (shared, query) = (Arc::clone(&self), buffer[..length].to_vec());
            let (socket, elsewhere) = (Arc::clone(socket), Arc::clone(elsewhere));
            let serve = move || {
                for reply in shared.ask_script(&query, Transport::Udp, peer) {
                    let from = Arc::clone(if reply.elsewhere { &elsewhere } else { &socket });
                    let send = move || {
                        let _ = from.send_to(&reply.message, peer);
                    };
                    later(reply.after, send);
                }
            };
            match self.threads {
                PerQuery::Shared => serve(),
                PerQuery::Own => drop(spawn(serve)),
            }
        }
    }

    fn serve_tcp(self: Arc<Self>, listener: &TcpListener, stop: &Stop) {
        tcp::accept(listener, PATIENCE, stop, |stream, peer| {
            let (shared, stop) = (Arc::clone(&self), stop.clone());
            spawn(move || shared.serve_connection(stream, peer, &stop));
        });
    }

    fn serve_connection(&self, mut stream: TcpStream, peer: SocketAddr, stop: &Stop) {
        while !stop.told()
            && let Some(message) = tcp::read(&mut stream)
        {
            for reply in self.ask_script(&message, Transport::Tcp, peer) {
                if reply.message.is_empty() {
                    // Both directions, so that the other side sees an end, whoever else still holds the stream.
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
                if reply.drops_rest {
                    sleep(SEGMENT);
                    tcp::drop_readable(&mut stream);
                }
                let Ok(mut writer) = stream.try_clone() else { return };
                later(reply.after, move || drop(writer.write_all(&tcp::framed(&reply.message))));
            }
        }
    }
}

/// Does it at once, or on a thread after a while.
fn later(after: Duration, send: impl FnOnce() + Send + 'static) {
    if after.is_zero() {
        return send();
    }
    spawn(move || {
        sleep(after);
        send();
    });
}
