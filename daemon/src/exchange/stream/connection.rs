//! One connection to an upstream: the task that owns it takes queries from the server's queue, and knows which ID
//! stands for which query. It also notices that the server has dropped some of the queries that it was sent at once.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hickory_net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_net::tcp;
use hickory_net::{BufDnsStreamHandle, DnsStreamHandle};
use hickory_proto::op::SerialMessage;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::queue::{Attempt, Queue};
use super::tls::Tls;
use super::{StreamError, StreamLimits};
use crate::clock;
use crate::upstream::{Endpoint, Security};

/// Number of times that the slowest response so far may be outlasted by a silence before queries count as dropped.
const SLOWER: u32 = 4;

/// Room for a query and the length before it, which so leave together, in bytes.
const WRITE_BUFFER: usize = 1024;

/// Where connections go: an endpoint, and the address that it has now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) address: SocketAddr,
}

/// A stream of bytes, with TLS or without.
trait Bytes: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Bytes for S {}

/// Connects, then carries queries and responses until the connection ends.
pub(super) async fn run(target: Target, tls: Arc<Tls>, limits: StreamLimits, queue: Arc<Queue>) {
    let (server, is_encrypted) = (target.address, target.endpoint.security != Security::Plain);
    let bytes = match timeout(limits.connect, open(&target, &tls, limits)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return queue.not_connected(error),
        Err(_) => return queue.not_connected(StreamError::Unreachable),
    };
    let bytes = AsyncIoTokioAsStd(BufWriter::with_capacity(WRITE_BUFFER, bytes));
    let (frames, out) = tcp::TcpStream::from_stream_with_buffer_size(bytes, server, limits.in_flight);
    let now = Instant::now();
    let mut connection = Connection {
        queue,
        frames,
        out,
        server,
        is_encrypted,
        heard: now,
        quiet_since: now,
        answered: 0,
        slowest: Duration::ZERO,
        waiting: HashMap::new(),
    };
    connection.carry(limits).await;
}

async fn open(target: &Target, tls: &Tls, limits: StreamLimits) -> Result<Box<dyn Bytes>, StreamError> {
    if let Some(why) = tls.refusal(&target.endpoint, clock::now()) {
        return Err(why);
    }
    let socket = TcpStream::connect(target.address).await.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => StreamError::Refused,
        _ => StreamError::Unreachable,
    })?;
    // Each query is a whole message; waiting for a fuller segment would only delay it.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(limits.stuck));
    Ok(match target.endpoint.security {
        Security::Plain => Box::new(socket),
        Security::Tls { .. } => Box::new(tls.connect(&target.endpoint, socket).await?),
    })
}

struct Connection {
    queue: Arc<Queue>,
    frames: tcp::TcpStream<AsyncIoTokioAsStd<BufWriter<Box<dyn Bytes>>>>,
    is_encrypted: bool,
    out: BufDnsStreamHandle,
    server: SocketAddr,
    /// When the server last sent a message, whatever was in it.
    heard: Instant,
    /// Since when no query is unanswered; meaningless while one is.
    quiet_since: Instant,
    /// Number of responses.
    answered: usize,
    /// The longest time that a response has taken.
    slowest: Duration,
    waiting: HashMap<u16, Waiting>,
}

/// A query that was sent and is not answered.
struct Waiting {
    attempt: Attempt,
    sent: Instant,
    /// Whether another query was unanswered when this one was sent.
    is_pipelined: bool,
}

impl Waiting {
    /// Whether the server has spoken since, though not to this query, which it got together with others.
    fn seems_dropped(&self, heard: Instant) -> bool {
        self.is_pipelined && self.sent < heard && !self.attempt.is_sent_again
    }
}

/// However the connection ends, its unanswered queries go back to the queue.
impl Drop for Connection {
    fn drop(&mut self) {
        let unanswered = self.waiting.drain().map(|(_, waiting)| waiting.attempt).collect();
        Queue::ended(&self.queue, self.answered, unanswered);
    }
}

impl Connection {
    async fn carry(&mut self, limits: StreamLimits) {
        let idle = if self.is_encrypted { limits.encrypted_idle } else { limits.idle };
        loop {
            let first_deadline = self.waiting.values().map(|waiting| waiting.attempt.deadline).min();
            let wake = first_deadline.unwrap_or(self.quiet_since + idle);
            let send_again = self.dropped_queries_due(limits);
            let has_room = self.waiting.len() < self.queue.room();
            let queue = Arc::clone(&self.queue);
            tokio::select! {
                biased; // that the server has closed is seen before another query is sent
                message = self.frames.next() => match message {
                    Some(Ok(message)) => self.hear(message.into_parts().0),
                    // Closed, or broken: no further response can come.
                    Some(Err(_)) | None => return,
                },
                attempt = queue.next(), if has_room => {
                    if !self.send(attempt) {
                        return;
                    }
                }
                () = sleep_until(send_again.unwrap_or(wake)), if send_again.is_some() => self.send_dropped_again(),
                () = sleep_until(wake) => {
                    if self.waiting.is_empty() || !self.expire() {
                        return;
                    }
                }
            }
        }
    }

    /// Sends a query; false where the server has long not taken what it was sent.
    fn send(&mut self, attempt: Attempt) -> bool {
        let mut id = rand::random::<u16>();
        while self.waiting.contains_key(&id) {
            id = rand::random(); // few of 65,536 are taken
        }
        let query = SerialMessage::new(attempt.request.with_id(id, self.is_encrypted), self.server);
        let is_pipelined = !self.waiting.is_empty();
        self.waiting.insert(id, Waiting { attempt, sent: Instant::now(), is_pipelined });
        self.out.send(query).is_ok()
    }

    /// Gives a response to the query that it answers; any other message is ignored.
    fn hear(&mut self, message: Vec<u8>) {
        self.heard = Instant::now();
        let Some(id) = message.first_chunk().copied().map(u16::from_be_bytes) else { return };
        if !self.waiting.get(&id).is_some_and(|waiting| waiting.attempt.request.is_answered_by(&message)) {
            return;
        }
        if let Some(Waiting { attempt, sent, .. }) = self.waiting.remove(&id) {
            self.answered += 1;
            self.slowest = self.slowest.max(self.heard - sent);
            self.queue.left(self.answered);
            self.quiet_since = self.heard;
            attempt.finish(Ok(message));
        }
    }

    /// Returns when the queries that the server seems to have dropped are to be sent again; `None` if there are none. A
    /// server that reads one query of a segment answers it, and falls silent.
    fn dropped_queries_due(&self, limits: StreamLimits) -> Option<Instant> {
        let silence = limits.silence.max(SLOWER * self.slowest);
        (self.answered > 0 && self.waiting.values().any(|waiting| waiting.seems_dropped(self.heard)))
            .then(|| self.heard + silence)
    }

    /// Has other connections send the queries that the server seems to have dropped. Late responses are still taken.
    fn send_dropped_again(&mut self) {
        let heard = self.heard;
        let dropped = self.waiting.values_mut().filter(|waiting| waiting.seems_dropped(heard));
        Queue::send_again(&self.queue, dropped.map(|waiting| waiting.attempt.again()).collect());
    }

    /// Ends the wait for overdue responses; false where no message at all has come since their queries were sent. Then
    /// the connection may be dead without a word, as when a firewall has forgotten it, and the other queries had better
    /// be sent elsewhere.
    fn expire(&mut self) -> bool {
        let now = Instant::now();
        let mut is_alive = true;
        for (_, Waiting { attempt, sent, .. }) in self.waiting.extract_if(|_, waiting| waiting.attempt.deadline <= now)
        {
            is_alive &= sent < self.heard;
            self.queue.left(self.answered);
            attempt.finish(Err(StreamError::Timeout));
        }
        self.quiet_since = now;
        is_alive
    }
}
