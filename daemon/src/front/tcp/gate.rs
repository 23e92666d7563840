//! A socket whose reading can be shut while it still writes.
//!
//! hickory's framed stream writes only while it is asked for the next message, and nothing tells whether it still has
//! something to write. With the gate shut it finds the end of input, and says so only once everything is written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The socket.
#[derive(Debug)]
pub(super) struct Gate {
    socket: TcpStream,
    shut: Arc<AtomicBool>,
}

/// Shuts the gate; for the task that also reads, which reads on afterwards.
#[derive(Debug)]
pub(super) struct Key(Arc<AtomicBool>);

impl Gate {
    pub(super) fn new(socket: TcpStream) -> (Self, Key) {
        let shut = Arc::<AtomicBool>::default();
        (Self { socket, shut: Arc::clone(&shut) }, Key(shut))
    }
}

impl Key {
    pub(super) fn shut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Gate {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Nothing is asked for where a client says that its message has no bytes. Linux would have us wait for the next one.
        if self.shut.load(Ordering::Relaxed) || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gate {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
