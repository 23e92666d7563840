//! Every UDP datagram that arrives in a namespace, each once, with the question that it carries: who asked whom, how
//! often. A raw socket gets a copy of what the kernel delivers (raw(7)); IPv4 only.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};

use crate::netns::Namespace;
use crate::threads::Threads;

/// Room for what arrives while the thread does not run: some ten thousand datagrams.
const ROOM: usize = 32 << 20;

/// A DNS message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// When, about.
    pub at: Instant,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Whether it is an answer.
    pub answer: bool,
    /// The response code, without the bits that OPT holds.
    pub code: u8,
    /// The ID.
    pub id: u16,
    /// The name of its question in lower case, without a final dot.
    pub name: String,
    /// The type of its question.
    pub kind: u16,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Tap {
    heard: Arc<Mutex<Vec<Datagram>>>,
    _thread: Threads,
}

impl Tap {
    /// Begins to listen in a namespace.
    ///
    /// # Panics
    /// If there is no raw socket for us.
    #[must_use]
    pub fn start(namespace: &Namespace) -> Self {
        let raw = namespace.within(|| {
            socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Udp).expect("a raw socket")
        });
        setsockopt(&raw, sockopt::RcvBufForce, &ROOM).expect("room for datagrams");
        let raw = UdpSocket::from(raw);
        raw.set_read_timeout(Some(Duration::from_millis(50))).expect("set a timeout");
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let hears = Arc::clone(&heard);
        let mut thread = Threads::default();
        thread.start(move |stop| {
            let mut buffer = [0; 65_536];
            while !stop.told() {
                let Ok(length) = raw.recv(&mut buffer) else { continue };
                if let Some(datagram) = read(&buffer[..length]) {
                    hears.lock().expect("nobody panicked").push(datagram);
                }
            }
        });
        Self { heard, _thread: thread }
    }

    /// What has arrived since a moment.
    ///
    /// # Panics
    /// If its thread did.
    #[must_use]
    pub fn since(&self, moment: Instant) -> Vec<Datagram> {
        let heard = self.heard.lock().expect("nobody panicked");
        heard.iter().filter(|datagram| datagram.at >= moment).cloned().collect()
    }
}

/// Reads an IPv4 packet that holds a DNS message with one question.
fn read(packet: &[u8]) -> Option<Datagram> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let address = |at: usize| Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?)));
    let message = packet.get(header + 8..)?;
    let (mut labels, mut at) = (Vec::new(), 12);
    while let length @ 1..64 = usize::from(*message.get(at)?) {
        labels.push(String::from_utf8_lossy(message.get(at + 1..=at + length)?).to_ascii_lowercase());
        at += length + 1;
    }
    Some(Datagram {
        at: Instant::now(),
        from: SocketAddr::new(address(12)?, word(header)?),
        to: SocketAddr::new(address(16)?, word(header + 2)?),
        answer: message.get(2)? & 0x80 != 0,
        code: message.get(3)? & 0xf,
        id: word(header + 8)?,
        name: labels.join("."),
        kind: word(header + 8 + at + 1)?,
    })
}

/// How many datagrams a question was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Those of the question and of probes for its sake, with their answers.
    pub datagrams: usize,
    /// What forwarders sent again by themselves, having asked that server the same before, and the answers to it.
    pub resends: usize,
    /// Those of other probes: to other servers, or over TCP, which hops go on asking over UDP.
    pub checks: usize,
}

impl Count {
    /// Counts the datagrams of a question and of all probes. `node` is where Onward listens, `asked` whom it asks, the
    /// one in question first: what it sends there itself is never put down to others. `client` tells whether the
    /// client's own datagram is among them.
    #[must_use]
    pub fn of(datagrams: &[Datagram], name: &str, (node, asked): (&str, &[&str]), client: bool) -> Self {
        let mut count = Self::default();
        let mut by_name: BTreeMap<&str, Vec<&Datagram>> = BTreeMap::new();
        for datagram in datagrams.iter().filter(|one| one.name == name || one.name.starts_with("probe.")) {
            by_name.entry(&datagram.name).or_default().push(datagram);
        }
        for (of, datagrams) in by_name {
            let of_the_first =
                |one: &&Datagram| !one.answer && asked.first() == Some(&one.to.ip().to_string().as_str());
            let check = of != name && !datagrams.iter().any(of_the_first);
            let mut questions: BTreeMap<(IpAddr, u16), usize> = BTreeMap::new();
            let mut due: BTreeMap<(SocketAddr, SocketAddr, u16), usize> = BTreeMap::new();
            for one in datagrams {
                let own = if one.answer {
                    let due = due.entry((one.to, one.from, one.id)).or_default();
                    let own = *due > 0;
                    *due = due.saturating_sub(1);
                    own
                } else {
                    let seen = questions.entry((one.to.ip(), one.kind)).or_default();
                    *seen += 1;
                    let to = one.to.ip().to_string();
                    let first = if to == node && of == name && client { 2 } else { 1 };
                    let own = *seen <= first || asked.contains(&to.as_str());
                    if own {
                        *due.entry((one.from, one.to, one.id)).or_default() += 1;
                    }
                    own
                };
                count.datagrams += usize::from(own && !check);
                count.checks += usize::from(own && check);
                count.resends += usize::from(!own);
            }
        }
        count
    }
}
