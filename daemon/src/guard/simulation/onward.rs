//! The Onward of the model: the real guard around flights that keep the engine's rules in little. One worker, no cache
//! but of failures, UDP only.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Answer, Node, Out, Place, Query, SERVFAIL, Timer};
use crate::guard::probe::{self, Heard};
use crate::guard::silence::{self, End};
use crate::guard::{
    Action, Event, HOLD, Judge, MarkKey, Nonce, Secret, Settings, Standing, Strength, Verdicts, Witness, name,
    spelling, tag,
};
use crate::upstream::set::Numbers;
use crate::upstream::{Number, Server, Set, Transport};

const LATE: Duration = Duration::from_millis(400);
const DEADLINE: Duration = Duration::from_millis(1800);
const FAILED: Duration = Duration::from_secs(1);
const FAILED_SUSPECT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(2);

/// Which marks the model sends; a test can switch witnesses off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witnesses {
    pub(super) tag: bool,
    pub(super) spelling: bool,
    pub(super) silence: bool,
}

pub(super) struct Onward {
    key: MarkKey,
    judge: Judge,
    set: Arc<Set>,
    places: HashMap<Number, Place>,
    witnesses: Witnesses,
    next: u64,
    flights: BTreeMap<u64, Flight>,
    asks: HashMap<u64, (u64, Number)>,
    probes: HashMap<u64, Nonce>,
    failed: HashMap<Vec<u8>, Instant>,
    tick: Option<Instant>,
    pub(super) verdicts: Arc<Verdicts>,
    /// Packets that were refused for a mark.
    pub(super) refused: usize,
    pub(super) probes_sent: usize,
}

struct Flight {
    name: Vec<u8>,
    asker: Vec<u8>,
    passed: tag::Passed,
    waiters: Vec<(Place, u64)>,
    /// Upstreams that were not asked yet, and those that were.
    left: Vec<Number>,
    asked: Vec<Number>,
    due: usize,
    refuses: bool,
    /// A witness has spoken: its failure is remembered for longer than hops resend.
    suspected: bool,
}

impl Onward {
    pub(super) fn new(seed: u8, witnesses: Witnesses, upstreams: &[Place]) -> Self {
        let key = MarkKey::new(&Secret::new([seed; 16]), &[], crate::clock::now());
        let server = |place: &Place| {
            let ip = Ipv4Addr::new(10, 0, 0, u8::try_from(*place).unwrap());
            (Server::new(ip.into(), 53), "a".into())
        };
        let set = Set::new(upstreams.iter().map(server).collect(), None, &mut Numbers::default());
        let places = set.upstreams.iter().map(|upstream| upstream.number).zip(upstreams.iter().copied()).collect();
        let judge = Judge::new(Settings::default(), Arc::new(key.clone()), [seed; 32]);
        Self {
            key,
            judge,
            set: Arc::new(set),
            places,
            witnesses,
            next: 0,
            flights: BTreeMap::new(),
            asks: HashMap::new(),
            probes: HashMap::new(),
            failed: HashMap::new(),
            tick: None,
            verdicts: Arc::default(),
            refused: 0,
            probes_sent: 0,
        }
    }

    fn tell(&mut self, event: Event, out: &mut Out) {
        for action in self.judge.handle(event, out.now) {
            match action {
                Action::Publish(verdicts) => self.verdicts = verdicts,
                Action::Tell(_) => (),
                Action::SendProbe { nonce, upstream, transport, message } => {
                    let end = 12 + message[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
                    let options = message.get(end + 4 + 11..).unwrap_or_default();
                    self.next += 1;
                    self.probes.insert(self.next, nonce);
                    if transport == Transport::Udp {
                        let tag = tag::find(options).filter(|_| self.witnesses.tag).map(<[u8]>::to_vec);
                        out.ask(self.places[&upstream.number], self.next, &message[12..end], tag);
                        self.probes_sent += 1;
                    }
                    out.after(PATIENCE, Timer::ProbeTimeout(self.next));
                }
            }
        }
        // A tick at a time: another is set only where it is due earlier than the one that waits.
        if let Some(due) = self.judge.due(out.now).map(|due| due.max(out.now + Duration::from_millis(1)))
            && self.tick.is_none_or(|tick| tick <= out.now || due < tick)
        {
            self.tick = Some(due);
            out.timers.push((due, Timer::Judge));
        }
    }

    fn suspect(&mut self, upstream: Number, witness: Witness, qname: &[u8], out: &mut Out) {
        let name = qname.to_ascii_lowercase().into();
        self.tell(Event::Witness { upstream, transport: Transport::Udp, witness, name }, out);
    }

    /// Asks the flight's next upstream.
    fn ask_next(&mut self, number: u64, out: &mut Out) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        if flight.left.is_empty() {
            return;
        }
        let upstream = flight.left.remove(0);
        flight.asked.push(upstream);
        flight.due += 1;
        let marks = self.verdicts.marks(upstream);
        let mut qname = flight.name.clone();
        if self.witnesses.spelling && marks.spelling {
            spelling::spell(&mut qname, upstream, &flight.asker, &self.key);
        }
        let mut option = Vec::new();
        if self.witnesses.tag && marks.tag {
            tag::write(&flight.passed, upstream, &self.key, self.key.bucket(out.now), &mut option);
        }
        self.next += 1;
        self.asks.insert(self.next, (number, upstream));
        out.ask(self.places[&upstream], self.next, &qname, tag::find(&option).map(<[u8]>::to_vec));
        out.after(LATE, Timer::Late(number, upstream.0));
    }

    /// One ask ended without an answer: the next, if there is one and the rules allow it, or the end.
    fn go_on(&mut self, number: u64, out: &mut Out) {
        let Some(flight) = self.flights.get(&number) else { return };
        if !flight.left.is_empty() && !flight.passed.foreign() {
            self.ask_next(number, out);
        } else if flight.due == 0 {
            self.end(number, SERVFAIL, out);
        }
    }

    fn end(&mut self, number: u64, code: u8, out: &mut Out) {
        let Some(flight) = self.flights.remove(&number) else { return };
        if code == SERVFAIL {
            let remembered = if flight.suspected { FAILED_SUSPECT } else { FAILED };
            self.failed.insert(flight.name.clone(), out.now + remembered);
        }
        for (to, id) in flight.waiters {
            out.reply(to, id, code);
        }
    }

    /// Whose mark, if any, the packet carries: the upstream, the witness, and whether the packet is surely ours.
    fn mark(&self, query: &Query, passed: &tag::Passed, flight: Option<&Flight>) -> Option<(Number, Witness, bool)> {
        if let Some(own) = passed.own.filter(|_| self.witnesses.tag) {
            return Some((own, Witness::Tag, true));
        }
        let asked = flight.filter(|_| self.witnesses.spelling)?.asked.iter();
        asked.copied().find_map(|upstream| {
            let strength = spelling::recognise(&query.name, upstream, &self.key)?;
            Some((upstream, Witness::Spelling, strength == Strength::Witness))
        })
    }

    /// A question that no flight is under way for.
    fn start(&mut self, query: &Query, passed: tag::Passed, out: &mut Out) {
        let name = query.name.to_ascii_lowercase();
        let standing = |number| self.verdicts.standing(number, Transport::Udp, &name);
        let mut left: Vec<_> = self.set.upstreams.iter().map(|upstream| upstream.number).collect();
        left.retain(|number| standing(*number) != Standing::Quarantined);
        left.sort_by_key(|number| standing(*number) == Standing::AskedLast);
        if self.failed.get(&name).is_some_and(|until| out.now < *until) || left.is_empty() {
            return out.reply(query.from, query.id, SERVFAIL);
        }
        self.next += 1;
        let number = self.next;
        let flight = Flight {
            name,
            asker: query.name.clone(),
            passed,
            waiters: vec![(query.from, query.id)],
            left,
            asked: Vec::new(),
            due: 0,
            refuses: false,
            suspected: false,
        };
        self.flights.insert(number, flight);
        out.after(DEADLINE, Timer::Deadline(number));
        self.ask_next(number, out);
    }

    /// A marked packet: the flight goes on at once, the suspect gets a probe, the packet waits 50 ms.
    fn marked(&mut self, number: u64, query: &Query, mark: (Number, Witness, bool), out: &mut Out) {
        let (upstream, witness, sure) = mark;
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.suspected = true;
        if sure && flight.refuses {
            self.refused += 1;
            return out.reply(query.from, query.id, SERVFAIL);
        }
        flight.waiters.push((query.from, query.id));
        if sure {
            out.after(HOLD, Timer::Marked(number, query.from, query.id));
        }
        let foreign = flight.passed.foreign();
        if !foreign && flight.asked.last() == Some(&upstream) {
            self.ask_next(number, out);
        }
        if !foreign {
            self.suspect(upstream, witness, &query.name, out);
        }
    }
}

impl Node for Onward {
    fn query(&mut self, query: Query, out: &mut Out) {
        let bucket = self.key.bucket(out.now);
        let passed = query.tag.as_deref().map(|tag| tag::read(tag, &self.key, bucket)).unwrap_or_default();
        if let Some(nonce) = probe::nonce(&query.name).filter(|nonce| nonce.is_ours(&self.key)) {
            let from = Ipv4Addr::LOCALHOST.into();
            self.tell(Event::ProbeHome { nonce, from, over: Transport::Udp, onwards: passed.onwards() }, out);
            return out.after(HOLD, Timer::HeldProbe(query.from, query.id));
        }
        let flight = self.flights.iter().find(|(_, flight)| flight.name.eq_ignore_ascii_case(&query.name));
        let mark = self.mark(&query, &passed, flight.map(|(_, flight)| flight));
        let number = flight.map(|(number, _)| *number);
        match (number, mark) {
            (Some(number), Some(mark)) => self.marked(number, &query, mark, out),
            (Some(number), None) => {
                let Some(flight) = self.flights.get_mut(&number) else { return };
                flight.waiters.push((query.from, query.id));
                if !passed.foreign() {
                    flight.passed = tag::Passed::default(); // now someone of our own waits
                }
            }
            // Its flight is over, so it has been answered or refused already.
            (None, Some(_)) => {
                self.refused += 1;
                out.reply(query.from, query.id, SERVFAIL);
            }
            (None, None) => self.start(&query, passed, out),
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        if let Some(nonce) = self.probes.remove(&answer.id) {
            let heard = Some(Heard { own: answer.code != SERVFAIL, spelling_kept: true });
            return self.tell(Event::ProbeOver { nonce, heard }, out);
        }
        let Some((number, upstream)) = self.asks.remove(&answer.id) else { return };
        if answer.code != SERVFAIL {
            return self.end(number, answer.code, out);
        }
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.due -= 1;
        flight.suspected |= self.witnesses.silence;
        if self.witnesses.silence && silence::is_suspicion(End::Servfail) && !flight.passed.foreign() {
            let name = flight.name.clone();
            self.suspect(upstream, Witness::Silence, &name, out);
        }
        self.go_on(number, out);
    }

    fn ring(&mut self, timer: Timer, out: &mut Out) {
        match timer {
            Timer::HeldProbe(to, id) => out.reply(to, id, SERVFAIL),
            Timer::ProbeTimeout(id) => {
                if let Some(nonce) = self.probes.remove(&id) {
                    self.tell(Event::ProbeOver { nonce, heard: None }, out);
                }
            }
            Timer::Judge if self.tick.is_none() => self.tell(Event::SetChanged(Arc::clone(&self.set)), out),
            Timer::Judge => self.tell(Event::Tick, out),
            Timer::Late(number, upstream) => {
                let due = self.asks.values().any(|ask| *ask == (number, Number(upstream)));
                let Some(flight) = self.flights.get_mut(&number).filter(|_| due) else { return };
                flight.suspected |= self.witnesses.silence;
                if flight.passed.foreign() {
                    return;
                }
                let name = flight.name.clone();
                if self.witnesses.silence && silence::is_suspicion(End::Late) {
                    self.suspect(Number(upstream), Witness::Silence, &name, out);
                }
                self.ask_next(number, out);
            }
            Timer::Deadline(number) => self.end(number, SERVFAIL, out),
            Timer::Marked(number, to, id) => {
                let Some(flight) = self.flights.get_mut(&number) else { return };
                flight.refuses = true;
                flight.waiters.retain(|waiter| *waiter != (to, id));
                self.refused += 1;
                out.reply(to, id, SERVFAIL);
            }
            Timer::Attempt(..) => (),
        }
    }

    fn onward(&self) -> Option<&Onward> {
        Some(self)
    }
}

impl Onward {
    /// The standing of the upstream at `place` for all names.
    pub(super) fn standing(&self, place: Place) -> Standing {
        let number = self.places.iter().find(|(_, at)| **at == place).map(|(number, _)| *number).unwrap();
        self.verdicts.standing(number, Transport::Udp, name::ROOT)
    }
}
