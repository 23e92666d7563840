//! The daemon's end of the control socket: lets clients in, and has each answered by a task of its own.
//!
//! The kernel keeps out whoever may not open the socket's file; of those that come in, the credentials that it tells of
//! them decide who may change something.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::connection::Connection;
use super::interface::{self, Rights};
use super::{Desk, monitor};
use crate::net::unix_socket;

/// Maximum number of connections of those that may only ask, and of those that may change something, so that the former
/// never keep out the latter.
const CONNECTIONS: usize = 128;

/// The socket, which is listened on for as long as this lives.
#[derive(Debug)]
pub(crate) struct ControlSocket(AbortHandle);

impl ControlSocket {
    /// Opens the socket in the place of one that a process left behind. Its clients are answered by `desk`.
    ///
    /// # Errors
    /// Where the file cannot be made, or another process answers there.
    pub(crate) fn open(path: &Path, desk: Arc<impl Desk>) -> io::Result<Self> {
        let listener = unix_socket::listen(path)?;
        Ok(Self(tokio::spawn(accept(listener, desk)).abort_handle()))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept<D: Desk>(listener: UnixListener, desk: Arc<D>) {
    let [asking, changing] = [(); 2].map(|()| Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free, mostly; the next client is let in when one is.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let rights = rights(&stream);
        let room = if rights == Rights::Change { &changing } else { &asking };
        let Ok(permit) = Arc::clone(room).try_acquire_owned() else { continue };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            serve(Connection::new(stream), rights, &*desk).await;
            drop(permit);
        });
    }
}

async fn serve(mut connection: Connection, rights: Rights, desk: &impl Desk) {
    while let Some(call) = connection.next().await {
        let reply = match interface::wanted(&call) {
            Some(Ok(filter)) => return monitor::stream(&mut connection, filter, desk).await,
            Some(Err(reply)) => reply,
            None => interface::answer(&call, rights, desk).await,
        };
        if !call.oneway && !connection.send(&reply).await {
            return;
        }
    }
}

/// Root may change something, and so may the user that this process runs as.
fn rights(stream: &UnixStream) -> Rights {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw() => Rights::Change,
        Ok(_) | Err(_) => Rights::Ask,
    }
}
