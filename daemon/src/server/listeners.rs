//! A worker's sockets that queries come in on, by the ids that the core knows them by.
//!
//! One that is closed stays open for a while: clients still wait for responses that must leave from its address. It is
//! read as well meanwhile, since the kernel shares the queries among all sockets of an address: where the address is
//! opened again, those that come in on the old socket would be lost.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use crate::exchange::CLIENT_BUDGET;
use crate::logging::LogEvent;
use crate::waiters::ListenerId;

/// A socket that queries come in on. Its family is asked of the kernel once.
pub(super) struct Listener {
    pub(super) id: ListenerId,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) is_v4: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Listeners {
    open: Vec<Listener>,
    /// Those that are closed, and until when they are kept.
    closing: Vec<(Instant, Listener)>,
}

impl Listeners {
    /// Adds a socket, whose queries `epoll` tells with `token`.
    pub(super) fn open(&mut self, id: ListenerId, socket: UdpSocket, epoll: &Epoll, token: u64) {
        if let Err(error) = epoll.add(socket.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, token)) {
            log::error!(event = LogEvent::ListenFailed, error:%; "cannot wait for queries");
            return;
        }
        let is_v4 = socket.local_addr().is_ok_and(|address| address.is_ipv4());
        self.open.push(Listener { id, socket: Arc::new(socket), is_v4 });
    }

    /// Lets a listener go once all who wait now are answered.
    pub(super) fn close(&mut self, id: ListenerId, now: Instant) {
        for listener in self.open.extract_if(.., |listener| listener.id == id) {
            self.closing.push((now + CLIENT_BUDGET, listener));
        }
    }

    /// When [`Self::let_go`] has something to do.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.closing.first().map(|(until, _)| *until)
    }

    /// Closes those that were kept long enough.
    pub(super) fn let_go(&mut self, epoll: &Epoll, now: Instant) {
        for (_, listener) in self.closing.extract_if(.., |(until, _)| *until <= now) {
            let _ = epoll.delete(listener.socket.as_fd());
        }
    }

    /// The ids of those that queries are read from.
    pub(super) fn ids(&self) -> Vec<ListenerId> {
        self.open.iter().map(|listener| listener.id).collect()
    }

    /// The listener that queries are read from under this id.
    #[inline]
    pub(super) fn get(&self, id: ListenerId) -> Option<&Listener> {
        let closing = || self.closing.iter().map(|(_, listener)| listener).find(|listener| listener.id == id);
        self.open.iter().find(|listener| listener.id == id).or_else(closing)
    }

    /// The socket that responses leave from under this id.
    #[inline]
    pub(super) fn socket(&self, id: ListenerId) -> Option<&Arc<UdpSocket>> {
        self.get(id).map(|listener| &listener.socket)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::epoll::EpollCreateFlags;

    use super::*;
    use crate::clock;

    #[test]
    fn one_that_is_closed_is_still_read_and_sends_for_as_long_as_a_client_may_wait() {
        let (epoll, mut listeners) = (Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap(), Listeners::default());
        let (now, id) = (clock::now(), ListenerId(7));
        listeners.open(id, UdpSocket::bind("127.0.0.1:0").unwrap(), &epoll, 1);
        assert!(listeners.get(id).is_some_and(|listener| listener.is_v4) && listeners.next_time().is_none());
        listeners.close(id, now);
        listeners.let_go(&epoll, now + CLIENT_BUDGET - Duration::from_millis(1));
        assert!(listeners.socket(id).is_some() && listeners.get(id).is_some());
        let address = listeners.socket(id).unwrap().local_addr().unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"a query", address).unwrap();
        let mut events = [EpollEvent::empty()];
        assert_eq!(epoll.wait(&mut events, 1000u16), Ok(1), "it is told of");
        assert_eq!(events[0].data(), 1);
        assert_eq!(listeners.next_time(), Some(now + CLIENT_BUDGET));
        listeners.let_go(&epoll, now + CLIENT_BUDGET);
        assert!(listeners.socket(id).is_none() && listeners.get(id).is_none() && listeners.next_time().is_none());
    }
}
