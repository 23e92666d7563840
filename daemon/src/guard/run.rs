//! The judge at work: what witnesses say comes in over a bounded queue, probes go out, verdicts are published, people
//! are told. [`Guard`] is the handle that everyone else has; [`Driver::run`] is the task behind it.
//!
//! A full queue drops what witnesses say: that is harmless, since each question that loops speaks again. The set of
//! upstreams and the key come over channels of their own, where the latest counts and none is lost.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::event::{Action, Event};
use super::judge::Counters;
use super::probe;
use super::report::Kind;
use super::{Asked, Judge, MarkKey, Marks, Nonce, Report, Secret, Settings, Verdicts, Witness, exchange};
use crate::clock;
use crate::upstream::{Transport, Upstream, UpstreamId, UpstreamSet};
use crate::wire::rtype;

/// What waits for the judge at most.
const QUEUE: usize = 256;

/// Maximum number of probes that are remembered as come home, and of those that are remembered as sent: the latest,
/// those of a few seconds.
const HOME: usize = 64;

/// The guard, as the front and the engine see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Shared>);

/// Runs the judge.
#[derive(Debug)]
pub struct Driver {
    judge: Judge,
    events: mpsc::Receiver<Event>,
    set: watch::Receiver<Arc<UpstreamSet>>,
    key: watch::Receiver<Arc<MarkKey>>,
    published: Arc<Published>,
}

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
struct Published {
    verdicts: ArcSwap<Verdicts>,
    counts: Mutex<BTreeMap<(UpstreamId, Witness), u64>>,
    counters: Mutex<Counters>,
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
    fn with(settings: Settings, addresses: &[IpAddr], secret: Secret, seed: [u8; 32]) -> (Self, Driver) {
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
    /// Not for the probe of another Onward, who judges by it himself: in a mesh of them each probe would provoke others.
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

impl Driver {
    /// Judges until the last [`Guard`] is gone. `published` is called whenever there are other verdicts: flights that
    /// wait for who was convicted are to be freed.
    pub async fn run(mut self, published: impl Fn() + Send) {
        let mut probes: JoinSet<Event> = JoinSet::new();
        loop {
            let due = self.judge.due(clock::now()).map(tokio::time::Instant::from_std);
            // A probe that came home must be heard of before its end, hence the order.
            let event = tokio::select! {
                biased;
                changed = self.key.changed() => match changed {
                    Ok(()) => Event::KeyChanged(Arc::clone(&self.key.borrow_and_update())),
                    Err(_) => return,
                },
                changed = self.set.changed() => match changed {
                    Ok(()) => Event::SetChanged(Arc::clone(&self.set.borrow_and_update())),
                    Err(_) => return,
                },
                Some(event) = self.events.recv() => event,
                Some(Ok(event)) = probes.join_next() => event,
                () = sleep_until(due) => Event::Tick,
            };
            if let Event::Witness { upstream, witness, .. } = &event {
                self.published.count(*upstream, *witness);
            }
            for action in self.judge.handle(event, clock::now()) {
                let is_news = matches!(action, Action::Publish(_));
                self.perform(action, |nonce, upstream, transport, message| {
                    probes.spawn(async move {
                        let heard = exchange::ask(&upstream.endpoint, transport, &message).await;
                        Event::ProbeOver { nonce, heard }
                    });
                });
                if is_news {
                    published();
                }
            }
            *self.published.counters.lock().unwrap_or_else(PoisonError::into_inner) = self.judge.counters();
        }
    }

    /// Does what the judge wants done; `send` sends its probes.
    fn perform(&self, action: Action, send: impl FnOnce(Nonce, Arc<Upstream>, Transport, Vec<u8>)) {
        match action {
            Action::Publish(verdicts) => self.published.verdicts.store(verdicts),
            Action::Tell(report) => log(&report, &self.published.counts_of(report.upstream.id)),
            Action::SendProbe { nonce, upstream, transport, message } => {
                self.published.sent(nonce, upstream.id);
                send(nonce, upstream, transport, message);
            }
        }
    }
}

impl Published {
    fn counts_of(&self, upstream: UpstreamId) -> Vec<(Witness, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter(|((of, _), _)| *of == upstream).map(|((_, witness), count)| (*witness, *count)).collect()
    }

    fn sent(&self, nonce: Nonce, upstream: UpstreamId) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes.truncate(HOME - 1);
        probes.push_front((nonce, upstream));
    }

    /// Counts a witness against an upstream. A full table is emptied before another pair of the two goes in: pairs with
    /// upstreams that are in use no more would gather over a long life.
    fn count(&self, upstream: UpstreamId, witness: Witness) {
        const MOST: usize = 1024;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST && !counts.contains_key(&(upstream, witness)) {
            counts.clear();
        }
        *counts.entry((upstream, witness)).or_default() += 1;
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn log(report: &Report, counts: &[(Witness, u64)]) {
    let fields = report.fields(counts);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let logger = log::logger();
    let metadata = log::Metadata::builder().level(report.level()).target(module_path!()).build();
    if report.level() <= log::max_level() && logger.enabled(&metadata) {
        logger.log(
            &log::Record::builder()
                .metadata(metadata)
                .args(format_args!("{}", report.text()))
                .module_path_static(Some(module_path!()))
                .key_values(&fields.as_slice())
                .build(),
        );
    }
}

#[cfg(test)]
mod stepped;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guard::Standing;
    use crate::upstream::set::UpstreamIds;
    use crate::wire::name;

    /// An upstream on loopback that brings each probe home and passes our SERVFAIL on, or says NXDOMAIN.
    async fn upstream(guard: Guard, socket: tokio::net::UdpSocket, loops: bool) {
        let mut buffer = [0; 1232];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let end = 12 + buffer[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
            let nonce = probe::nonce(&buffer[12..end]).unwrap();
            assert!(nonce.is_ours(&guard.key()));
            if loops {
                let _ = guard.probe_home(nonce, (from.ip(), Transport::Udp), 0, clock::now());
            }
            (buffer[2], buffer[3]) = (0x81, if loops { 0x82 } else { 0x83 });
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_loop_on_loopback_is_found_and_a_good_server_is_not() {
        let (guard, driver) = Guard::new(Settings::default(), &[]);
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run(|| {}));
        let mut servers = Vec::new();
        for loops in [true, false] {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            servers.push((socket.local_addr().unwrap().into(), "a".into()));
            tasks.spawn(upstream(guard.clone(), socket, loops));
        }
        let set = UpstreamSet::new(servers, None, &mut UpstreamIds::default());
        let [bad, good] = [set.upstreams[0].id, set.upstreams[1].id];
        guard.set_changed(Arc::new(set));
        let any = || Asked { name: name::ROOT, qtype: 1 };
        guard.suspect(good, Transport::Udp, Witness::Tag, any());
        let standing = |number| guard.verdicts().standing(number, Transport::Udp, any());
        let found = async {
            while standing(bad) != Standing::Quarantined || guard.counts() != [((good, Witness::Tag), 1)] {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), found).await.unwrap();
        assert!(standing(good) < Standing::LastResort);
        let counters = guard.counters();
        assert!(counters.suspicions == [1, 0, 0] && counters.probes[0] >= 4 && counters.given >= 1, "{counters:?}");
        let nonce = Nonce::new(1, &guard.key());
        let home = || guard.probe_home(nonce, ([10, 0, 0, 9].into(), Transport::Udp), 0, clock::now());
        assert_eq!((home(), home()), (true, false), "only the first is held");
        let an_hour_ago = guard.0.born - Duration::from_secs(3600);
        assert!(guard.has_probe_come_home(bad, an_hour_ago) && !guard.has_probe_come_home(good, an_hour_ago));
        assert!(!guard.has_probe_come_home(bad, clock::now()));
        let before = guard.key().process();
        guard.addresses_changed(&[[10, 0, 0, 1].into()]);
        assert_ne!(guard.key().process(), before);
    }

    #[tokio::test]
    async fn a_probe_over_tcp_is_answered_or_not() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().into();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut message = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut message).await.unwrap();
            (message[2], message[3]) = (0x81, 0x83);
            stream.write_u16(message.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&message).await.unwrap();
        };
        let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
        let (heard, ()) = tokio::join!(exchange::ask(&server, Transport::Tcp, query), serve);
        assert!(heard.unwrap().own);
        drop(listener);
        assert_eq!(exchange::ask(&server, Transport::Tcp, query).await, None);
    }
}
