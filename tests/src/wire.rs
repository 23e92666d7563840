//! Every frame that passes a namespace's links (packet(7)), whatever is in it: to show that something never went in
//! plain text. IPv4 only.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};

use crate::netns::Namespace;
use crate::threads::Threads;

/// Room for what passes while the thread does not run.
const ROOM: usize = 32 << 20;
/// Where an IPv4 packet begins in an Ethernet frame.
const ETHERNET: usize = 14;

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Wire {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    _thread: Threads,
}

impl Wire {
    /// Begins to listen in a namespace.
    ///
    /// # Panics
    /// If there is no packet socket for us.
    #[must_use]
    pub fn start(namespace: &Namespace) -> Self {
        let raw: OwnedFd = namespace.within(|| {
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
                .expect("a packet socket")
        });
        setsockopt(&raw, sockopt::RcvBufForce, &ROOM).expect("room for frames");
        let raw = UdpSocket::from(raw); // its read is a plain recv(2)
        raw.set_read_timeout(Some(Duration::from_millis(50))).expect("set a timeout");
        let frames = Arc::<Mutex<Vec<_>>>::default();
        let hears = Arc::clone(&frames);
        let mut thread = Threads::default();
        thread.start(move |stop| {
            let mut buffer = [0; 65_536];
            while !stop.told() {
                let Ok(length) = raw.recv(&mut buffer) else { continue };
                hears.lock().expect("nobody panicked").push(buffer[..length].to_vec());
            }
        });
        Self { frames, _thread: thread }
    }

    /// The number of frames that hold these bytes, in lower or upper case.
    ///
    /// # Panics
    /// If its thread did.
    #[must_use]
    pub fn with_bytes(&self, bytes: &[u8]) -> usize {
        let holds = |frame: &[u8]| frame.windows(bytes.len()).any(|part| part.eq_ignore_ascii_case(bytes));
        self.frames.lock().expect("nobody panicked").iter().filter(|frame| holds(frame)).count()
    }

    /// The number of frames to a port of a host, over UDP or TCP.
    ///
    /// # Panics
    /// If its thread did.
    #[must_use]
    pub fn to(&self, whom: SocketAddr) -> usize {
        self.count(whom, |_| true)
    }

    /// The number of connections that were begun to a port of a host.
    ///
    /// # Panics
    /// If its thread did.
    #[must_use]
    pub fn connections(&self, whom: SocketAddr) -> usize {
        self.count(whom, |transport| transport.get(13).is_some_and(|flags| flags & 0x12 == 0x02)) // SYN without ACK
    }

    fn count(&self, whom: SocketAddr, has: impl Fn(&[u8]) -> bool) -> usize {
        let goes = |frame: &Vec<u8>| {
            let packet = frame.get(ETHERNET..)?;
            let transport = packet.get(usize::from(packet.first()? & 0xf) * 4..)?;
            let port = u16::from_be_bytes([*transport.get(2)?, *transport.get(3)?]);
            let is_v4 = frame.get(12..14)? == [8, 0];
            let to = packet.get(16..20)?;
            (is_v4
                && port == whom.port()
                && whom.ip().to_string() == format!("{}.{}.{}.{}", to[0], to[1], to[2], to[3]))
            .then(|| has(transport))
        };
        let frames = self.frames.lock().expect("nobody panicked");
        frames.iter().filter_map(goes).filter(|has| *has).count()
    }
}
