//! A forwarder that loses every mark: it asks with an ID of its own, the name in lower case and without OPT, and
//! remembers nothing. Over TCP it does the same, and asks over UDP.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::Duration;

use crate::netns::Namespace;
use crate::tcp;
use crate::threads::{Stop, Threads};
use crate::wait;

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often the threads look whether they should end.
const TICK: Duration = Duration::from_millis(50);
/// What it has under way at most, so that a storm ends.
const MOST: usize = 512;

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    _threads: Threads,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    copies: usize,
    /// Sockets of the namespace, each for one question at a time.
    idle: Mutex<Vec<UdpSocket>>,
}

impl Relay {
    /// Listens on `address` and asks `target`; each question is sent `copies` times.
    #[must_use]
    pub fn start(namespace: &Namespace, address: SocketAddr, target: SocketAddr, copies: usize) -> Self {
        let sockets =
            namespace.within(|| (0..MOST).map(|_| UdpSocket::bind("0.0.0.0:0").expect("a socket")).collect::<Vec<_>>());
        let shared = Arc::new(Shared { target: Mutex::new(target), copies, idle: Mutex::new(sockets) });
        let socket = Arc::new(namespace.udp(address));
        let listener = namespace.listener(address);
        let (over_udp, over_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let mut threads = Threads::default();
        threads.start(move |stop| over_udp.serve_udp(&socket, stop));
        threads.start(move |stop| over_tcp.serve_tcp(&listener, stop));
        Self { shared, _threads: threads }
    }

    /// Asks the server at `target` from now on.
    ///
    /// # Panics
    /// If a thread did.
    pub fn turn(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("nobody panicked") = target;
    }
}

impl Shared {
    fn serve_udp(self: Arc<Self>, socket: &Arc<UdpSocket>, stop: &Stop) {
        socket.set_read_timeout(Some(TICK)).expect("set a timeout");
        let mut buffer = [0; 4096];
        while !stop.told() {
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            let (shared, socket, query) = (Arc::clone(&self), Arc::clone(socket), buffer[..length].to_vec());
            spawn(move || {
                if let Some(answer) = shared.ask(&query) {
                    let _ = socket.send_to(&answer, peer);
                }
            });
        }
    }

    fn serve_tcp(self: Arc<Self>, listener: &TcpListener, stop: &Stop) {
        tcp::accept(listener, PATIENCE, stop, |stream, _| {
            let shared = Arc::clone(&self);
            spawn(move || shared.serve_connection(stream));
        });
    }

    fn serve_connection(&self, mut stream: TcpStream) -> Option<()> {
        loop {
            let query = tcp::read(&mut stream)?;
            let answer = self.ask(&query)?;
            stream.write_all(&tcp::framed(&answer)).ok()?;
        }
    }

    /// Asks the target, and gives the answer as one to `query`.
    fn ask(&self, query: &[u8]) -> Option<Vec<u8>> {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let target = *self.target.lock().ok()?;
        // An odd step visits every ID.
        let id = NEXT.fetch_add(40_503, Ordering::Relaxed).to_be_bytes();
        let plain = plain(query, id)?;
        let socket = self.idle.lock().ok()?.pop()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        for _ in 0..self.copies {
            let _ = socket.send_to(&plain, target);
        }
        let answer = receive(&socket, id);
        self.idle.lock().ok()?.push(socket);
        let mut answer = answer?;
        answer.get_mut(..2)?.copy_from_slice(query.get(..2)?);
        Some(answer)
    }
}

/// The next answer with this ID; what is left of an earlier question has another.
fn receive(socket: &UdpSocket, id: [u8; 2]) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    loop {
        let length = wait::uninterrupted(|| socket.recv(&mut buffer)).ok()?;
        if buffer.get(..2)? == id {
            return Some(buffer[..length].to_vec());
        }
    }
}

/// The question alone, its name in lower case.
fn plain(query: &[u8], id: [u8; 2]) -> Option<Vec<u8>> {
    let mut end = 12;
    while let length @ 1..64 = usize::from(*query.get(end)?) {
        end += length + 1;
    }
    let mut plain = [&id[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    // Lengths are below 64, so no length looks like a letter.
    plain.extend(query.get(12..end + 5)?.to_ascii_lowercase());
    // Type and class are numbers, not letters.
    let tail = plain.len() - 4;
    plain[tail..].copy_from_slice(query.get(end + 1..end + 5)?);
    Some(plain)
}
