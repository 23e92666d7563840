//! One connection of a client: queries in, answers out as they come, in whatever order that is (RFC 7766, section 6.2.1.1).
//!
//! hickory's stream frames the messages and reads nothing while it has something to write, so what waits to be written is
//! bounded by the queries in flight. hickory's timer counts from one whole message to the next: it ends a client that
//! sends its query byte by byte, or does not take its answers, just like one that does nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::StreamExt;
use hickory_net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_net::tcp;
use hickory_net::{BufDnsStreamHandle, DnsStreamHandle};
use hickory_proto::op::SerialMessage;
use hickory_server::server::TimeoutStream;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};

use super::gate::{Gate, Key};
use super::idle::Entry;
use super::{Answer, Shared, told};

/// The longest query taken, in bytes; who sends more, speaks no DNS that we could answer. Bounds what is in flight.
const QUERY_MAX: usize = 4096;

/// Serves one connection until it ends, is told to give way, or the listener stops.
pub(super) async fn run<A: Answer>(
    socket: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared<A>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let Ok(local) = socket.local_addr() else { return };
    // Answers are whole messages; holding them back to fill a segment would only delay them. Without it they still go out.
    let _ = socket.set_nodelay(true);
    let (gate, key) = Gate::new(socket);
    let in_flight = shared.limits.in_flight;
    let (frames, answers) = tcp::TcpStream::from_stream_with_buffer_size(AsyncIoTokioAsStd(gate), peer, in_flight);
    let frames = TimeoutStream::new(frames, shared.limits.idle);
    let go = Arc::new(Notify::new());
    let mut connection = Connection {
        shared: &shared,
        peer,
        local,
        frames,
        answers,
        key,
        in_flight: JoinSet::new(),
        go: &go,
        idle: Some(shared.idle.enter(&go)),
    };
    tokio::select! {
        () = go.notified() => {}
        () = connection.serve(&mut shutdown) => {}
    }
}

struct Connection<'a, A> {
    shared: &'a Arc<Shared<A>>,
    peer: SocketAddr,
    local: SocketAddr,
    frames: TimeoutStream<tcp::TcpStream<AsyncIoTokioAsStd<Gate>>>,
    answers: BufDnsStreamHandle,
    key: Key,
    in_flight: JoinSet<Option<Vec<u8>>>,
    go: &'a Arc<Notify>,
    /// There while nothing is in flight.
    idle: Option<Entry<'a>>,
}

impl<A: Answer> Connection<'_, A> {
    async fn serve(&mut self, shutdown: &mut watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                Some(answer) = self.in_flight.join_next() => self.send(answer),
                message = self.frames.next(), if self.in_flight.len() < self.shared.limits.in_flight => match message {
                    Some(Ok(message)) if message.bytes().len() <= QUERY_MAX => self.ask(message),
                    // Framing is lost, or the time is over: nothing that follows could be told from garbage.
                    Some(_) => return,
                    // The client has no more to ask, but may still listen.
                    None => break,
                },
                () = told(shutdown) => break,
            }
        }
        // Counts for all that is left, or a client could take an answer at a time and stay for ever.
        let _ = tokio::time::timeout(self.shared.limits.idle, self.finish()).await;
    }

    fn ask(&mut self, message: SerialMessage) {
        let (query, peer) = message.into_parts();
        let (shared, local) = (Arc::clone(self.shared), self.local);
        self.idle = None;
        self.in_flight.spawn(async move { shared.answer.answer(query, peer, local).await });
    }

    fn send(&mut self, answer: Result<Option<Vec<u8>>, JoinError>) {
        if let Ok(Some(answer)) = answer
            && u16::try_from(answer.len()).is_ok()
        {
            // There is room: no more are in flight than the queue holds, and none is read while one waits there.
            let _ = self.answers.send(SerialMessage::new(answer, self.peer));
        }
        if self.in_flight.is_empty() {
            self.idle = Some(self.shared.idle.enter(self.go));
        }
    }

    /// Sends the answers that are due, and reads no more.
    async fn finish(&mut self) {
        self.key.shut();
        while let Some(answer) = self.in_flight.join_next().await {
            self.send(answer);
        }
        // Whatever this yields, it yields it once all is written or nothing can be.
        let _ = self.frames.next().await;
    }
}
