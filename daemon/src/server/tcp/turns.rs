//! The queries of a connection, by turns. A turn answers the queries that have come, up to the first whose response
//! takes time.
//!
//! So a cached answer costs no task, no wait and no timer of its own: hickory's idle timer runs over turns.

use std::io;
use std::mem::take;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt};
use hickory_net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_net::tcp;
use hickory_net::{BufDnsStreamHandle, DnsStreamHandle};
use hickory_proto::op::SerialMessage;

use super::gate::Gate;
use super::{Answer, Answered};

/// The longest query taken, in bytes; who sends more, speaks no DNS that we could answer. Bounds what is in flight.
const QUERY_MAX: usize = 4096;

/// Maximum number of queries taken before the other tasks on this thread have their turn: a client that asks for cached
/// names without end would keep them waiting for thousands.
pub(super) const AT_ONCE: usize = 64;

/// How a turn ended.
pub(super) enum Turn<'a> {
    /// Nothing more has come.
    Over,
    /// More may have come, but now others have their turn.
    Enough,
    /// This query came, whose answer takes time.
    Waits(Vec<u8>, BoxFuture<'a, Option<Vec<u8>>>),
}

/// The queries of one connection.
pub(super) struct Turns<'a, A> {
    pub(super) answer: &'a A,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) frames: tcp::TcpStream<AsyncIoTokioAsStd<Gate>>,
    pub(super) answers: Answers,
    /// Whether this turn has answered anything.
    pub(super) began: bool,
    /// Queries taken since there was none to take.
    pub(super) taken: usize,
}

/// Where answers go.
#[derive(Clone)]
pub(super) struct Answers(pub(super) BufDnsStreamHandle, pub(super) SocketAddr);

impl Answers {
    /// Sends an answer, if there is one that can be sent.
    pub(super) fn send(&mut self, answer: Option<Vec<u8>>) {
        if let Some(answer) = answer.filter(|answer| u16::try_from(answer.len()).is_ok()) {
            // There is room: no more are in flight than the queue holds, and none is read while one waits there.
            let _ = self.0.send(SerialMessage::new(answer, self.1));
        }
    }
}

impl<'a, A: Answer> Stream for Turns<'a, A> {
    type Item = io::Result<Turn<'a>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let turns = self.get_mut();
        loop {
            if turns.taken == AT_ONCE {
                (turns.taken, turns.began) = (0, false);
                return Poll::Ready(Some(Ok(Turn::Enough)));
            }
            let Poll::Ready(message) = turns.frames.poll_next_unpin(cx) else {
                turns.taken = 0;
                return if take(&mut turns.began) { Poll::Ready(Some(Ok(Turn::Over))) } else { Poll::Pending };
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            turns.taken += 1;
            if message.bytes().len() > QUERY_MAX {
                return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into())));
            }
            match turns.answer.answer(message.into_parts().0, turns.peer, turns.local) {
                Answered::Now(answer) => turns.answers.send(answer),
                Answered::Later(query, answer) => {
                    turns.began = false;
                    return Poll::Ready(Some(Ok(Turn::Waits(query, answer.boxed()))));
                }
            }
            turns.began = true;
        }
    }
}
