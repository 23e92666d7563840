//! [`Guard`], the handle of the loop guard that everyone but the judge has: what witnesses say goes in over a bounded
//! queue, and the verdicts that hold now are read from it. [`Driver`] is the task behind it.
//!
//! A full queue drops what witnesses say: that is harmless, since each question that loops speaks again. The set of
//! upstreams and the key go over channels of their own, where the latest counts and none is lost.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::event::Event;
use super::judge::Counters;
use super::report::Kind;
use super::run::{Driver, log};
use super::{Asked, Judge, MarkKey, Marks, Nonce, Report, Secret, Settings, Verdicts, Witness, probe};
use crate::clock;
use crate::upstream::{Transport, UpstreamId, UpstreamSet};
use crate::wire::rtype;

/// What waits for the judge at most.
const QUEUE: usize = 256;

/// Maximum number of probes that are remembered as come home, and of those that are remembered as sent: the latest,
/// those of a few seconds.
const HOME: usize = 64;

/// The guard, as the front and the engine see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    secret: Secret,
    born: Instant,
    key: ArcSwap<MarkKey>,
    key_before: ArcSwap<MarkKey>,
    events: mpsc::Sender<Event>,
    set: watch::Sender<Arc<UpstreamSet>>,
    new_key: watch::Sender<Arc<MarkKey>>,
    home: Mutex<VecDeque<(Nonce, Instant)>>,
    published: Arc<Published>,
}

/// What the driver gives and the handle shows; apart, so that the driver ends when the last handle goes.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) verdicts: ArcSwap<Verdicts>,
    counts: Mutex<BTreeMap<(UpstreamId, Witness), u64>>,
    pub(super) counters: Mutex<Counters>,
    /// The latest probes and whom they went to.
    probes: Mutex<VecDeque<(Nonce, UpstreamId)>>,
}

impl Guard {
    /// A guard for a node with these addresses, and the task that is to be spawned for it. Needs the system's
    /// randomness.
    #[must_use]
    pub fn new(settings: Settings, addresses: &[IpAddr]) -> (Self, Driver) {
        Self::with(settings, addresses, Secret::new(rand::random()), rand::random())
    }

    /// The same with what is else random given.
    pub(super) fn with(settings: Settings, addresses: &[IpAddr], secret: Secret, seed: [u8; 32]) -> (Self, Driver) {
        let born = clock::now();
        let first_key = Arc::new(MarkKey::new(&secret, addresses, born));
        let verdicts = ArcSwap::from_pointee(Verdicts::new(settings));
        let published = Arc::new(Published { verdicts, ..Published::default() });
        let (sender, events) = mpsc::channel(QUEUE);
        let (set_sender, set) = watch::channel(Arc::default());
        let (new_key, key) = watch::channel(Arc::clone(&first_key));
        let judge = Judge::new(settings, Arc::clone(&first_key), seed);
        let shared = Shared {
            secret,
            born,
            key: ArcSwap::new(Arc::clone(&first_key)),
            key_before: ArcSwap::new(first_key),
            events: sender,
            set: set_sender,
            new_key,
            home: Mutex::default(),
            published: Arc::clone(&published),
        };
        (Self(Arc::new(shared)), Driver { judge, events, set, key, published })
    }

    /// What holds now.
    #[must_use]
    pub fn verdicts(&self) -> arc_swap::Guard<Arc<Verdicts>> {
        self.0.published.verdicts.load()
    }

    /// The marks that an ordinary query to `upstream` is to carry now.
    #[must_use]
    pub fn marks(&self, upstream: UpstreamId) -> Marks {
        self.verdicts().marks(upstream)
    }

    /// The key that marks are made and known with.
    #[must_use]
    pub fn key(&self) -> arc_swap::Guard<Arc<MarkKey>> {
        self.0.key.load()
    }

    /// Whether a probe is ours: made with the key, or with the one before, since it may have been on its way when the
    /// node's addresses changed.
    #[must_use]
    pub fn knows(&self, nonce: Nonce) -> bool {
        nonce.is_ours(&self.key()) || nonce.is_ours(&self.0.key_before.load())
    }

    /// A witness speaks against `upstream` for a question.
    ///
    /// Not for the probe of another Onward, who judges by it himself: in a mesh of them each probe would provoke
    /// others.
    pub fn suspect(&self, upstream: UpstreamId, transport: Transport, witness: Witness, asked: Asked<'_>) {
        if probe::nonce(asked.name).is_some() {
            return;
        }
        let (name, qtype) = (asked.name.into(), asked.qtype);
        self.tell(Event::Witness { upstream, transport, witness, name, qtype });
    }

    /// `upstream` lets queries wait over this transport and may be down. It is probed at once, within limits; where
    /// it meets that with silence, [`Verdicts::down_since`] says so within a second. `answered` is a name that it has
    /// answered before (lower-cased wire form), where one is known.
    pub fn perhaps_down(&self, upstream: UpstreamId, transport: Transport, answered: Option<&[u8]>) {
        self.tell(Event::PerhapsDown { upstream, transport, answered: answered.map(Into::into) });
    }

    /// `upstream` may bear no OPT any more: its response to a query that has one speaks for that. The judge begins
    /// a new lesson, within limits.
    pub fn perhaps_no_edns(&self, upstream: UpstreamId) {
        self.tell(Event::PerhapsNoEdns { upstream });
    }

    /// `upstream`, which [`Verdicts::down_since`] holds to be down, has said something.
    pub fn is_alive(&self, upstream: UpstreamId, transport: Transport) {
        self.tell(Event::Alive { upstream, transport });
    }

    /// `upstream` answered a question by itself. A no-op while nothing is held against any upstream, and for what
    /// validating resolvers ask each other: they know it of most zones whatever becomes of other questions.
    pub(crate) fn answered(&self, upstream: UpstreamId, asked: Asked<'_>) {
        let is_chatter = matches!(asked.qtype, rtype::DS | rtype::DNSKEY);
        if !is_chatter && !self.verdicts().all().is_empty() {
            self.tell(Event::Answered { upstream, name: asked.name.into() });
        }
    }

    /// CoreDNS's `loop` plugin asked its question.
    pub fn loop_plugin_seen(&self) {
        self.tell(Event::LoopPlugin);
    }

    /// A probe of ours arrived, brought by `from`, after `onwards` other Onwards. It is to be held for
    /// [`PROBE_HOLD`](super::PROBE_HOLD) and then answered SERVFAIL; where this returns false it came before, and is
    /// answered at once: some hops ask five times.
    #[must_use]
    pub fn probe_home(&self, nonce: Nonce, (from, over): (IpAddr, Transport), onwards: usize, now: Instant) -> bool {
        self.tell(Event::ProbeHome { nonce, from, over, onwards });
        let mut home = self.0.home.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = home.iter().all(|(known, _)| *known != nonce);
        if is_first {
            home.truncate(HOME - 1);
            home.push_front((nonce, now));
        }
        is_first
    }

    /// Whether a probe that went to `upstream` came home since then. Nobody can forge that.
    #[must_use]
    pub fn has_probe_come_home(&self, upstream: UpstreamId, since: Instant) -> bool {
        let home = self.0.home.lock().unwrap_or_else(PoisonError::into_inner);
        let probes = self.0.published.probes.lock().unwrap_or_else(PoisonError::into_inner);
        home.iter().take_while(|(_, at)| *at >= since).any(|(nonce, _)| probes.contains(&(*nonce, upstream)))
    }

    /// Other upstreams are in use.
    pub fn set_changed(&self, set: Arc<UpstreamSet>) {
        self.0.set.send_replace(set);
    }

    /// The node's addresses changed: another key, so that cloned machines do not share one.
    pub fn addresses_changed(&self, addresses: &[IpAddr]) {
        let key = Arc::new(MarkKey::new(&self.0.secret, addresses, self.0.born));
        self.0.key_before.store(self.0.key.swap(Arc::clone(&key)));
        self.0.new_key.send_replace(key);
    }

    /// How often each witness spoke against each upstream, as far as the judge heard.
    #[must_use]
    pub fn counts(&self) -> Vec<((UpstreamId, Witness), u64)> {
        let counts = self.0.published.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(whom, count)| (*whom, *count)).collect()
    }

    /// What the judge has done up to now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.0.published.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells again which verdicts hold against those in `set`: to be called when people are told of the upstreams.
    pub fn tell_what_holds(&self, set: &UpstreamSet, now: Instant) {
        for verdict in self.verdicts().all() {
            let Some(upstream) = set.get(verdict.upstream) else { continue };
            let report = Report {
                kind: Kind::Holds(verdict.standing, now.saturating_duration_since(verdict.since)),
                upstream: Arc::clone(upstream),
                transport: verdict.transport,
                suffix: verdict.suffix.clone(),
                qtype: verdict.qtype,
                evidence: Some(verdict.evidence.clone()),
                witness: verdict.evidence.witness,
            };
            log(&report, &self.0.published.counts_of(verdict.upstream));
        }
    }

    fn tell(&self, event: Event) {
        // Full or gone: see the module's text.
        let _ = self.0.events.try_send(event);
    }
}

impl Published {
    pub(super) fn counts_of(&self, upstream: UpstreamId) -> Vec<(Witness, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter(|((of, _), _)| *of == upstream).map(|((_, witness), count)| (*witness, *count)).collect()
    }

    pub(super) fn sent(&self, nonce: Nonce, upstream: UpstreamId) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes.truncate(HOME - 1);
        probes.push_front((nonce, upstream));
    }

    /// Counts a witness against an upstream. A full table is emptied before another pair of the two goes in: pairs with
    /// upstreams that are in use no more would gather over a long life.
    pub(super) fn count(&self, upstream: UpstreamId, witness: Witness) {
        const MOST: usize = 1024;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST && !counts.contains_key(&(upstream, witness)) {
            counts.clear();
        }
        *counts.entry((upstream, witness)).or_default() += 1;
    }
}
