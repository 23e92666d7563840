//! The socket of a connection, with a buffer for each direction: many queries come in by one read, and many answers go
//! out by one write.
//!
//! hickory's framed stream asks for two bytes and then for a message, and writes each answer by itself; it writes only
//! while it is asked for the next message, and nothing tells whether it still has something to write. Here what it
//! writes is kept until it wants to read what has not come in yet. Then no other answer is ready, so none is held back
//! for another. With the gate shut it finds the end of input, and says so only once everything is written. A connection
//! that is left to the next process takes its bytes along, in both directions.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read ahead at most: some thirty queries.
const AHEAD: usize = 2048;
/// Number of bytes to write from which on no response is added before all of them are written. The last response that
/// was added may exceed it.
const FULL: usize = 16 * 1024;
/// A buffer that grew above this is given back once all is written.
const KEPT: usize = 4 * 1024;

/// What a gate lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum GateState {
    /// What comes.
    Open,
    /// Nothing for now.
    Paused,
    /// Nothing any more: the end of input.
    Shut,
    /// The same, and nothing is written either: the connection is left to the next process.
    Left,
}

/// A connection that goes from one process to the next.
#[derive(Debug)]
pub(crate) struct LeftConnection {
    /// The socket.
    pub(crate) socket: std::net::TcpStream,
    /// What the client has sent and has no answer to: whole messages, then perhaps the beginning of one.
    pub(crate) unread: Vec<u8>,
    /// What the client has yet to be sent.
    pub(crate) unsent: Vec<u8>,
}

/// The socket and its buffers.
#[derive(Debug)]
pub(super) struct Gate {
    socket: TcpStream,
    shared: Arc<Shared>,
    ahead: Ahead,
    /// The beginning of a message whose rest was not asked for yet.
    begun: Vec<u8>,
    /// What is to be written, of which the first `written` bytes are.
    out: Vec<u8>,
    written: usize,
}

/// What a gate and its handle share.
#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    left: Mutex<Option<LeftConnection>>,
}

/// Opens, pauses and shuts the gate; for the task that also reads, which reads on afterwards.
#[derive(Debug)]
pub(super) struct GateHandle(Arc<Shared>);

impl Gate {
    /// Makes a gate that begins with what was `unread` and `unsent` of the connection in an earlier process.
    pub(super) fn new(socket: TcpStream, unread: Vec<u8>, unsent: Vec<u8>) -> (Self, GateHandle) {
        let shared = Arc::new(Shared { state: AtomicU8::new(GateState::Open as u8), left: Mutex::default() });
        let handle = GateHandle(Arc::clone(&shared));
        let (ahead, begun) = (Ahead::holding(unread), Vec::new());
        (Self { socket, shared, ahead, begun, out: unsent, written: 0 }, handle)
    }

    fn is(&self, state: GateState) -> bool {
        self.shared.state.load(Ordering::Relaxed) == state as u8
    }

    /// Gives of what was read ahead; false where nothing is there.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let before = buf.filled().len();
        if !self.ahead.give(buf) {
            return false;
        }
        self.begun.extend_from_slice(buf.filled().get(before..).unwrap_or_default());
        let length = self.begun.first_chunk().map(|length| 2 + usize::from(u16::from_be_bytes(*length)));
        if length == Some(self.begun.len()) {
            self.begun.clear();
            self.begun.shrink_to(KEPT);
        }
        true
    }

    /// Leaves the connection, as it stands, where the handle finds it. The socket stays open though the gate goes.
    fn leave(&mut self) {
        let Ok(socket) = self.socket.as_fd().try_clone_to_owned() else { return };
        let unread = [&self.begun, self.ahead.rest()].concat();
        let unsent = self.out.get(self.written..).unwrap_or_default().to_vec();
        let left = LeftConnection { socket: socket.into(), unread, unsent };
        *self.shared.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    }

    /// Writes all that is kept.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.written = 0;
        self.out.clear();
        self.out.shrink_to(KEPT);
        Poll::Ready(Ok(()))
    }
}

impl GateHandle {
    pub(super) fn set(&self, state: GateState) {
        self.0.state.store(state as u8, Ordering::Relaxed);
    }

    /// Takes the connection that was left; `None` as long as the gate was not read since.
    pub(super) fn take(&self) -> Option<LeftConnection> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl AsyncRead for Gate {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        // Nothing is asked for where a client says that its message has no bytes. Linux would have us wait for the next
        // one.
        if buf.remaining() == 0 || (gate.is(GateState::Open) && gate.give(buf)) {
            return Poll::Ready(Ok(()));
        }
        if gate.is(GateState::Left) {
            gate.leave();
            return Poll::Ready(Ok(()));
        }
        ready!(gate.poll_write_out(cx))?;
        if gate.is(GateState::Shut) {
            return Poll::Ready(Ok(()));
        }
        if gate.is(GateState::Paused) {
            return Poll::Pending; // who opens it asks again
        }
        ready!(gate.ahead.poll_fill(&mut gate.socket, cx))?;
        gate.give(buf);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gate {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        if gate.out.len() >= FULL {
            ready!(gate.poll_write_out(cx))?;
        }
        bufs.iter().for_each(|buf| gate.out.extend_from_slice(buf));
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: hickory asks for it after each message. Reading is what writes.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        ready!(gate.poll_write_out(cx))?;
        Pin::new(&mut gate.socket).poll_shutdown(cx)
    }
}

/// What was read and not asked for yet.
#[derive(Debug)]
struct Ahead {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Ahead {
    /// Begins with these bytes.
    fn holding(mut bytes: Vec<u8>) -> Self {
        let to = bytes.len();
        bytes.resize(to.max(AHEAD), 0);
        Self { bytes: bytes.into(), from: 0, to }
    }

    /// What is there.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }

    /// Gives of what is there as much as has room; false where nothing is there.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let there = self.rest();
        let given = there.get(..buf.remaining()).unwrap_or(there);
        buf.put_slice(given);
        let count = given.len();
        self.from += count;
        count > 0
    }

    /// Reads what has come; to be called when nothing is there. With nothing there afterwards it is the end of input.
    fn poll_fill(&mut self, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = ReadBuf::new(&mut self.bytes);
        ready!(Pin::new(socket).poll_read(cx, &mut room))?;
        (self.from, self.to) = (0, room.filled().len());
        Poll::Ready(Ok(()))
    }
}
