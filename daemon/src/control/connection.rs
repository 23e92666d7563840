//! One client's connection: reads calls, writes replies. A client costs a buffer of bounded size and a task that waits.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::message::Call;

/// Maximum length of a call, in bytes.
const CALL_MAX: usize = 64 * 1024;
/// Bytes that are read at once.
const CHUNK: usize = 4096;
/// Time without a call after which a connection is closed.
const IDLE: Duration = Duration::from_secs(300);
/// Time within which a client must take a reply.
const WRITE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    /// What was read and belongs to no call yet.
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Returns the next call; none where the client has gone, is silent for too long, or sends what is no call.
    pub(super) async fn next(&mut self) -> Option<Call> {
        timeout(IDLE, self.read()).await.ok().flatten()
    }

    async fn read(&mut self) -> Option<Call> {
        let mut looked_at = 0;
        loop {
            let fresh = self.buffer.get(looked_at..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == 0) {
                let end = looked_at + at;
                let call = serde_json::from_slice(self.buffer.get(..end)?).ok();
                self.buffer.drain(..=end);
                return call;
            }
            looked_at = self.buffer.len();
            if looked_at >= CALL_MAX {
                return None;
            }
            let mut chunk = [0; CHUNK];
            let count = self.stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
            self.buffer.extend_from_slice(chunk.get(..count)?);
        }
    }

    /// Waits until the client has gone, or says something, which ends what it is being told.
    pub(super) async fn ended(&self) {
        // What is called readable may be what was read before, so it is tried.
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Sends a reply. Returns whether the client took it.
    pub(super) async fn send(&mut self, reply: &impl Serialize) -> bool {
        let Ok(mut bytes) = serde_json::to_vec(reply) else { return false };
        bytes.push(0);
        timeout(WRITE, self.stream.write_all(&bytes)).await.is_ok_and(|written| written.is_ok())
    }
}
