//! The descriptor store of systemd: what is put there, taken out, and found at the start.
//!
//! All sockets of one listen address have one name there, by which they are removed, and so have all connections. What
//! they are is asked of the kernel, so that names matter for nothing else. systemd drops what has no room
//! (`FileDescriptorStoreMax=`), in silence: what is missing at the next start is opened as at a first one.

use std::collections::HashMap;
use std::env;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use listenfd::ListenFd;
use nix::libc::{AF_INET, SOCK_STREAM};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sd_notify::NotifyState;

use super::unfinished::{Connection, Query, Unfinished};
use crate::logging::LogEvent;
use crate::net::bind::Kept;
use crate::server::tcp::LeftConnection;

/// The name of the memory that holds what is unfinished.
const UNFINISHED: &str = "unfinished";
/// The name of the memory that holds the cache.
const CACHE: &str = "cache";
/// The name of the connections of clients.
const CONNECTIONS: &str = "connections";
/// Maximum number of connections that are left to the next process: systemd tells it the name of each, and all names
/// together have 128 KiB (`MAX_ARG_STRLEN`).
const CONNECTIONS_MOST: usize = 4096;
/// Maximum number of descriptors in one message (`SCM_MAX_FD` of Linux is 253).
const AT_ONCE: usize = 200;
/// Maximum time that systemd has for what it was told, before the process ends all the same.
const BARRIER: Duration = Duration::from_secs(1);

/// What an earlier process left in the store.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    listeners: HashMap<SocketAddr, Kept>,
    /// By our end and the client's.
    connections: HashMap<(SocketAddr, SocketAddr), TcpStream>,
    unfinished: Unfinished,
    cache: Option<File>,
    /// Descriptors that were passed and that nobody knows.
    unknown: usize,
}

impl Inherited {
    /// Takes what systemd passes to this process. To be called once, before any thread that reads the environment: what
    /// says that there is something is removed from it, so that no child takes it for its own.
    pub(crate) fn receive() -> Self {
        let mut inherited = Self::default();
        // Without a process ID they may be anybody's (sd_listen_fds(3)).
        if env::var_os("LISTEN_PID").is_none() {
            return inherited;
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut descriptors = ListenFd::from_env();
        for index in 0..descriptors.len() {
            inherited.take_in(&mut descriptors, index, names.next().unwrap_or_default());
            // What is still there is of no kind that is known: left open it would be so for as long as this process.
            if let Ok(Some(number)) = descriptors.take_raw_fd(index) {
                let _ = nix::unistd::close(number);
                inherited.unknown += 1;
            }
        }
        // They hold for this once; in the store a connection would outlive its client.
        [UNFINISHED, CONNECTIONS].into_iter().for_each(forget);
        inherited
    }

    /// Takes the descriptor of that place, if it is of a kind that is known.
    fn take_in(&mut self, descriptors: &mut ListenFd, index: usize, name: &str) {
        if name == UNFINISHED {
            self.unfinished = read_unfinished(descriptors, index);
        } else if name == CACHE {
            self.cache = take_memory(descriptors, index).ok();
        } else if name == CONNECTIONS {
            let taken = descriptors.take_custom::<TcpStream>(index, AF_INET, SOCK_STREAM, "connection");
            if let Ok(Some(socket)) = taken
                && let (Ok(local), Ok(peer)) = (socket.local_addr(), socket.peer_addr())
            {
                self.connections.insert((local, peer), socket);
            }
        } else if let Ok(Some(socket)) = descriptors.take_udp_socket(index) {
            if let Ok(address) = socket.local_addr() {
                self.listeners.entry(address).or_default().udp.push(socket);
            }
        } else if let Ok(Some(listener)) = descriptors.take_tcp_listener(index)
            && let Ok(address) = listener.local_addr()
        {
            self.listeners.entry(address).or_default().tcp = Some(listener);
        }
    }

    /// Takes the sockets of a listen address; those that are not there are missing from the result.
    pub(crate) fn take(&mut self, address: SocketAddr) -> Kept {
        self.listeners.remove(&address).unwrap_or_default()
    }

    /// Takes the queries that clients asked at a listen address and that were in flight.
    pub(crate) fn take_queries(&mut self, address: SocketAddr) -> Vec<Query> {
        self.unfinished.take_queries(address)
    }

    /// Takes the connections that clients had to a listen address.
    pub(crate) fn take_connections(&mut self, address: SocketAddr) -> Vec<LeftConnection> {
        let left = self.unfinished.take_connections(address).into_iter().filter_map(
            |Connection { local, peer, unread, unsent, .. }| {
                Some(LeftConnection { socket: self.connections.remove(&(local, peer))?, unread, unsent })
            },
        );
        left.collect()
    }

    /// Takes the memory with the cache of the process before. It stays in the store until another one takes its place.
    pub(crate) fn take_cache(&mut self) -> Option<File> {
        self.cache.take()
    }

    /// Closes what nobody has taken, and has systemd forget it: a queue that nobody reads would only swallow queries.
    pub(crate) fn drop_rest(&mut self) {
        for (address, _) in self.listeners.drain() {
            log::info!(event = LogEvent::AddressGone, address:%; "{address} was listened on before, and is not any more");
            forget(&listener_name(address));
        }
        self.connections.clear();
        self.unfinished = Unfinished::default();
        if let number @ 1.. = std::mem::take(&mut self.unknown) {
            log::warn!(
                event = LogEvent::HandoverDropped, number;
                "systemd passed {number} descriptors of a kind that is not known here: they are closed"
            );
        }
    }
}

/// Takes memory that systemd passed.
fn take_memory(descriptors: &mut ListenFd, index: usize) -> io::Result<File> {
    let number = descriptors.take_raw_fd(index)?.ok_or(io::ErrorKind::NotFound)?;
    // Opened by its path, since a number alone is no descriptor without unsafe code.
    let file = File::open(format!("/proc/self/fd/{number}"));
    let _ = nix::unistd::close(number);
    file
}

fn read_unfinished(descriptors: &mut ListenFd, index: usize) -> Unfinished {
    let read =
        take_memory(descriptors, index).map_err(|error| error.to_string()).and_then(|file| Unfinished::read(&file));
    read.unwrap_or_else(|why| {
        log::warn!(event = LogEvent::HandoverDropped, why:%; "what the process before left unfinished is put aside: {why}");
        Unfinished::default()
    })
}

/// Keeps the memory with the cache, in the place of what was kept before.
pub(crate) fn keep_cache(memory: &OwnedFd) {
    forget(CACHE);
    keep(CACHE, &[memory.as_fd()]);
}

/// Returns whether descriptors outlive this process. systemd says so itself from version 254 on; the unit does for
/// older ones.
pub(crate) fn is_there() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some() && room() > 0
}

/// The number of descriptors that there is room for.
fn room() -> usize {
    env::var("FDSTORE").ok().and_then(|room| room.parse().ok()).unwrap_or(0)
}

/// Maximum number of connections that are left to the next process: half of the room is for what every start needs.
pub(crate) fn most_connections() -> usize {
    CONNECTIONS_MOST.min(room() / 2)
}

/// Returns the name of the sockets of a listen address, in which no colon may stand.
pub(crate) fn listener_name(address: SocketAddr) -> String {
    address.to_string().replace(':', "_")
}

/// Puts descriptors into the store under one name; they stay there until they are forgotten.
pub(crate) fn keep(name: &str, descriptors: &[BorrowedFd<'_>]) {
    if !is_there() {
        return;
    }
    for some in descriptors.chunks(AT_ONCE) {
        // Not polled: systemd would drop a socket that has had an error.
        let state = [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
        if let Err(error) = sd_notify::notify_with_fds(&state, some) {
            log::warn!(event = LogEvent::HandoverDropped, error:%; "{name} cannot be put into systemd's store: {error}");
        }
    }
}

/// Removes from the store all descriptors of a name.
pub(crate) fn forget(name: &str) {
    if is_there()
        && let Err(error) = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)])
    {
        log::debug!(error:%; "systemd cannot be told to forget {name}");
    }
}

/// Leaves what is unfinished to the next process, with the connections that it is about.
pub(crate) fn leave(unfinished: &Unfinished, connections: &[TcpStream]) {
    keep(CONNECTIONS, &connections.iter().map(AsFd::as_fd).collect::<Vec<_>>());
    match unfinished.write() {
        Ok(memory) => keep(UNFINISHED, &[memory.as_fd()]),
        Err(error) => {
            log::warn!(event = LogEvent::HandoverDropped, error:%; "what is unfinished is lost: {error}");
        }
    }
}

/// Waits until systemd has taken all that it was told so far (`BARRIER=1`, sd_notify_barrier(3)): a process that ends
/// earlier may be gone before systemd finds out whose message it was. Blocks for at most a second.
pub(crate) fn wait_until_taken() {
    let Ok((ours, theirs)) = nix::unistd::pipe() else { return };
    let told = sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()]);
    drop(theirs);
    if told.is_ok() {
        let timeout = PollTimeout::try_from(BARRIER).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut [PollFd::new(ours.as_fd(), PollFlags::empty())], timeout); // hung up: taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_listen_addresses_have_no_colon_and_differ() {
        let names = ["10.0.0.1:53", "[fd00::1]:53", "[fd00::1]:5353"].map(|text| listener_name(text.parse().unwrap()));
        assert!(names.iter().all(|name| !name.contains(':')), "{names:?}");
        assert!(names[0] != names[1] && names[1] != names[2]);
    }
}
