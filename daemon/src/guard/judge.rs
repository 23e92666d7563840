//! The judge: turns what witnesses and probes say into probes, verdicts and things to tell. Pure: events and `now` in,
//! actions out; it holds no socket and reads no clock.
//!
//! **Convicted** is an upstream, over one transport, for the names under one suffix (or for one type of them), when two
//! probes in a row came home and neither had an answer but our own. The second goes without marks, since some
//! forwarders look further only then. `verdicts` has where it looks, since not every hop can be judged by the root, and
//! when it has waited enough; `case` has what ends a verdict; `suspicion` what witnesses cause; `checkup` the health
//! probes. The last upstream that is left is asked four times more at once: one that answers any of these is half a
//! loop, to be asked last. And one that answers a probe though something came back through it is *intermittent* for a
//! minute: it keeps its place, but what comes back is asked of it again where no other is left.
//!
//! One probe at a time for each upstream and transport, but for those that were given up; how many a stranger can
//! provoke is `limits`' part, which verdicts hold is `upstream_state`'s, which marks are sent is `marks`'.

mod checkup;
mod reporting;
mod suspicion;
mod verdicts;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Settings;
use super::case::Place;
use super::event::{Action, Event};
use super::health::Health;
use super::key::MarkKey;
use super::limits::{Provoked, Window};
use super::mark_support::Marks;
use super::marks::Known;
use super::probe::{self, Nonce, Probe};
use super::report::Kind;
use super::upstream_state::{Cause, ProbeRequest, ProbeReturn, Purpose, UpstreamState};
use super::verdict::Verdicts;
use crate::upstream::{Transport, Upstream, UpstreamId, UpstreamSet};
use crate::wire::name;

/// How long a witness's word stands: longer than hops resend.
const SUSPECT: Duration = Duration::from_secs(5);
/// A probe that could not be confirmed is repeated after this.
const UNSURE: Duration = Duration::from_secs(5);
/// Maximum number of witnesses that are kept until the first upstreams are known, and heard then: listeners open a
/// moment earlier.
const EARLY: usize = 8;
/// Upstreams (and transports) remembered though they are in use no more, for their verdicts.
const REMEMBERED: usize = 256;
/// Maximum number of probes a second in all, but for those of health; and of those for release and of routine, which
/// wait rather than delay a verdict.
const OVERALL: usize = 20;
const BACKGROUND: usize = 8;
/// Maximum number of health probes a second, to all upstreams together.
const CHECKUPS: usize = 20;

type Whom = (UpstreamId, Transport);

/// A probe under way.
#[derive(Debug, Clone)]
struct ProbeInFlight {
    whom: Whom,
    want: ProbeRequest,
    marks: Marks,
    sent: Instant,
    home: Option<ProbeReturn>,
    /// The one that it is to confirm was answered by the upstream itself, late.
    answered_late: bool,
    /// It was given up when it had come home, which was taken into account.
    given_up_home: bool,
}

/// The judge. See the module's text.
#[derive(Debug)]
pub struct Judge {
    settings: Settings,
    key: Arc<MarkKey>,
    rng: StdRng,
    set: Arc<UpstreamSet>,
    tracks: BTreeMap<Whom, UpstreamState>,
    known: BTreeMap<UpstreamId, Known>,
    provoked: BTreeMap<UpstreamId, Provoked>,
    asked: HashMap<Nonce, ProbeInFlight>,
    /// Probes that were given up and may yet come home or be answered.
    overdue: HashMap<Nonce, ProbeInFlight>,
    health: BTreeMap<Whom, Health>,
    checkups: HashMap<Nonce, Whom>,
    checkup_window: Window,
    early: Vec<(Whom, Cause)>,
    overall: Window,
    background: Window,
    told: Window,
    published: Arc<Verdicts>,
    counters: Counters,
    actions: Vec<Action>,
}

/// What the judge has done since it began, for people and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Suspicions heard, by witness: tag, spelling, silence.
    pub suspicions: [u64; 3],
    /// Probes sent, by what for: check, confirmation, release, learning of marks, health.
    pub probes: [u64; 5],
    /// Verdicts given.
    pub given: u64,
    /// Of them, found to be half a loop.
    pub halved: u64,
    /// Verdicts that ended.
    pub ended: u64,
}

impl Counters {
    fn count(counter: &mut u64) {
        *counter = counter.wrapping_add(1);
    }
}

impl Judge {
    /// A judge without upstreams. `seed` must be random: nonces come from it.
    #[must_use]
    pub fn new(settings: Settings, key: Arc<MarkKey>, seed: [u8; 32]) -> Self {
        Self {
            settings,
            key,
            rng: StdRng::from_seed(seed),
            set: Arc::default(),
            tracks: BTreeMap::new(),
            known: BTreeMap::new(),
            provoked: BTreeMap::new(),
            asked: HashMap::new(),
            overdue: HashMap::new(),
            health: BTreeMap::new(),
            checkups: HashMap::new(),
            checkup_window: Window::new(CHECKUPS, Duration::from_secs(1)),
            early: Vec::new(),
            overall: Window::new(OVERALL, Duration::from_secs(1)),
            background: Window::new(BACKGROUND, Duration::from_secs(1)),
            told: Window::new(6, Duration::from_secs(60)),
            published: Arc::new(Verdicts::new(settings)),
            counters: Counters::default(),
            actions: Vec::new(),
        }
    }

    /// Takes an event; returns what is to be done.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Witness { upstream, transport, witness, name, qtype } => {
                self.witness((upstream, transport), Cause { witness, name, qtype }, now);
            }
            Event::Answered { upstream, name } => {
                for transport in Transport::ALL {
                    if let Some(track) = self.tracks.get_mut(&(upstream, transport)) {
                        track.answered(&name, now);
                    }
                }
            }
            Event::LoopPlugin => self.loop_plugin(now),
            Event::ProbeHome { nonce, from, over, onwards } => {
                self.probe_home(nonce, ProbeReturn { from, over, onwards, at: now });
            }
            Event::ProbeOver { nonce, heard } => {
                if !self.checkup_over(nonce, heard.is_some(), now) {
                    self.over(nonce, heard, now);
                }
            }
            Event::PerhapsDown { upstream, transport, answered } => {
                self.perhaps_down((upstream, transport), answered, now);
            }
            Event::PerhapsNoEdns { upstream } => self.doubt_edns(upstream, now),
            Event::Alive { upstream, transport } => self.is_alive((upstream, transport)),
            Event::SetChanged(set) => {
                self.set_changed(set);
                for (whom, cause) in std::mem::take(&mut self.early) {
                    self.witness(whom, cause, now);
                }
            }
            Event::KeyChanged(key) => self.key = key,
            Event::Tick => {}
        }
        self.end_overdue(now);
        self.hear_late(now);
        self.send_due(now);
        self.send_checkups(now);
        self.publish(now);
        std::mem::take(&mut self.actions)
    }

    /// What was done up to now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// When to come back with [`Event::Tick`], if nothing happens before.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let asks = self.in_use().filter_map(|(_, track)| match track.is_waiting() {
            true => Some(now),
            false => {
                let due = track.due();
                due.map(|at| self.background.room_at().map_or(at, |room| at.max(room)))
            }
        });
        let asks = asks.map(|at| self.overall.room_at().map_or(at, |room| at.max(room)));
        let ends = self.tracks.values().flat_map(|track| [track.suspect_until, track.wavers_until]);
        let ends = ends.flatten().filter(|until| *until > now);
        let late = self.in_use().filter_map(|(_, track)| track.late.as_ref().map(|(at, _)| *at));
        let given_up = self.asked.values().filter_map(|flying| self.patience_ends(flying, now));
        asks.chain(ends).chain(late).chain(given_up).chain(self.checkup_due()).min()
    }

    /// A probe has come home.
    fn probe_home(&mut self, nonce: Nonce, home: ProbeReturn) {
        if let Some(asked) = self.asked.get_mut(&nonce) {
            asked.home.get_or_insert(home);
        } else if let Some(whom) = self.checkups.get(&nonce) {
            let track = self.tracks.entry(*whom).or_default();
            if track.asked.is_none() && !track.covers(name::ROOT) {
                track.want(ProbeRequest::check(name::ROOT, None));
            }
        } else {
            self.came_home_late(nonce, home);
        }
    }

    fn in_use(&self) -> impl Iterator<Item = (&Whom, &UpstreamState)> {
        self.tracks.iter().filter(|((number, _), _)| self.set.get(*number).is_some())
    }

    /// On every change: near upstreams are asked over both transports, others once, when they are new.
    fn set_changed(&mut self, set: Arc<UpstreamSet>) {
        for upstream in &set.upstreams {
            let number = upstream.id;
            let known = self.set.get(number).is_some_and(|old| old.endpoint == upstream.endpoint);
            if upstream.is_near() {
                for transport in upstream.endpoint.transports() {
                    self.tracks.entry((number, *transport)).or_default().want(ProbeRequest::check(name::ROOT, None));
                }
            } else if !known {
                let first = upstream.endpoint.first_transport();
                self.tracks.entry((number, first)).or_default().want(ProbeRequest::check(name::ROOT, None));
            }
        }
        let mut room = REMEMBERED;
        self.tracks.retain(|(number, _), track| {
            let remembered = room > 0 && track.verdicts().next().is_some();
            let keep = set.get(*number).is_some() || track.asked.is_some() || remembered;
            room = room.saturating_sub(usize::from(keep));
            keep
        });
        self.known.retain(|number, _| set.get(*number).is_some());
        self.provoked.retain(|number, _| set.get(*number).is_some());
        self.health.retain(|(number, _), _| set.get(*number).is_some());
        self.set = set;
    }

    /// Sends the probes that are due: first those that were asked for, then those of routine and for release,
    /// which must not delay the others.
    fn send_due(&mut self, now: Instant) {
        let set = Arc::clone(&self.set);
        for is_urgent in [true, false] {
            for upstream in &set.upstreams {
                for transport in upstream.endpoint.transports().iter().copied() {
                    let Some(track) = self.tracks.get_mut(&(upstream.id, transport)) else { continue };
                    let is_due = match is_urgent {
                        true => track.is_waiting(),
                        false => track.due().is_some_and(|at| at <= now),
                    };
                    if !is_due || !is_urgent && !self.background.take(now) {
                        continue;
                    }
                    if !self.overall.take(now) {
                        return;
                    }
                    if let Some(want) = track.next(now) {
                        self.send(upstream, transport, want, now);
                    }
                }
            }
        }
    }

    fn send(&mut self, upstream: &Arc<Upstream>, transport: Transport, want: ProbeRequest, now: Instant) {
        let known = self.known.entry(upstream.id).or_default();
        let marks = match want.purpose {
            // Probes carry all that is borne: the tag shows the way, and that it is borne.
            Purpose::Check => self.settings.marks(known.bears(), true, true),
            Purpose::Confirm | Purpose::Release => Marks::NONE,
            Purpose::Learn => known.lesson_marks(self.settings),
        };
        let nonce = match want.place.begins {
            Some(begins) => Nonce::beginning_as(begins, self.rng.random(), &self.key),
            None => Nonce::new(self.rng.random(), &self.key),
        };
        let Place { suffix, qtype, .. } = &want.place;
        let sent = Probe { nonce, upstream: upstream.id, suffix, qtype: *qtype, marks };
        let message = probe::query(&sent, self.rng.random(), &self.key, self.key.bucket(now));
        let whom = (upstream.id, transport);
        let track = self.tracks.entry(whom).or_default();
        track.asked = Some(nonce);
        if upstream.is_near() && track.routine.is_none() {
            track.routine = Some(now + Duration::from_millis(self.rng.random_range(45_000..75_000)));
        }
        let [check, confirm, release, learn, _] = &mut self.counters.probes;
        Counters::count(match want.purpose {
            Purpose::Check => check,
            Purpose::Confirm => confirm,
            Purpose::Release => release,
            Purpose::Learn => learn,
        });
        let (home, answered_late, given_up_home) = (None, false, false);
        self.asked.insert(nonce, ProbeInFlight { whom, want, marks, sent: now, home, answered_late, given_up_home });
        self.actions.push(Action::SendProbe { nonce, upstream: Arc::clone(upstream), transport, message });
    }

    fn begin_lesson(&mut self, asked: &ProbeInFlight, now: Instant) {
        if asked.want.of_all() && asked.whom.1 != Transport::Tcp {
            self.begin_lesson_of(asked.whom, now);
        }
    }

    fn begin_lesson_of(&mut self, whom: Whom, now: Instant) {
        if self.known.entry(whom.0).or_default().begin(now) {
            self.tracks.entry(whom).or_default().want(ProbeRequest::learn());
        }
    }

    /// Begins a new lesson about an upstream that is thought to bear an OPT.
    fn doubt_edns(&mut self, upstream: UpstreamId, now: Instant) {
        let Some(transport) = self.set.get(upstream).map(|upstream| upstream.endpoint.first_transport()) else {
            return;
        };
        if self.known.get(&upstream).is_none_or(|known| known.bears().opt) {
            self.begin_lesson_of((upstream, transport), now);
        }
    }

    fn learn(&mut self, whom: Whom, own: bool, kept: bool, now: Instant) {
        let (more, learnt) = self.known.entry(whom.0).or_default().heard(own, kept, now);
        if more && let Some(track) = self.tracks.get_mut(&whom) {
            track.want(ProbeRequest::learn());
        }
        if let Some(bears) = learnt {
            self.tell(Kind::Learnt(bears), whom, name::ROOT, None);
        }
    }

    /// Whether all others are convicted for these names.
    fn is_last(&self, number: UpstreamId, suffix: &[u8]) -> bool {
        let convicted = |other: &Upstream| {
            let track = self.tracks.get(&(other.id, other.endpoint.first_transport()));
            track.is_some_and(|track| track.covers(suffix))
        };
        let mut upstreams = self.set.route(suffix).into_iter().flat_map(|route| &route.upstreams);
        upstreams.all(|other| other.id == number || convicted(other))
    }
}

#[cfg(test)]
mod tests;
