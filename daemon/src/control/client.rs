//! How a command asks the daemon: one call over the control socket, with an end to its patience.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::interface::INTERFACE;
use super::message::{Call, Reply};

/// Where the daemon is asked, if nothing else is said.
pub(crate) const SOCKET: &str = "/run/onward/control.sock";
/// Time until a daemon that does not reply counts as stuck. It says itself after a second that it is busy.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the daemon did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nothing answers at the socket.
    #[error("Onward does not run: nothing answers at {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket may not be opened.
    #[error("{} may be opened by root and the group of the service only", .0.display())]
    NotAllowed(PathBuf),
    /// It does not reply in time.
    #[error("Onward runs, but does not reply within {} s: it is stuck, or has too much to do", PATIENCE.as_secs())]
    Silent,
    /// It is not for this user.
    #[error("this is for root, and for the user that Onward runs as")]
    Denied,
    /// Its version does not know the call, or replies otherwise.
    #[error("the daemon does not know this; it is of another version: restart it")]
    TooOld,
    /// It refused, with this reason.
    #[error("{0}")]
    Refused(String),
    /// The socket failed.
    #[error("asking over {} failed: {source}", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

/// Makes the call `method` of our interface. Returns what was replied.
pub(crate) fn call<R: DeserializeOwned>(socket: &Path, method: &str, parameters: Value) -> Result<R, AskError> {
    ask(socket, ours(method), parameters)
}

/// The full name of a method of our interface.
fn ours(method: &str) -> String {
    format!("{INTERFACE}.{method}")
}

/// Makes the call of that full name. Returns what was replied.
fn ask<R: DeserializeOwned>(socket: &Path, method: String, parameters: Value) -> Result<R, AskError> {
    let stream = send(socket, method, parameters, false);
    let reply = stream.and_then(|stream| receive(&mut BufReader::new(stream), &mut Vec::new()));
    read(reply.map_err(|source| failed(socket, source))?)
}

fn read<R: DeserializeOwned>(reply: Reply) -> Result<R, AskError> {
    match reply.error.as_deref() {
        None => serde_json::from_value(reply.parameters).map_err(|_| AskError::TooOld),
        Some("org.varlink.service.PermissionDenied") => Err(AskError::Denied),
        Some("org.varlink.service.MethodNotFound" | "org.varlink.service.InterfaceNotFound") => Err(AskError::TooOld),
        Some("io.onward.Control.Busy") => Err(AskError::Silent),
        Some(other) => {
            let why = reply.parameters.get("why").and_then(Value::as_str).map(|why| format!(": {why}"));
            Err(AskError::Refused(format!("the daemon says {other}{}", why.unwrap_or_default())))
        }
    }
}

/// A call to which several replies come.
#[derive(Debug)]
pub(crate) struct Replies {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
    /// What has come of the next reply.
    begun: Vec<u8>,
}

/// Makes the call `method` of our interface, to which several replies come, whenever there is something to tell. That
/// the daemon replies at all is seen first: one that is stuck would look like one that has nothing to tell.
pub(crate) fn stream(socket: &Path, method: &str, parameters: Value) -> Result<Replies, AskError> {
    let _: Value = ask(socket, "org.varlink.service.GetInfo".to_owned(), Value::Null)?;
    let stream = send(socket, ours(method), parameters, true).map_err(|source| failed(socket, source))?;
    Ok(Replies { socket: socket.to_owned(), stream: BufReader::new(stream), begun: Vec::new() })
}

impl Replies {
    /// Returns the next reply; none where none comes within `patience`.
    pub(crate) fn next<R: DeserializeOwned>(&mut self, patience: Duration) -> Result<Option<R>, AskError> {
        let received = self
            .stream
            .get_ref()
            .set_read_timeout(Some(patience))
            .and_then(|()| receive(&mut self.stream, &mut self.begun));
        match received.map_err(|source| failed(&self.socket, source)) {
            Ok(reply) => read(reply).map(Some),
            Err(AskError::Silent) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn failed(socket: &Path, source: io::Error) -> AskError {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning(socket.to_owned()),
        io::ErrorKind::PermissionDenied => AskError::NotAllowed(socket.to_owned()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent,
        _ => AskError::Failed { path: socket.to_owned(), source },
    }
}

fn send(socket: &Path, method: String, parameters: Value, more: bool) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let call = Call { method, parameters, more, ..Call::default() };
    let mut bytes = serde_json::to_vec(&call)?;
    bytes.push(0);
    stream.write_all(&bytes)?;
    Ok(stream)
}

/// Reads a reply, of which some may have come before and be in `begun`, where it stays if the rest takes too long.
fn receive(stream: &mut BufReader<UnixStream>, begun: &mut Vec<u8>) -> io::Result<Reply> {
    stream.read_until(0, begun)?;
    match std::mem::take(begun).split_last() {
        Some((0, reply)) => Ok(serde_json::from_slice(reply)?),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon closed the connection")),
    }
}
