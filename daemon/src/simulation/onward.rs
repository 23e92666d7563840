//! The Onward of the model: the real trip, waiters, engine and guard, with time and network of the model. One worker, UDP
//! only. What is told here is what a worker's thread does between them.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot::Receiver;

use super::{Answer, CLIENT, Node, Out, Place, Query, Timer, messages};
use crate::admit::acl::{AllowList, Allowed};
use crate::cache::{self, Cache, TtlBounds};
use crate::exchange::pool::Socket;
use crate::exchange::{Action, CLIENT_BUDGET, Engine, Guidance, LookupRequest};
use crate::forwarder::{Arrival, Forwarder, Step, Waits};
use crate::guard::returned::ReturnedMarks;
use crate::guard::{Asked, Driver, Event, Guard, HOLD, Mark, Nonce, PROBE_HOLD, Settings, Standing, Witness, probe};
use crate::net::outbox::Outbox;
use crate::node_address::table::Tables;
use crate::respond::local;
use crate::server::mailbox::{Inbox, Order, inbox};
use crate::upstream::set::UpstreamIds;
use crate::upstream::{Server, Transport, UpstreamId, UpstreamSet};
use crate::waiters::{Waiters, WayBack};
use crate::wire;
use crate::wire::name;

/// How long an upstream has to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// As the program has it, but with little room.
const CACHE: cache::Limits = cache::Limits {
    entries: 256,
    bytes: 1 << 20,
    ttl: TtlBounds::new(0, 3_600),
    negative_ttl: TtlBounds::new(0, 900),
    failure_ttl: 5,
    stale_max: 0,
    prefetch: true,
};

/// Which witnesses there are; a test can switch them off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witnesses {
    pub(super) tag: bool,
    pub(super) spelling: bool,
    pub(super) silence: bool,
}

pub(super) struct Onward {
    forwarder: Forwarder,
    engine: Engine,
    driver: Driver,
    inbox: Inbox,
    outbox: Outbox,
    silence: bool,
    places: HashMap<UpstreamId, Place>,
    next: u64,
    sockets: HashMap<Socket, UpstreamId>,
    asks: HashMap<u64, (UpstreamId, Socket, Vec<u8>)>,
    probes: HashMap<u64, (Nonce, Vec<u8>)>,
    /// Held until these times: answers to probes that came home, and questions that are perhaps ours come back.
    held_answers: VecDeque<(Instant, (Place, u64), Vec<u8>)>,
    held_questions: VecDeque<(Instant, LookupRequest)>,
    waiting: Vec<(Place, u64, Receiver<Vec<u8>>)>,
    due: Option<Instant>,
    /// When the judge hears of the upstreams, if not at once.
    pub(super) judges_from: Option<Instant>,
    /// Packets that were refused for a mark.
    pub(super) refused: usize,
    /// Questions that were held, as perhaps ours come back.
    pub(super) questions_held: usize,
}

/// The address of a place.
fn address(place: Place) -> IpAddr {
    let host = if place == CLIENT { 255 } else { u8::try_from(place).unwrap() };
    Ipv4Addr::new(10, 0, 0, host).into()
}

impl Onward {
    pub(super) fn new(seed: u8, witnesses: Witnesses, upstreams: &[Place]) -> Self {
        let mark = |on: bool| if on { Mark::Auto } else { Mark::Never };
        let settings = Settings { tag: mark(witnesses.tag), spelling: mark(witnesses.spelling) };
        let (guard, driver) = Guard::seeded(settings, seed);
        let server = |place: &Place| (Server::new(address(*place), 53), "a".into());
        let set = Arc::new(UpstreamSet::new(upstreams.iter().map(server).collect(), None, &mut UpstreamIds::default()));
        let places = set.upstreams.iter().map(|upstream| upstream.id).zip(upstreams.iter().copied()).collect();
        let (orders, inbox) = inbox().unwrap();
        let guidance = Guidance { verdicts: Arc::clone(&guard.verdicts()), key: Arc::clone(&guard.key()) };
        let allowed = Allowed { private: true, ..Allowed::default() };
        let forwarder = Forwarder {
            cache: Cache::new(CACHE),
            waiters: Waiters::new(1_000, 100),
            allow: ArcSwap::from_pointee(AllowList::compile(&allowed, &Tables::default())),
            set: ArcSwap::new(Arc::clone(&set)),
            guard,
            workers: vec![orders],
            payload: 1232,
            started: crate::clock::now(),
        };
        Self {
            forwarder,
            engine: Engine::new(set, guidance, 4, 1232, StdRng::seed_from_u64(seed.into())),
            driver,
            inbox,
            outbox: Outbox::default(),
            silence: witnesses.silence,
            places,
            next: 0,
            sockets: HashMap::new(),
            asks: HashMap::new(),
            probes: HashMap::new(),
            held_answers: VecDeque::new(),
            held_questions: VecDeque::new(),
            waiting: Vec::new(),
            due: None,
            judges_from: None,
            refused: 0,
            questions_held: 0,
        }
    }

    /// The standing of the upstream at `place` for all names.
    pub(super) fn standing(&self, place: Place) -> Standing {
        self.standing_for(place, name::ROOT)
    }

    /// Its standing for `name`, in lower case.
    pub(super) fn standing_for(&self, place: Place, name: &[u8]) -> Standing {
        let number = self.places.iter().find(|(_, at)| **at == place).map(|(number, _)| *number).unwrap();
        self.forwarder.guard.verdicts().standing(number, Transport::Udp, Asked { name, qtype: 1 })
    }

    /// Whether any upstream is convicted.
    pub(super) fn convicts(&self) -> bool {
        !self.forwarder.guard.verdicts().all().is_empty()
    }

    fn reply(&mut self, (to, id): (Place, u64), answer: &[u8], out: &mut Out) {
        let (code, came_back) = messages::code(answer);
        self.refused += usize::from(came_back);
        out.reply(to, id, code);
    }

    /// Does all that is to be done now, and sets the time of what comes next.
    fn settle(&mut self, event: Option<Event>, out: &mut Out) {
        let mut event = event;
        loop {
            self.obey(out.now);
            while let Some(action) = self.engine.next_action() {
                self.perform(action, out);
            }
            if !self.judge(event.take(), out) {
                break;
            }
        }
        for (to, id, mut answer) in std::mem::take(&mut self.waiting) {
            match answer.try_recv() {
                Ok(answer) => self.reply((to, id), &answer, out),
                Err(_) => self.waiting.push((to, id, answer)),
            }
        }
        let answer = self.held_answers.front().map(|(at, ..)| *at);
        let question = self.held_questions.front().map(|(at, _)| *at);
        let due = [self.engine.next_wake(), answer, question, self.driver.due(out.now)].into_iter().flatten().min();
        if let Some(due) = due.map(|due| due.max(out.now + Duration::from_millis(1)))
            && self.due.is_none_or(|before| before <= out.now || due < before)
        {
            self.due = Some(due);
            out.timers.push((due, Timer::Due));
        }
    }

    fn obey(&mut self, now: Instant) {
        while let Some(order) = self.inbox.next() {
            match order {
                Order::CameBack(key, upstream, until) => {
                    self.engine.came_back(&key, upstream, now);
                    self.engine.remind(&key, until);
                }
                Order::Widen(key) => self.engine.widen(&key, now),
                other => panic!("a worker without streams is not told {other:?}"),
            }
        }
    }

    fn perform(&mut self, action: Action, out: &mut Out) {
        let (forwarder, outbox) = (&self.forwarder, &mut self.outbox);
        match action {
            Action::Open(socket, upstream) => drop(self.sockets.insert(socket, upstream.id)),
            Action::Close(socket) => drop(self.sockets.remove(&socket)),
            Action::Send(socket, ask) => {
                let (upstream, message) = (self.sockets[&socket], self.engine.message(ask).unwrap().to_vec());
                self.next += 1;
                out.ask(self.places[&upstream], messages::read(&message, out.place, self.next));
                self.asks.insert(self.next, (upstream, socket, message));
            }
            Action::Stream(..) => panic!("no answer is cut"),
            Action::Answered(said) => forwarder.give(&said.landed().unwrap(), outbox, out.now),
            Action::Refused(said) => forwarder.give_failure(&said, outbox, out.now),
            Action::Failed(key, why) => forwarder.give_up(&key, why, outbox, out.now),
            Action::Overdue(key) => {
                let next = forwarder.give_overdue(&key, outbox, out.now);
                self.engine.remind(&key, next.unwrap_or(out.now + CLIENT_BUDGET));
            }
            Action::Silent(upstream, transport, key) if self.silence => {
                forwarder.guard.suspect(upstream, transport, Witness::Silence, (&key).into());
            }
            Action::Silent(..) => {}
        }
    }

    /// Lets the judge take what there is; returns whether there are other verdicts. Nobody listens over TCP.
    fn judge(&mut self, event: Option<Event>, out: &mut Out) -> bool {
        let (next, probes, places) = (&mut self.next, &mut self.probes, &self.places);
        let is_news = self.driver.step(event, out.now, |nonce, upstream, transport, message| {
            *next += 1;
            if transport == Transport::Udp {
                out.ask(places[&upstream.id], messages::read(&message, out.place, *next));
            }
            out.after(PATIENCE, Timer::ProbeTimeout(*next));
            probes.insert(*next, (nonce, message));
        });
        if is_news {
            let guard = &self.forwarder.guard;
            let (verdicts, key) = (Arc::clone(&guard.verdicts()), Arc::clone(&guard.key()));
            self.engine.guide(Guidance { verdicts, key }, out.now);
        }
        is_news
    }

    /// A question that the cache does not answer.
    fn ask(
        &mut self,
        arrival: Arrival<'_>,
        (query, marks): (&wire::Query, ReturnedMarks),
        to: (Place, u64),
        out: &mut Out,
    ) {
        let (back, answer) = tokio::sync::oneshot::channel();
        match self.forwarder.wait(arrival, query, marks, WayBack::Tcp(back)) {
            Waits::Ask(question) => self.engine.ask(question, out.now),
            Waits::Hold(question) => {
                self.questions_held += 1;
                self.held_questions.push_back((out.now + HOLD, question));
            }
            Waits::Joined => {}
            Waits::Answer(own) => {
                let mut message = Vec::new();
                local::write(arrival.packet, &own, self.forwarder.payload, &mut message).unwrap();
                return self.reply(to, &message, out);
            }
        }
        self.waiting.push((to.0, to.1, answer));
    }

    fn let_go(&mut self, out: &mut Out) {
        while self.held_answers.front().is_some_and(|(at, ..)| *at <= out.now) {
            let (_, to, answer) = self.held_answers.pop_front().unwrap();
            self.reply(to, &answer, out);
        }
        while self.held_questions.front().is_some_and(|(at, _)| *at <= out.now) {
            let (_, question) = self.held_questions.pop_front().unwrap();
            if self.forwarder.let_go(&question, &mut self.outbox, out.now) {
                let key = question.key.clone();
                self.engine.ask(question, out.now);
                self.engine.remind(&key, out.now + CLIENT_BUDGET - HOLD);
            }
        }
    }
}

impl Node for Onward {
    fn query(&mut self, query: Query, out: &mut Out) {
        let (packet, to) = (messages::query(&query), (query.from, query.id));
        let moment = self.forwarder.moment(out.now);
        let from = SocketAddr::new(address(query.from), 53_053);
        let arrival = Arrival { packet: &packet, from, over_tcp: false, at: &moment };
        let (mut read, mut answer) = (wire::Query::default(), Vec::new());
        match self.forwarder.take(&arrival, &mut read, &mut answer) {
            Step::Answer | Step::AnswerAndRefresh => self.reply(to, &answer, out),
            Step::AnswerLater => self.held_answers.push_back((out.now + PROBE_HOLD, to, answer)),
            Step::Ask(marks) => self.ask(arrival, (&read, marks), to, out),
            step => panic!("a plain query that is allowed: {step:?}"),
        }
        self.settle(None, out);
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        if let Some((nonce, message)) = self.probes.remove(&answer.id) {
            let heard = probe::heard(&message, &messages::answer(&message, answer.code));
            return self.settle(Some(Event::ProbeOver { nonce, heard }), out);
        }
        let Some((upstream, socket, asked)) = self.asks.remove(&answer.id) else { return };
        let message = messages::answer(&asked, answer.code);
        if let Some(landed) = self.engine.datagram(upstream, socket, &message, out.now) {
            self.forwarder.give(&landed, &mut self.outbox, out.now);
        }
        self.settle(None, out);
    }

    fn ring(&mut self, timer: Timer, out: &mut Out) {
        match timer {
            Timer::Start if self.judges_from.is_some_and(|from| out.now < from) => {
                out.timers.extend(self.judges_from.map(|from| (from, Timer::Start)));
            }
            Timer::Start => {
                let set = Arc::clone(&self.forwarder.set.load());
                self.settle(Some(Event::SetChanged(set)), out);
            }
            Timer::ProbeTimeout(id) => {
                if let Some((nonce, _)) = self.probes.remove(&id) {
                    self.settle(Some(Event::ProbeOver { nonce, heard: None }), out);
                }
            }
            Timer::Due => {
                self.engine.wake(out.now);
                self.let_go(out);
                let is_due = self.driver.due(out.now).is_some_and(|at| at <= out.now);
                self.settle(is_due.then_some(Event::Tick), out);
            }
            Timer::Attempt(..) => {}
        }
    }

    fn onward(&self) -> Option<&Onward> {
        Some(self)
    }
}
