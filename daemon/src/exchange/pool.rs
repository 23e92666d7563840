//! Which socket a question leaves from, and under which ID. Pure: sockets are tokens here, `sockets` opens them.
//!
//! An answer that is forged off the path must guess the port and the ID of the question (RFC 5452). Both are random for
//! each: the ID is new, the socket is one of many, each on a port that the kernel chose. With K sockets open, a forger
//! who does not know the ports must still hit one pair of port and ID out of all there are for each question, as with a
//! fresh port each time; one who would learn the ports over time finds them gone, since a socket serves for a bounded
//! number of questions and seconds only. The spelling of the name (`guard::spelling`) and the connected socket, which
//! takes datagrams of the upstream's address only, come on top.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rand::{Rng, RngExt};

/// A socket takes this many questions at most.
const QUESTIONS: u32 = 4096;
/// And no more after this time.
const LIFE: Duration = Duration::from_secs(60);

/// Names a socket for as long as the process lives. Its lowest byte is the place that it has in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Socket(pub u64);

/// The sockets of one upstream, and what is asked over them.
#[derive(Debug)]
pub(crate) struct Pool<A> {
    slots: Vec<Option<Slot>>,
    /// Sockets that were taken out of use, each with the number of its queries that still wait for a response.
    retired: Vec<(Socket, u32)>,
    asked: HashMap<(Socket, u16), A, RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    socket: Socket,
    questions: u32,
    waiting: u32,
    opened: Instant,
}

/// Where a question goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Over this socket.
    pub socket: Socket,
    /// With this ID.
    pub id: u16,
    /// The socket must be opened first.
    pub opens: bool,
    /// This one has had its time and can be closed.
    pub closes: Option<Socket>,
}

impl Socket {
    fn new(serial: u64, slot: u8) -> Self {
        Self(serial << 8 | u64::from(slot))
    }

    fn slot(self) -> usize {
        usize::from(self.0.to_le_bytes()[0])
    }
}

impl<A> Pool<A> {
    /// A pool of 1 to 256 `sockets`, old ones that still wait for answers not counted.
    #[must_use]
    pub(crate) fn new(sockets: usize) -> Self {
        Self { slots: vec![None; sockets.clamp(1, 256)], retired: Vec::new(), asked: HashMap::default() }
    }

    /// Chooses socket and ID for `attempt`; `next` numbers the sockets of all pools.
    pub(crate) fn ask(&mut self, attempt: A, now: Instant, rng: &mut impl Rng, next: &mut u64) -> Assignment {
        let last = u8::try_from(self.slots.len() - 1).unwrap_or(u8::MAX);
        let index = rng.random_range(0..=last);
        let mut closes = None;
        #[expect(clippy::indexing_slicing, reason = "the index is below the length")]
        let slot = &mut self.slots[usize::from(index)];
        let worn = slot.is_some_and(|s| s.questions >= QUESTIONS || now.duration_since(s.opened) >= LIFE);
        if worn && let Some(old) = slot.take() {
            match old.waiting {
                0 => closes = Some(old.socket),
                waiting => self.retired.push((old.socket, waiting)), // the last answer closes it
            }
        }
        let opens = slot.is_none();
        let slot = slot.get_or_insert_with(|| {
            *next += 1;
            Slot { socket: Socket::new(*next, index), questions: 0, waiting: 0, opened: now }
        });
        slot.questions += 1;
        slot.waiting += 1;
        let socket = slot.socket;
        let id = loop {
            let id = rng.random();
            if let Entry::Vacant(free) = self.asked.entry((socket, id)) {
                free.insert(attempt);
                break id; // a socket takes 4096 questions, so most of the 65,536 are free
            }
        };
        Assignment { socket, id, opens, closes }
    }

    /// Who asked with this ID over this socket.
    #[must_use]
    pub(crate) fn who(&self, socket: Socket, id: u16) -> Option<&A> {
        self.asked.get(&(socket, id))
    }

    /// The question is over. Returns the socket where it was worn out and this was the last that it waited for.
    pub(crate) fn forget(&mut self, socket: Socket, id: u16) -> Option<Socket> {
        self.asked.remove(&(socket, id))?;
        if let Some(slot) = self.slots.get_mut(socket.slot()).and_then(Option::as_mut).filter(|s| s.socket == socket) {
            slot.waiting -= 1;
            return None;
        }
        let at = self.retired.iter().position(|(retired, _)| *retired == socket)?;
        let (_, waiting) = self.retired.get_mut(at)?;
        *waiting -= 1;
        (*waiting == 0).then(|| self.retired.swap_remove(at).0)
    }

    /// The socket is of no use: it could not be opened, or nobody answers behind it. Returns what was asked over it.
    pub(crate) fn lose(&mut self, socket: Socket) -> Vec<A> {
        if let Some(slot) = self.slots.get_mut(socket.slot())
            && slot.is_some_and(|s| s.socket == socket)
        {
            *slot = None;
        }
        self.retired.retain(|(retired, _)| *retired != socket);
        self.asked.extract_if(|(asked, _), _| *asked == socket).map(|(_, attempt)| attempt).collect()
    }

    /// Takes all sockets out of use, as after a change of addresses or routes. Returns those that can be closed at
    /// once.
    pub(crate) fn renew(&mut self) -> Vec<Socket> {
        let old = self.slots.iter_mut().filter_map(Option::take);
        let (idle, waiting): (Vec<Slot>, Vec<Slot>) = old.partition(|slot| slot.waiting == 0);
        self.retired.extend(waiting.into_iter().map(|slot| (slot.socket, slot.waiting)));
        idle.into_iter().map(|slot| slot.socket).collect()
    }

    /// Whether anything is still asked.
    #[cfg(test)]
    pub(super) fn is_quiet(&self) -> bool {
        self.asked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const SOCKETS: usize = 32;

    #[test]
    fn sockets_and_ids_are_spread_and_nothing_is_asked_twice() {
        let (mut pool, mut rng, now, mut next) = (Pool::new(SOCKETS), StdRng::seed_from_u64(1), crate::clock::now(), 0);
        let assigned: Vec<_> = (0..2000).map(|i| pool.ask(i, now, &mut rng, &mut next)).collect();
        assert_eq!(assigned.iter().filter(|one| one.opens).count(), SOCKETS);
        let ids: std::collections::HashSet<_> = assigned.iter().map(|one| (one.socket, one.id)).collect();
        assert_eq!(ids.len(), 2000);
        assert_eq!(pool.who(assigned[7].socket, assigned[7].id), Some(&7));
        for one in &assigned {
            assert_eq!(pool.forget(one.socket, one.id), None);
        }
        assert!(pool.is_quiet());
    }

    #[test]
    fn a_worn_socket_is_closed_by_its_last_answer() {
        let (mut pool, mut rng, start, mut next) =
            (Pool::new(SOCKETS), StdRng::seed_from_u64(1), crate::clock::now(), 0);
        let first = pool.ask(0, start, &mut rng, &mut next);
        let later = start + LIFE;
        let mut seen = Vec::new();
        while seen.len() < 1000 {
            seen.push(pool.ask(1, later, &mut rng, &mut next));
        }
        assert!(seen.iter().all(|one| one.closes != Some(first.socket)));
        assert_eq!(pool.forget(first.socket, first.id), Some(first.socket));
    }

    #[test]
    fn renewed_sockets_are_closed_at_once_or_by_their_last_answer() {
        let (mut pool, mut rng, now, mut next) = (Pool::new(2), StdRng::seed_from_u64(1), crate::clock::now(), 0);
        let assigned: Vec<_> = (0..20).map(|i| pool.ask(i, now, &mut rng, &mut next)).collect();
        let (busy, idle): (Vec<Assignment>, Vec<Assignment>) =
            assigned.iter().partition(|one| one.socket == assigned[0].socket);
        assert!(idle.iter().all(|one| pool.forget(one.socket, one.id).is_none()));
        assert_eq!(pool.renew(), [idle[0].socket]);
        let (last, others) = busy.split_last().unwrap();
        assert!(others.iter().all(|one| pool.forget(one.socket, one.id).is_none()));
        assert_eq!(pool.forget(last.socket, last.id), Some(last.socket));
        assert!(pool.is_quiet() && pool.ask(1, now, &mut rng, &mut next).opens);
    }

    #[test]
    fn a_lost_socket_gives_back_what_was_asked_over_it() {
        let (mut pool, mut rng, now, mut next) = (Pool::new(SOCKETS), StdRng::seed_from_u64(1), crate::clock::now(), 0);
        let one = pool.ask(5, now, &mut rng, &mut next);
        assert_eq!(pool.lose(one.socket), [5]);
        assert_eq!(pool.who(one.socket, one.id), None);
        assert!(pool.is_quiet());
    }
}
