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
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::queue::{Attempt, Queue};
use super::{StreamError, StreamLimits};

/// Number of times that the slowest response so far may be outlasted by a silence before queries count as dropped.
const SLOWER: u32 = 4;

/// Connects, then carries queries and responses until the connection ends.
pub(super) async fn run(server: SocketAddr, limits: StreamLimits, queue: Arc<Queue>) {
    let error = match timeout(limits.connect, TcpStream::connect(server)).await {
        Ok(Ok(socket)) => {
            // Each query is a whole message; waiting for a fuller segment would only delay it.
            let _ = socket.set_nodelay(true);
            let socket = AsyncIoTokioAsStd(socket);
            let (frames, out) = tcp::TcpStream::from_stream_with_buffer_size(socket, server, limits.in_flight);
            let now = Instant::now();
            let waiting = HashMap::new();
            let (answered, slowest) = (0, Duration::ZERO);
            let mut connection =
                Connection { queue, frames, out, server, heard: now, quiet_since: now, answered, slowest, waiting };
            return connection.carry(limits).await;
        }
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => StreamError::Refused,
        Ok(Err(_)) | Err(_) => StreamError::Unreachable,
    };
    queue.not_connected(error);
}

struct Connection {
    queue: Arc<Queue>,
    frames: tcp::TcpStream<AsyncIoTokioAsStd<TcpStream>>,
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
        loop {
            let first_deadline = self.waiting.values().map(|waiting| waiting.attempt.deadline).min();
            let wake = first_deadline.unwrap_or(self.quiet_since + limits.idle);
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
        let query = SerialMessage::new(attempt.request.with_id(id), self.server);
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
