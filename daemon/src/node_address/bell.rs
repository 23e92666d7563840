//! Rings when links, addresses or routes have changed.
//!
//! What the kernel's messages say is not looked at: whoever hears the bell reads everything again
//! ([`super::netlink::read`]), so a lost message (`ENOBUFS`) is but one more ring.

use std::io;
use std::time::Duration;

use netlink_sys::constants::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout, timeout_at};

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR`, `RTMGRP_IPV6_ROUTE` of
/// `linux/rtnetlink.h`.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// Time without a change until the bell rings: changes come in bursts.
const QUIET: Duration = Duration::from_millis(200);
/// Time since the first change until the bell rings even so.
const LONGEST: Duration = Duration::from_secs(2);
/// `ENOBUFS` of `errno(3)`, on every architecture that we build for.
const ENOBUFS: i32 = nix::errno::Errno::ENOBUFS as i32;

/// A socket that hears of every change.
#[derive(Debug)]
pub(crate) struct Bell {
    socket: AsyncFd<Socket>,
    /// When the first message of a burst came that nobody was told of yet: kept here, so that [`Self::rung`] may be
    /// dropped.
    since: Option<Instant>,
}

impl Bell {
    /// Starts to listen; changes from now on are heard. Needs a tokio runtime.
    ///
    /// # Errors
    /// Where the kernel gives no netlink socket.
    pub(crate) fn hang() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        socket.set_non_blocking(true)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe to call; what that asks for holds: we own the socket and keep it"
        )]
        let socket = AsyncFd::new(socket)?;
        Ok(Self { socket, since: None })
    }

    /// Waits until something has changed and it has been quiet for 200 ms (2 s at most since the first change). May be
    /// dropped and called again without losing a ring.
    ///
    /// # Errors
    /// Where the socket fails for good.
    pub(crate) async fn rung(&mut self) -> io::Result<()> {
        let first = match self.since {
            Some(first) => first,
            None => {
                self.heard().await?;
                *self.since.insert(Instant::now())
            }
        };
        let burst = async {
            while let Ok(heard) = timeout(QUIET, self.heard()).await {
                heard?;
            }
            io::Result::Ok(())
        };
        timeout_at(first + LONGEST, burst).await.unwrap_or(Ok(()))?;
        self.since = None;
        Ok(())
    }

    /// Takes all messages that wait; returns when there was at least one.
    async fn heard(&self) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| drain(socket.get_ref())) {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }
}

/// Reads and forgets until nothing is left. A burst is cut after a number of messages: what remains makes the next
/// ring.
fn drain(socket: &Socket) -> io::Result<()> {
    const MOST: usize = 1024;
    // What does not fit is cut off by the kernel, which is all right: nobody reads it.
    let mut buffer = Vec::with_capacity(256);
    for heard in 0..MOST {
        buffer.clear();
        match socket.recv(&mut buffer, 0) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && heard > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
