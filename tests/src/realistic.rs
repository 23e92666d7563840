//! An upstream that is like real ones. It knows one zone, and it has manners: each is shown to the queries that a
//! condition picks, and several together make a server as real networks have it.
//!
//! ```no_run
//! # use onward_tests::realistic::{Manner::*, Realistic, names, over_tcp};
//! # let lab = onward_tests::lab::Lab::new().unwrap();
//! let private = Realistic::knowing("corp.example", 1)
//!     .when(names(&["dead.example"]), Silent)
//!     .when(over_tcp, ClosesAfter(3))
//!     .always(CountsDown { from: 30 })
//!     .start(lab.upstream.net(), onward_tests::lab::Lab::upstream_address(0));
//! ```
//!
//! For each query, of the manners whose condition holds, the first that makes a message of its own makes it, else the
//! zone does; all others then shape it, in their order. What a manner sends is in `messages.rs`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::messages;
use crate::netns::Namespace;
use crate::query::{flags, types};
use crate::upstream::{Reply, Scripted, Seen, Transport};

/// The time to live of what a zone holds, and of its "no".
pub const TTL: u32 = 60;

/// What a server does about a query.
#[derive(Clone)]
pub enum Manner {
    /// Makes no message: nothing comes back.
    Silent,
    /// Makes no message: over TCP it closes the connection instead, over UDP it is silent.
    Closes,
    /// Makes a message that holds nothing but this response code.
    Says(u16),
    /// Makes a header alone, with this response code and QDCOUNT=0.
    HeaderOnly(u16),
    /// Makes NOERROR without any record, AA=0 and RA=0: a server that was told to serve the zone and does not.
    Lame,
    /// Makes a referral to the servers of this zone, AA=0 and RA=0.
    Refers(&'static str),
    /// Makes NXDOMAIN with an SOA whose minimum is this number of seconds.
    Denies(u32),
    /// Makes NOERROR without an answer, with an SOA whose minimum is this number of seconds.
    HasNone(u32),
    /// Makes NXDOMAIN or NOERROR (the code) without an SOA.
    DeniesWithoutSoa(u16),
    /// Makes an answer with an address and its TTL.
    Has([u8; 4], u32),
    /// Makes this message.
    Makes(fn(&Seen) -> Vec<u8>),
    /// Makes no message of its own: asks this server the same over the same transport, and passes on what comes back.
    Asks(SocketAddr),
    /// Makes NXDOMAIN for names that are not spelled as the zone has them, in lower case.
    ComparesLetters,

    /// Sends it so late.
    Late(Duration),
    /// Truncates over UDP: TC=1 and no record.
    Cuts,
    /// Truncates over UDP in the middle of the last record: TC=1, counts as if all were there.
    CutsInARecord,
    /// Has the question in the spelling of whoever asked first.
    FirstAskersSpelling,
    /// Has TTLs that count down from this, as a cache has that remembers the name since it was asked first.
    CountsDown {
        /// Seconds.
        from: u32,
    },
    /// Closes a connection after this number of responses, whatever else was asked on it.
    ClosesAfter(usize),
    /// Reads over TCP one query of a segment and drops those that came with it; the connection stays open.
    OneOfASegment,
    /// Sets each TTL of the answer section to this.
    Ttl(u32),
    /// Has its OPT record in the answer section, behind the answer.
    OptAmongAnswers,
    /// Has a further address record behind the OPT record of the additional section.
    RecordBehindOpt,
    /// Has no record but OPT, which holds the upper bits of this response code (RFC 6891, section 6.1.3).
    ExtendedCode(u16),
}

/// Whether a manner is shown to a query.
type Condition = Box<dyn Fn(&Seen) -> bool + Send + Sync>;

/// The description of a server.
pub struct Realistic {
    knows: Condition,
    address: [u8; 4],
    manners: Vec<(Condition, Manner)>,
}

/// What a running server remembers.
#[derive(Default)]
struct Memory {
    /// Since when it remembers a name and type, and the question's spelling then.
    first: HashMap<(String, u16), (Instant, String)>,
    /// Answers that went over each connection.
    answered: HashMap<SocketAddr, usize>,
}

impl Realistic {
    /// A server that knows the names at and below `zone` (the empty one is the root): `192.0.2.last` is the address of
    /// each. Of other names it says NXDOMAIN.
    #[must_use]
    pub fn knowing(zone: &'static str, last: u8) -> Self {
        Self { knows: Box::new(names(&[zone])), address: [192, 0, 2, last], manners: Vec::new() }
    }

    /// A server that knows all names but those at and below `zone`.
    #[must_use]
    pub fn knowing_all_but(zone: &'static str, last: u8) -> Self {
        let inside = names(&[zone]);
        Self { knows: Box::new(move |seen| !inside(seen)), ..Self::knowing("", last) }
    }

    /// Shows a manner to queries for which `condition` holds.
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&Seen) -> bool + Send + Sync + 'static, manner: Manner) -> Self {
        self.manners.push((Box::new(condition), manner));
        self
    }

    /// Shows a manner to all queries.
    #[must_use]
    pub fn always(self, manner: Manner) -> Self {
        self.when(|_| true, manner)
    }

    /// Starts it, over UDP and TCP.
    #[must_use]
    pub fn start(self, namespace: &Namespace, address: SocketAddr) -> Scripted {
        let waits = self.manners.iter().any(|(_, manner)| matches!(manner, Manner::Asks(_)));
        let script = self.script(namespace);
        match waits {
            true => Scripted::start_waiting(namespace, address, script),
            false => Scripted::start(namespace, address, script),
        }
    }

    /// Starts it over UDP; its TCP port is closed.
    #[must_use]
    pub fn start_without_tcp(self, namespace: &Namespace, address: SocketAddr) -> Scripted {
        let script = self.script(namespace);
        Scripted::udp_only(namespace, address, script)
    }

    fn script(self, namespace: &Namespace) -> impl Fn(&Seen) -> Vec<Reply> + Send + Sync + use<> {
        let (enter, memory) = (namespace.entrance(), Mutex::new(Memory::default()));
        move |seen| {
            let shown = self.manners.iter().filter(|(condition, _)| condition(seen)).map(|(_, manner)| manner);
            let shown: Vec<&Manner> = shown.collect();
            let made = shown.iter().find_map(|manner| manner.makes(seen, &enter));
            let mut message = match made.unwrap_or_else(|| Made::Message(self.known(seen))) {
                Made::Message(message) => message,
                Made::End if seen.transport == Transport::Tcp => return Reply::now(CLOSE),
                Made::End | Made::Nothing => return Reply::silence(),
            };
            let mut memory = memory.lock().expect("no script panicked");
            shown.iter().for_each(|manner| manner.shape(seen, &mut message, &mut memory));
            let late = shown.iter().map(|manner| if let Manner::Late(late) = manner { *late } else { Duration::ZERO });
            let mut replies = Reply::after(late.sum(), message);
            if shown.iter().any(|manner| matches!(manner, Manner::OneOfASegment)) {
                replies.iter_mut().for_each(|reply| reply.drops_rest = true);
            }
            if shown.iter().any(|manner| manner.ends(seen, &mut memory)) {
                replies.extend(Reply::now(CLOSE));
            }
            replies
        }
    }

    fn known(&self, seen: &Seen) -> Vec<u8> {
        let message = match ((self.knows)(seen), seen.query.asked_type()) {
            (true, types::A) => seen.address(self.address, TTL),
            (true, _) => messages::negative(seen, crate::dns::rcode::NOERROR, TTL),
            (false, _) => messages::negative(seen, crate::dns::rcode::NXDOMAIN, TTL),
        };
        messages::with_opt(seen, message)
    }
}

/// What a manner makes.
enum Made {
    Message(Vec<u8>),
    Nothing,
    /// The end of the connection; over UDP nothing.
    End,
}

/// The message that closes a connection.
const CLOSE: Vec<u8> = Vec::new();

impl Manner {
    /// What it makes instead of the zone's answer, if it makes anything.
    fn makes(&self, seen: &Seen, enter: &impl Fn()) -> Option<Made> {
        use crate::dns::rcode::{NOERROR, NXDOMAIN};
        let message = match self {
            Self::Silent => return Some(Made::Nothing),
            Self::Closes => return Some(Made::End),
            Self::Asks(server) => {
                return Some(messages::asked_of(seen, *server, enter).map_or(Made::Nothing, Made::Message));
            }
            Self::HeaderOnly(code) => return Some(Made::Message(messages::header_only(seen, *code))),
            Self::Makes(make) => return Some(Made::Message(make(seen))),
            Self::ComparesLetters if seen.is_spelled() => messages::negative(seen, NXDOMAIN, TTL),
            Self::Says(code) => seen.code(*code),
            Self::Lame => messages::without_recursion(seen.code(NOERROR)),
            Self::Refers(zone) => messages::referral(seen, zone),
            Self::Denies(ttl) => messages::negative(seen, NXDOMAIN, *ttl),
            Self::HasNone(ttl) => messages::negative(seen, NOERROR, *ttl),
            Self::DeniesWithoutSoa(code) => seen.code(*code),
            Self::Has(address, ttl) => seen.address(*address, *ttl),
            _ => return None,
        };
        Some(Made::Message(messages::with_opt(seen, message)))
    }

    /// Changes the message that was made.
    fn shape(&self, seen: &Seen, message: &mut Vec<u8>, memory: &mut Memory) {
        match self {
            Self::Cuts if seen.transport == Transport::Udp => *message = seen.header(flags::TC, [0, 0, 0]),
            Self::CutsInARecord if seen.transport == Transport::Udp => messages::cut_in_a_record(message),
            Self::FirstAskersSpelling => {
                let (_, spelling) = memory.first(seen);
                messages::spell(message, &spelling);
            }
            Self::CountsDown { from } => {
                let (since, _) = memory.first(seen);
                let passed = u32::try_from(since.elapsed().as_secs()).unwrap_or(u32::MAX);
                if passed >= *from {
                    memory.first.remove(&key(seen));
                    memory.first(seen);
                }
                messages::set_ttls(message, from.checked_sub(passed).filter(|rest| *rest > 0).unwrap_or(*from));
            }
            Self::Ttl(ttl) => messages::set_ttls(message, *ttl),
            Self::OptAmongAnswers => messages::opt_among_answers(message),
            Self::RecordBehindOpt => messages::record_behind_opt(message),
            Self::ExtendedCode(code) => *message = messages::extended_code(seen, *code),
            _ => {}
        }
    }

    /// Whether the connection ends with this answer.
    fn ends(&self, seen: &Seen, memory: &mut Memory) -> bool {
        let Self::ClosesAfter(most) = self else { return false };
        if seen.transport == Transport::Udp {
            return false;
        }
        let answered = memory.answered.entry(seen.peer).or_default();
        *answered += 1;
        *answered >= *most
    }
}

fn key(seen: &Seen) -> (String, u16) {
    (seen.name(), seen.query.asked_type())
}

impl Memory {
    fn first(&mut self, seen: &Seen) -> (Instant, String) {
        self.first.entry(key(seen)).or_insert_with(|| (Instant::now(), seen.query.asked())).clone()
    }
}

/// Something that a test turns on and off while a server runs: an outage, a newer truth.
#[derive(Clone, Debug, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// One that is off.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Turns it.
    pub fn turn(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    /// The condition that it is on.
    pub fn is_on(&self) -> impl Fn(&Seen) -> bool + Send + Sync + use<> {
        let switch = Arc::clone(&self.0);
        move |_| switch.load(Ordering::Relaxed)
    }
}

/// The condition that a query is for one of these names, or for one below.
pub fn names(names: &[&'static str]) -> impl Fn(&Seen) -> bool + Send + Sync + use<> {
    let names = names.to_vec();
    move |seen| {
        let name = seen.name();
        names.iter().any(|parent| {
            name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.') || parent.is_empty())
        })
    }
}

/// The condition that both hold.
pub fn both(
    left: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    right: impl Fn(&Seen) -> bool + Send + Sync + 'static,
) -> impl Fn(&Seen) -> bool + Send + Sync + 'static {
    move |seen| left(seen) && right(seen)
}

/// The condition that a query came over TCP.
#[must_use]
pub fn over_tcp(seen: &Seen) -> bool {
    seen.transport == Transport::Tcp
}

/// The condition that a query has AD=1 (RFC 6840, section 5.7).
#[must_use]
pub fn asks_for_ad(seen: &Seen) -> bool {
    seen.query.has(flags::AD)
}
