//! One connection to an upstream, and the task that owns it: who waits for which ID, and since when.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use futures_util::StreamExt;
use hickory_net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_net::tcp;
use hickory_net::{BufDnsStreamHandle, DnsStreamHandle};
use hickory_proto::op::{Query, SerialMessage};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::{StreamError, StreamLimits};
use crate::exchange::check::{self, Match};
use crate::wire::HEADER;

/// A query, and where the question in it ends.
#[derive(Debug, Clone)]
pub(super) struct StreamRequest {
    query: Vec<u8>,
    end: usize,
}

/// A question, and who waits for the answer, until when.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) question: StreamRequest,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Vec<u8>, StreamError>>,
}

/// The handle of a connection; the connection ends when it is idle.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) opened: Instant,
    attempts: mpsc::Sender<(Attempt, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    alive: Weak<()>,
}

/// Room for one more question.
#[derive(Debug)]
pub(super) struct Room(mpsc::OwnedPermit<(Attempt, OwnedSemaphorePermit)>, OwnedSemaphorePermit);

impl Connection {
    /// Starts a connection. Questions may be put to it at once.
    pub(super) fn open(server: SocketAddr, limits: StreamLimits) -> Self {
        let (attempts, incoming) = mpsc::channel(limits.lookups_running.max(1));
        let alive = Arc::new(());
        let handle = Self {
            opened: Instant::now(),
            attempts,
            room: Arc::new(Semaphore::new(limits.lookups_running)),
            alive: Arc::downgrade(&alive),
        };
        tokio::spawn(run(server, limits, incoming, alive));
        handle
    }

    /// Whether nothing is left of the connection.
    pub(super) fn has_ended(&self) -> bool {
        self.alive.strong_count() == 0
    }

    /// Room for one more question; `None` where it is full or takes no more.
    pub(super) fn room(&self) -> Option<Room> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some(Room(self.attempts.clone().try_reserve_owned().ok()?, permit))
    }
}

impl Room {
    /// Puts the question. Where the connection has ended meanwhile, the one who waits for the answer is told.
    pub(super) fn take(self, ask: Attempt) {
        self.0.send((ask, self.1));
    }
}

impl StreamRequest {
    /// Takes a query with one question.
    pub(super) fn of(query: Vec<u8>) -> Option<Self> {
        if query.get(4..6) != Some(&[0, 1]) || u16::try_from(query.len()).is_err() {
            return None;
        }
        let mut decoder = BinDecoder::new(&query);
        decoder.read_slice(HEADER).ok()?;
        Query::read(&mut decoder).ok()?;
        let end = decoder.index();
        Some(Self { query, end })
    }

    fn id(&self) -> [u8; 2] {
        self.query.first_chunk().copied().unwrap_or_default()
    }

    /// Whether the message is a response to this question, however it is spelled: names are equal without regard to case
    /// (RFC 4343), and nobody off the path speaks over a stream. Those who change the spelling are asked over one for that.
    ///
    /// An error may come without a question; then there is none to match (RFC 7766, section 7).
    fn is_answered_by(&self, message: &[u8]) -> bool {
        let Some(&[_, _, high, low, questions @ .., _, _, _, _, _, _]) = message.first_chunk::<HEADER>() else {
            return false;
        };
        let same = check::matches(&self.query, self.end, message) != Match::Stranger;
        high & 0x80 != 0 && (same || (questions == [0, 0] && low & 0x0f != 0))
    }
}

/// Connects, then carries questions and answers until the connection ends.
async fn run(
    server: SocketAddr,
    limits: StreamLimits,
    mut attempts: mpsc::Receiver<(Attempt, OwnedSemaphorePermit)>,
    alive: Arc<()>,
) {
    let error = match timeout(limits.connect, TcpStream::connect(server)).await {
        Ok(Ok(socket)) => {
            // Each question is a whole message; waiting for a fuller segment would only delay it.
            let _ = socket.set_nodelay(true);
            let socket = AsyncIoTokioAsStd(socket);
            let (frames, out) = tcp::TcpStream::from_stream_with_buffer_size(socket, server, limits.lookups_running);
            let (waiting, now) = (HashMap::new(), Instant::now());
            let task = Task { attempts, _alive: alive, frames, out, server, heard: now, quiet_since: now, waiting };
            return task.run(limits).await;
        }
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => StreamError::Refused,
        Ok(Err(_)) | Err(_) => StreamError::Unreachable,
    };
    attempts.close();
    drop(alive);
    while let Some((ask, _permit)) = attempts.recv().await {
        let _ = ask.reply.send(Err(error));
    }
}

/// The order of the fields is the order in which they are dropped: those who wait are told last, so that when they ask
/// again this connection is no longer there.
struct Task {
    attempts: mpsc::Receiver<(Attempt, OwnedSemaphorePermit)>,
    _alive: Arc<()>,
    frames: tcp::TcpStream<AsyncIoTokioAsStd<TcpStream>>,
    out: BufDnsStreamHandle,
    server: SocketAddr,
    /// When the server last sent a message, whatever was in it.
    heard: Instant,
    /// Since when nothing waits; means nothing while something does.
    quiet_since: Instant,
    waiting: HashMap<u16, Waiting>,
}

struct Waiting {
    ask: Attempt,
    asked: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Task {
    async fn run(mut self, limits: StreamLimits) {
        while !(self.attempts.is_closed() && self.attempts.is_empty() && self.waiting.is_empty()) {
            let first_deadline = self.waiting.values().map(|waiting| waiting.ask.deadline).min();
            let wake = first_deadline.unwrap_or(self.quiet_since + limits.idle);
            tokio::select! {
                message = self.frames.next() => match message {
                    Some(Ok(message)) => self.hear(message.into_parts().0),
                    // Closed, or broken: no further answer can come.
                    Some(Err(_)) | None => return,
                },
                Some((ask, permit)) = self.attempts.recv() => self.put(ask, permit),
                () = sleep_until(wake) => {
                    if self.waiting.is_empty() || !self.expire() {
                        return;
                    }
                }
            }
        }
    }

    fn put(&mut self, ask: Attempt, permit: OwnedSemaphorePermit) {
        if ask.reply.is_closed() {
            return;
        }
        let mut id = rand::random::<u16>();
        while self.waiting.contains_key(&id) {
            id = rand::random(); // few of 65,536 are taken
        }
        let mut query = ask.question.query.clone();
        set_id(&mut query, id.to_be_bytes());
        if self.out.send(SerialMessage::new(query, self.server)).is_err() {
            self.attempts.close(); // the server has not taken what it was sent long ago
            return;
        }
        self.waiting.insert(id, Waiting { ask, asked: Instant::now(), _permit: permit });
    }

    /// Gives an answer to the one who waits for it. A message that answers nothing is let pass.
    fn hear(&mut self, mut message: Vec<u8>) {
        self.heard = Instant::now();
        let Some(id) = message.first_chunk().copied().map(u16::from_be_bytes) else { return };
        let answered = |waiting: &Waiting| waiting.ask.question.is_answered_by(&message);
        if !self.waiting.get(&id).is_some_and(answered) {
            return;
        }
        if let Some(Waiting { ask, .. }) = self.waiting.remove(&id) {
            set_id(&mut message, ask.question.id());
            let _ = ask.reply.send(Ok(message));
            self.quiet_since = self.heard;
        }
    }

    /// Ends the wait for what is overdue; false where nothing at all has come since that was asked. Then the connection may
    /// be dead without a word, as when a firewall has forgotten it, and the others who wait had better ask elsewhere.
    fn expire(&mut self) -> bool {
        let now = Instant::now();
        let mut alive = true;
        for (_, Waiting { ask, asked, .. }) in self.waiting.extract_if(|_, waiting| waiting.ask.deadline <= now) {
            alive &= asked < self.heard;
            let _ = ask.reply.send(Err(StreamError::Timeout));
        }
        self.quiet_since = now;
        alive
    }
}

fn set_id(message: &mut [u8], id: [u8; 2]) {
    if let Some(place) = message.first_chunk_mut() {
        *place = id;
    }
}
