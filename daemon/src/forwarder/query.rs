//! What becomes of a query that comes in: it is answered at once, or it waits for its lookup.
//!
//! The cached answer is the hot path: [`Shared::decide`] is a direct call without allocation. The rest stands apart.

use std::sync::Arc;

use super::Shared;
use super::counters::Local;
use super::event::Event;
use super::incoming::{Incoming, Intake};
use super::monitor::{Seen, What};
use super::returned_query::ReturnedQuery;
use crate::admit::local_names::LocalName;
use crate::admit::triage::{self, triage};
use crate::cache::Freshness;
use crate::exchange::{CLIENT_BUDGET, LookupRequest};
use crate::guard::returned::ReturnedMarks;
use crate::guard::{HOLD, Passed, probe};
use crate::respond::{Age, Ede, LocalResponse, ResponseParams, local, write_cached};
use crate::waiters::{Asker, Join, Start, Waiter};
use crate::wire::{HEADER, Query, QuestionKey, Response, flag, name_end};

/// Time that CoreDNS may keep the response to its loop probe, in seconds.
const PROBE_TTL: u32 = 1;

/// What is to be done with a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Send the response that was written.
    Respond,
    /// The same, and ask for it again: it is popular and about to end, or it has ended and could not be renewed.
    RespondAndRefresh,
    /// Send nothing.
    Drop,
    /// Send the response that was written after [`PROBE_HOLD`](crate::guard::PROBE_HOLD): it answers a probe of ours
    /// come home, and a hop that hears SERVFAIL at once would ask others.
    RespondLater,
    /// It must be asked.
    LookUp(ReturnedMarks),
    /// Take this in the packet's place: the same query, plain.
    Replace(Vec<u8>),
}

/// When a client is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Now, with what was written.
    Now,
    /// Later, through [`Incoming::reply_to`].
    Later,
    /// Never.
    None,
}

/// What follows from a query beside its response.
#[derive(Debug)]
pub struct Outcome {
    /// When the client is answered.
    pub reply: Reply,
    /// For one worker, whichever it is.
    pub event: Option<Event>,
    /// For all workers.
    pub broadcast: Vec<Event>,
}

/// What becomes of a query that is to wait for its lookup.
enum Enqueued {
    /// It is the first: start its lookup.
    LookUp(LookupRequest),
    /// The same, but not before [`HOLD`] has gone by and the lookup is released.
    Hold(LookupRequest),
    /// Its lookup is under way.
    Joined,
    /// It does not wait: this is its response.
    Respond(Local, LocalResponse),
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self { reply, event: None, broadcast: Vec::new() }
    }
}

impl Shared {
    /// Reads a packet and writes its response to `out` where that needs no upstream.
    #[inline]
    pub fn decide(&self, intake: &mut Intake, incoming: &Incoming<'_>, out: &mut Vec<u8>) -> Disposition {
        let Intake { query, context, counters, deadline: _ } = intake;
        let packet = incoming.packet;
        let plain = query.read(packet);
        if !context.admits(incoming.from.ip()) {
            if plain.is_ok() && query.wants_recursion() {
                self.tell_guard(&self.marks(incoming, query, context.now), incoming, query);
            }
            let not_yours = Ede::new(Ede::PROHIBITED, "this resolver serves its node and pods; see `allow`");
            return self.respond_locally(
                incoming,
                (Local::NotAllowed, &LocalResponse::Refused(Some(not_yours))),
                intake,
                out,
            );
        }
        if plain.is_err() {
            return self.decide_odd(intake, incoming, out);
        }
        let transport = incoming.ingress.transport();
        let wants = ResponseParams::new(query, self.payload, transport);
        let head = packet.get(..query.question_end()).unwrap_or_default();
        let hit = self.cache.get(query.key(), context.seconds, |found| {
            let age = match found.freshness {
                Freshness::Fresh | Freshness::Ending => Age::Seconds(found.age),
                Freshness::StaleHold | Freshness::StaleRetry => Age::Stale,
                Freshness::Stale => return Freshness::Stale,
            };
            write_cached(head, wants, found.block, age, out);
            found.freshness
        });
        match hit {
            Some(Freshness::Fresh) if !context.is_watched => {
                counters.hits.raise(transport, query.qtype());
                counters.responses.raise(out);
                Disposition::Respond
            }
            hit => self.decide_further(hit, intake, incoming, out),
        }
    }

    /// Decides about what is not simply in the cache, or is watched. Apart, so that hits need not make room for it.
    #[inline(never)]
    fn decide_further(
        &self,
        hit: Option<Freshness>,
        intake: &mut Intake,
        incoming: &Incoming<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let Some(freshness) = hit.filter(|freshness| *freshness != Freshness::Stale) else {
            return self.decide_miss(intake, incoming, out);
        };
        let counters = &mut intake.counters;
        let is_stale = matches!(freshness, Freshness::StaleHold | Freshness::StaleRetry);
        let kept = if is_stale { &mut counters.stale } else { &mut counters.hits };
        kept.raise(incoming.ingress.transport(), intake.query.qtype());
        counters.responses.raise(out);
        if intake.context.is_watched {
            self.observe(if is_stale { What::Stale } else { What::Hit }, incoming, intake, out);
        }
        match freshness {
            Freshness::Ending | Freshness::StaleRetry => Disposition::RespondAndRefresh,
            Freshness::Fresh | Freshness::StaleHold | Freshness::Stale => Disposition::Respond,
        }
    }

    /// Decides about what is no plain query.
    #[inline(never)]
    fn decide_odd(&self, intake: &mut Intake, incoming: &Incoming<'_>, out: &mut Vec<u8>) -> Disposition {
        match triage(incoming.packet) {
            triage::Verdict::Drop => {
                intake.counters.dropped += 1;
                Disposition::Drop
            }
            triage::Verdict::LocalResponse(response) => {
                self.respond_locally(incoming, (Local::NotServed, &response), intake, out)
            }
            triage::Verdict::Forward(plain) => Disposition::Replace(plain),
        }
    }

    /// Answers here what is not to be asked of any upstream.
    fn decide_miss(&self, intake: &mut Intake, incoming: &Incoming<'_>, out: &mut Vec<u8>) -> Disposition {
        let (query, now) = (&intake.query, intake.context.now);
        if probe::is_coredns_probe(query.name(), query.qtype()) {
            self.guard.loop_plugin_seen();
            return self.respond_locally(
                incoming,
                (Local::LoopPlugin, &LocalResponse::NxDomain(PROBE_TTL)),
                intake,
                out,
            );
        }
        let names = self.names.load();
        let local = names.find(query.name(), &self.set.load());
        if let Some((local, response)) = local.and_then(|local| Some((local, local.response(query.qtype())?))) {
            let why = match local {
                LocalName::Host(_) => Local::HostsFile,
                LocalName::Special(_) => Local::SpecialName,
                LocalName::Cluster | LocalName::Forwarded => Local::ClusterName,
            };
            return self.respond_locally(incoming, (why, &response), intake, out);
        }
        // Those that iterate ask so. A stranger's zone may have sent them here, so what they carry is no witness.
        if !query.wants_recursion() {
            let not_cached = Ede::new(Ede::NOT_AUTHORITATIVE, "not cached, and no recursion desired");
            return self.respond_locally(
                incoming,
                (Local::NoRecursion, &LocalResponse::Refused(Some(not_cached))),
                intake,
                out,
            );
        }
        let marks = self.marks(incoming, query, now);
        if let Some(nonce) = probe::nonce(query.name()).filter(|nonce| self.guard.knows(*nonce)) {
            let by = (incoming.from.ip(), incoming.ingress.transport());
            let is_first = self.guard.probe_home(nonce, by, marks.passed.onwards(), now);
            let came_home = Ede::new(Ede::NETWORK_ERROR, "a probe of this node came back to it");
            return match self.respond_locally(
                incoming,
                (Local::OwnProbe, &LocalResponse::ServFail(came_home)),
                intake,
                out,
            ) {
                Disposition::Respond if is_first => Disposition::RespondLater,
                other => other,
            };
        }
        self.tell_guard(&marks, incoming, query);
        intake.counters.cluster_forwarded += u64::from(matches!(local, Some(LocalName::Forwarded)));
        intake.counters.misses.raise(incoming.ingress.transport(), intake.query.qtype());
        Disposition::LookUp(marks)
    }

    fn respond_locally(
        &self,
        incoming: &Incoming<'_>,
        (why, response): (Local, &LocalResponse),
        intake: &mut Intake,
        out: &mut Vec<u8>,
    ) -> Disposition {
        if local::write(incoming.packet, response, self.payload, out).is_none() {
            intake.counters.dropped += 1;
            return Disposition::Drop;
        }
        intake.counters.answered_locally(why);
        intake.counters.responses.raise(out);
        if intake.context.is_watched {
            self.observe(What::Own, incoming, intake, out);
        }
        Disposition::Respond
    }

    /// Tells those who watch of a response that is given at once.
    #[cold]
    fn observe(&self, what: What, incoming: &Incoming<'_>, intake: &Intake, response: &[u8]) {
        self.monitor.put(Seen {
            at: intake.context.now,
            what,
            question: question_of(incoming.packet).into(),
            client: Some(incoming.from),
            transport: incoming.ingress.transport(),
            upstream: None,
            took: None,
            rcode: response.get(3).map(|low| low & flag::RCODE),
            error: extended_error(response),
        });
    }

    /// Does what [`Self::decide`] found to be done.
    pub fn carry_out(
        &self,
        disposition: Disposition,
        intake: &mut Intake,
        incoming: &Incoming<'_>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        match disposition {
            Disposition::Respond => Reply::Now.into(),
            Disposition::RespondAndRefresh => {
                let refresh = self.refresh(&intake.query);
                intake.counters.refreshes += u64::from(refresh.is_some());
                Outcome { event: refresh.map(Event::LookUp), ..Reply::Now.into() }
            }
            Disposition::Drop => Reply::None.into(),
            Disposition::RespondLater => {
                let held = Event::HoldResponse(incoming.reply_to(), out.clone());
                Outcome { event: Some(held), ..Reply::Later.into() }
            }
            Disposition::LookUp(marks) => self.wait(marks, intake, incoming, out),
            Disposition::Replace(packet) => {
                let incoming = Incoming { packet: &packet, ..*incoming };
                match self.decide(intake, &incoming, out) {
                    Disposition::Replace(_) => Reply::None.into(), // what triage wrote is plain
                    disposition => self.carry_out(disposition, intake, &incoming, out),
                }
            }
        }
    }

    fn wait(&self, marks: ReturnedMarks, intake: &mut Intake, incoming: &Incoming<'_>, out: &mut Vec<u8>) -> Outcome {
        let mut broadcast = Vec::new();
        let (reply, event) = match self.enqueue(marks, intake, incoming, &mut broadcast) {
            Enqueued::LookUp(request) => (Reply::Later, Some(Event::LookUp(request))),
            Enqueued::Hold(request) => {
                intake.counters.held += 1;
                (Reply::Later, Some(Event::Hold(request)))
            }
            Enqueued::Joined => (Reply::Later, None),
            Enqueued::Respond(why, response) => match self.respond_locally(incoming, (why, &response), intake, out) {
                Disposition::Respond => (Reply::Now, None),
                _ => (Reply::None, None),
            },
        };
        Outcome { reply, event, broadcast }
    }

    /// Lets a query wait for its response; `broadcast` gets what all workers are to know.
    fn enqueue(
        &self,
        marks: ReturnedMarks,
        intake: &Intake,
        incoming: &Incoming<'_>,
        broadcast: &mut Vec<Event>,
    ) -> Enqueued {
        let (query, now) = (&intake.query, intake.context.now);
        let through = marks.returned.map(|back| back.through);
        let is_sure = marks.returned.is_some_and(|back| back.is_sure);
        let deadline = match intake.deadline {
            Some(deadline) => deadline,
            None => now + if is_sure { HOLD } else { CLIENT_BUDGET },
        };
        let returned = marks.returned.map(|back| self.returned(back, query, deadline, broadcast));
        if returned == Some(ReturnedQuery::Refuse) {
            self.waiters.was_refused(query.key(), now);
            return Enqueued::Respond(Local::Returned, LocalResponse::ServFail(self.loops(through)));
        }
        let packet: Arc<[u8]> = incoming.packet.into();
        let is_onward = marks.passed.foreign() || marks.returned.is_some();
        let waiter = Waiter {
            packet: Arc::clone(&packet),
            question_end: query.question_end(),
            wants: ResponseParams::new(query, self.payload, incoming.ingress.transport()),
            deadline,
            returned_through: through.filter(|_| is_sure),
            asker: if is_onward { Asker::Onward } else { Asker::Client },
            relay: marks.passed.relay(),
            start: if returned == Some(ReturnedQuery::Hold) { Start::Held } else { Start::AtOnce },
            from: incoming.from,
            reply_to: incoming.reply_to(),
        };
        let key = QuestionKey::new(query.key());
        let request =
            |key| LookupRequest { key, packet, from: Some(incoming.from.ip()), through, passed: marks.passed };
        match self.waiters.join(&key, waiter, now) {
            Join::First => Enqueued::LookUp(request(key)),
            Join::Held => Enqueued::Hold(request(key)),
            Join::Waits => Enqueued::Joined,
            Join::Widens => {
                broadcast.push(Event::Widen(key));
                Enqueued::Joined
            }
            Join::Detour(until) => {
                broadcast.push(Event::Remind(key, until));
                Enqueued::Joined
            }
            Join::Refused => Enqueued::Respond(Local::Returned, LocalResponse::ServFail(self.loops(through))),
            Join::Full => {
                let full = Ede::new(Ede::NOT_READY, "too many queries in flight");
                Enqueued::Respond(Local::Full, LocalResponse::ServFail(full))
            }
        }
    }

    /// Starts the lookup of what is popular and about to end in the cache. `None` where it is under way.
    fn refresh(&self, query: &Query) -> Option<LookupRequest> {
        let key = QuestionKey::new(query.key());
        let starts = self.waiters.start(&key);
        starts.then(|| LookupRequest { key, packet: [].into(), from: None, through: None, passed: Passed::default() })
    }
}

/// The question section of a packet, as far as it has one.
pub(super) fn question_of(packet: &[u8]) -> &[u8] {
    let end = name_end(packet, HEADER).map_or(packet.len(), |end| end + 4);
    packet.get(HEADER..end).unwrap_or_default()
}

/// The first extended error (RFC 8914) of a response.
fn extended_error(response: &[u8]) -> Option<u16> {
    let end = name_end(response, HEADER)? + 4;
    Response::read(response, end)?.extended_errors().next()
}
