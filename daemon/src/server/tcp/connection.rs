//! One connection of a client: queries in, answers out as they come, in whatever order that is (RFC 7766, section
//! 6.2.1.1).
//!
//! hickory's stream frames the messages and reads nothing while it has something to write, so what waits to be written
//! is bounded by the queries in flight. hickory's timer counts from one turn (`turns`) to the next: it ends a client
//! that sends its query byte by byte, or does not take its answers, just like one that does nothing.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use hickory_net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_net::tcp;
use hickory_server::server::TimeoutStream;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;

use super::gate::{Gate, GateHandle, GateState, LeftConnection};
use super::idle::Entry;
use super::turns::{Answers, Turn, Turns};
use super::{Answer, Ending, TcpServer, told};

/// Serves one connection until it ends, is told to give way, or the listener stops. It begins with what was left of it
/// by an earlier process, if any was. Returns the connection if it is left to the next process.
pub(super) async fn run<A: Answer>(
    socket: TcpStream,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    shared: Arc<TcpServer<A>>,
    mut shutdown: watch::Receiver<Ending>,
) -> Option<LeftConnection> {
    let (local, peer) = (socket.local_addr().ok()?, socket.peer_addr().ok()?);
    // Answers are whole messages; holding them back to fill a segment would only delay them. Without it they still go
    // out.
    let _ = socket.set_nodelay(true);
    let (gate, gate_handle) = Gate::new(socket, unread, unsent);
    let in_flight = shared.limits.in_flight;
    let (frames, handle) = tcp::TcpStream::from_stream_with_buffer_size(AsyncIoTokioAsStd(gate), peer, in_flight);
    let answers = Answers(handle, peer);
    let turns =
        Turns { answer: &*shared.answer, peer, local, frames, answers: answers.clone(), began: false, taken: 0 };
    let go = Arc::new(Notify::new());
    let mut connection = Connection {
        shared: &shared,
        turns: TimeoutStream::new(turns, shared.limits.idle),
        answers,
        gate_handle,
        in_flight: FuturesUnordered::new(),
        unanswered: BTreeMap::new(),
        go: &go,
        idle: Some(shared.idle.enter(&go)),
    };
    tokio::select! {
        biased;
        () = go.notified() => None,
        ending = connection.serve(&mut shutdown) => (ending == Ending::HandOver).then(|| connection.leave()).flatten(),
    }
}

struct Connection<'a, A> {
    shared: &'a TcpServer<A>,
    turns: TimeoutStream<Turns<'a, A>>,
    answers: Answers,
    gate_handle: GateHandle,
    /// The answers that take time, each with the number of its query.
    in_flight: FuturesUnordered<BoxFuture<'a, (u64, Option<Vec<u8>>)>>,
    /// Their queries, by number, in the order in which they came.
    unanswered: BTreeMap<u64, Vec<u8>>,
    go: &'a Arc<Notify>,
    /// There while nothing is in flight.
    idle: Option<Entry<'a>>,
}

impl<'a, A: Answer> Connection<'a, A> {
    async fn serve(&mut self, shutdown: &mut watch::Receiver<Ending>) -> Ending {
        let mut stopped = pin!(told(shutdown));
        let (mut others_turn, mut stopping) = (false, false);
        // While an answer is due the client is served, also when the listener stops.
        while !stopping || !self.in_flight.is_empty() {
            let open = !others_turn && self.in_flight.len() < self.shared.limits.in_flight;
            // What is to be written is written all the same.
            self.gate_handle.set(if open { GateState::Open } else { GateState::Paused });
            tokio::select! {
                biased;
                Some(answer) = self.in_flight.next() => self.send(answer),
                // Before the turns, which a busy client never lets end.
                ending = &mut stopped, if !stopping => match ending {
                    Ending::HandOver => return Ending::HandOver,
                    Ending::Finish | Ending::NotYet => stopping = true,
                },
                turn = self.turns.next() => match turn {
                    Some(Ok(turn)) => {
                        others_turn = matches!(turn, Turn::Enough);
                        self.take(turn);
                    }
                    // Framing is lost, or the time is over: nothing that follows could be told from garbage.
                    Some(Err(_)) => return Ending::Finish,
                    // The client has no more to ask, but may still listen.
                    None => break,
                },
                () = yield_now(), if others_turn => others_turn = false,
            }
        }
        // Counts for all that is left, or a client could take an answer at a time and stay for ever.
        let _ = tokio::time::timeout(self.shared.limits.idle, self.finish()).await;
        Ending::Finish
    }

    /// Takes the connection out, as it stands; `None` where its client takes no bytes.
    fn leave(&mut self) -> Option<LeftConnection> {
        self.gate_handle.set(GateState::Left);
        // Writes the answers that are there into the gate, then reads, to find the end.
        while let Some(Some(Ok(_))) = self.turns.next().now_or_never() {}
        let mut left = self.gate_handle.take()?;
        let lengths = self.unanswered.values().filter_map(|query| Some((u16::try_from(query.len()).ok()?, query)));
        let unanswered = lengths.flat_map(|(length, query)| [&length.to_be_bytes(), query.as_slice()].concat());
        left.unread = unanswered.chain(left.unread).collect();
        Some(left)
    }

    fn take(&mut self, turn: Turn<'a>) {
        match turn {
            Turn::Over | Turn::Enough => self.rest(),
            Turn::Waits(query, answer) => {
                self.idle = None;
                let number = self.unanswered.last_key_value().map_or(0, |(last, _)| last + 1);
                self.unanswered.insert(number, query);
                self.in_flight.push(answer.map(move |answer| (number, answer)).boxed());
            }
        }
    }

    fn send(&mut self, (number, answer): (u64, Option<Vec<u8>>)) {
        self.unanswered.remove(&number);
        self.answers.send(answer);
        self.rest();
    }

    /// Enters the connection among the idle ones, as the one that has been so for the shortest time.
    fn rest(&mut self) {
        if self.in_flight.is_empty() {
            self.idle = Some(self.shared.idle.enter(self.go));
        }
    }

    /// Sends the answers that are due, each when it is there, and reads no more.
    async fn finish(&mut self) {
        self.gate_handle.set(GateState::Paused);
        while !self.in_flight.is_empty() {
            tokio::select! {
                biased;
                Some(answer) = self.in_flight.next() => self.send(answer),
                // This writes. No query comes of it, at most the end of the turn that was.
                turn = self.turns.next() => if !matches!(turn, Some(Ok(_))) { return },
            }
        }
        self.gate_handle.set(GateState::Shut);
        // Ends once all is written or nothing can be.
        while let Some(Ok(_)) = self.turns.next().await {}
    }
}
