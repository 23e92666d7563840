//! The judge: turns what witnesses and probes say into probes, verdicts and things to tell. Pure: events and `now` in,
//! actions out; it holds no socket and reads no clock.
//!
//! **Convicted** is an upstream, over one transport, for the names under one suffix, when two probes in a row came home
//! and neither had an answer but our own. The second goes without marks, since some forwarders look further only then.
//! Where the root's probe does not come home but a witness insists, one more goes under the parent of the suspected
//! name, and what it finds holds for that suffix only. A quarantine ends by the upstream's own answer, never by
//! silence. The last upstream that is left is asked four times more at once: one that answers any of these is half a
//! loop, to be asked last. And one that answers a probe though something came back through it *wavers* for a minute: it
//! keeps its place, but what comes back is asked of it again where nobody else is left.
//!
//! One probe at a time for each upstream and transport; how many a stranger can provoke is `limits`' part, which
//! verdicts hold is `upstream_state`'s, which marks are sent is `marks`'.

mod checkup;
mod reporting;
mod suspicion;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Settings;
use super::event::{Action, Event};
use super::health::Health;
use super::key::MarkKey;
use super::limits::{Provoked, Window};
use super::mark_support::Marks;
use super::marks::Known;
use super::probe::{self, Nonce, Probe, ProbeReply};
use super::report::Kind;
use super::upstream_state::{Outcome, ProbeRequest, ProbeReturn, Purpose, Softened, UpstreamState};
use super::verdict::{Evidence, Standing, Verdicts, Witness};
use crate::upstream::{Transport, Upstream, UpstreamId, UpstreamSet};
use crate::wire::name;

/// How long a witness's word stands: longer than hops resend.
const SUSPECT: Duration = Duration::from_secs(5);
/// The second silence under one parent within this time is taken seriously.
const INSISTS: Duration = Duration::from_secs(60);
/// A probe that could not be confirmed is repeated after this.
const UNSURE: Duration = Duration::from_secs(5);
/// Witnesses that spoke before the first upstreams were known are heard then, so many: listeners open a moment earlier.
const EARLY: usize = 8;
/// Upstreams (and transports) remembered though they are in use no more, for their verdicts.
const REMEMBERED: usize = 256;
/// Maximum number of health probes a second, to all upstreams together.
const CHECKUPS: usize = 20;

type Whom = (UpstreamId, Transport);

/// A probe under way.
#[derive(Debug, Clone)]
struct ProbeInFlight {
    whom: Whom,
    want: ProbeRequest,
    marks: Marks,
    home: Option<ProbeReturn>,
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
    health: BTreeMap<Whom, Health>,
    checkups: HashMap<Nonce, Whom>,
    checkup_window: Window,
    early: Vec<(Whom, Witness, Box<[u8]>)>,
    overall: Window,
    told: Window,
    published: Arc<Verdicts>,
    actions: Vec<Action>,
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
            health: BTreeMap::new(),
            checkups: HashMap::new(),
            checkup_window: Window::new(CHECKUPS, Duration::from_secs(1)),
            early: Vec::new(),
            overall: Window::new(10, Duration::from_secs(1)),
            told: Window::new(6, Duration::from_secs(60)),
            published: Arc::new(Verdicts::new(settings)),
            actions: Vec::new(),
        }
    }

    /// Takes an event; returns what is to be done.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Witness { upstream, transport, witness, name } => {
                self.witness((upstream, transport), witness, &name, now);
            }
            Event::LoopPlugin => self.loop_plugin(now),
            Event::ProbeHome { nonce, from, over, onwards } => {
                if let Some(asked) = self.asked.get_mut(&nonce) {
                    asked.home = Some(ProbeReturn { from, over, onwards });
                } else if let Some(whom) = self.checkups.get(&nonce) {
                    let track = self.tracks.entry(*whom).or_default();
                    if track.asked.is_none() && !track.covers(name::ROOT) {
                        track.want(ProbeRequest::check(name::ROOT, None));
                    }
                }
            }
            Event::ProbeOver { nonce, heard } => {
                if !self.checkup_over(nonce, heard.is_some(), now) {
                    self.over(nonce, heard, now);
                }
            }
            Event::PerhapsDown { upstream, transport, answered } => {
                self.perhaps_down((upstream, transport), answered, now);
            }
            Event::Alive { upstream, transport } => self.is_alive((upstream, transport)),
            Event::SetChanged(set) => {
                self.set_changed(set);
                for (whom, witness, name) in std::mem::take(&mut self.early) {
                    self.witness(whom, witness, &name, now);
                }
            }
            Event::KeyChanged(key) => self.key = key,
            Event::Tick => {}
        }
        self.hear_late(now);
        self.send_due(now);
        self.send_checkups(now);
        self.publish(now);
        std::mem::take(&mut self.actions)
    }

    /// When to come back with [`Event::Tick`], if nothing happens before.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let asks = self.in_use().filter_map(|(_, track)| match track.is_waiting() {
            true => Some(now),
            false => track.due(),
        });
        let asks = asks.map(|at| self.overall.room_at().map_or(at, |room| at.max(room)));
        let ends = self.tracks.values().flat_map(|track| [track.suspect_until, track.wavers_until]);
        let ends = ends.flatten().filter(|until| *until > now);
        let late = self.in_use().filter_map(|(_, track)| track.late.as_ref().map(|(at, ..)| *at));
        asks.chain(ends).chain(late).chain(self.checkup_due()).min()
    }

    fn in_use(&self) -> impl Iterator<Item = (&Whom, &UpstreamState)> {
        self.tracks.iter().filter(|((number, _), _)| self.set.get(*number).is_some())
    }

    /// On every change: near upstreams are asked over both transports, others once, when they are new.
    fn set_changed(&mut self, set: Arc<UpstreamSet>) {
        for upstream in &set.upstreams {
            let number = upstream.id;
            let known = self.set.get(number).is_some_and(|old| old.server == upstream.server);
            if upstream.is_near() {
                for transport in [Transport::Udp, Transport::Tcp] {
                    self.tracks.entry((number, transport)).or_default().want(ProbeRequest::check(name::ROOT, None));
                }
            } else if !known {
                self.tracks.entry((number, Transport::Udp)).or_default().want(ProbeRequest::check(name::ROOT, None));
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

    fn send_due(&mut self, now: Instant) {
        let set = Arc::clone(&self.set);
        for upstream in &set.upstreams {
            for transport in [Transport::Udp, Transport::Tcp] {
                let whom = (upstream.id, transport);
                let Some(track) = self.tracks.get_mut(&whom) else { continue };
                let due = track.is_waiting() || (track.asked.is_none() && track.due().is_some_and(|at| at <= now));
                if !due {
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

    fn send(&mut self, upstream: &Arc<Upstream>, transport: Transport, want: ProbeRequest, now: Instant) {
        let known = self.known.entry(upstream.id).or_default();
        let marks = match want.purpose {
            // Probes carry all that is borne: the tag shows the way, and that it is borne.
            Purpose::Check => self.settings.marks(known.bears(), true, true),
            Purpose::Confirm | Purpose::Release => Marks::NONE,
            Purpose::Learn => known.lesson_marks(self.settings),
        };
        let nonce = Nonce::new(self.rng.random(), &self.key);
        let sent = Probe { nonce, upstream: upstream.id, suffix: &want.suffix, marks };
        let message = probe::query(&sent, self.rng.random(), &self.key, self.key.bucket(now));
        let whom = (upstream.id, transport);
        let track = self.tracks.entry(whom).or_default();
        track.asked = Some(nonce);
        if upstream.is_near() && track.routine.is_none() {
            track.routine = Some(now + Duration::from_millis(self.rng.random_range(45_000..75_000)));
        }
        self.asked.insert(nonce, ProbeInFlight { whom, want, marks, home: None });
        self.actions.push(Action::SendProbe { nonce, upstream: Arc::clone(upstream), transport, message });
    }

    fn over(&mut self, nonce: Nonce, heard: Option<ProbeReply>, now: Instant) {
        let Some(asked) = self.asked.remove(&nonce) else { return };
        let Some(track) = self.tracks.get_mut(&asked.whom) else { return };
        track.asked = None;
        let own = heard.is_some_and(|heard| heard.own);
        let kept = heard.is_some_and(|heard| heard.spelling_kept);
        let near = self.set.get(asked.whom.0).is_some_and(|upstream| upstream.is_near());
        match (asked.want.purpose, asked.home) {
            (Purpose::Learn, _) => self.learn(asked.whom, own, kept, now),
            (Purpose::Release, home) => {
                let outcome = Outcome { home: home.is_some(), own, heard: heard.is_some() };
                match track.asked_for_release(&asked.want.suffix, outcome, now) {
                    Some(Softened::Ended(verdict)) => self.tell_verdict(Kind::Released, &verdict),
                    Some(Softened::Halved(verdict)) => self.tell_verdict(Kind::Halved, &verdict),
                    None => {}
                }
            }
            (Purpose::Check, _) if own => self.answered(&asked, kept, now),
            (Purpose::Check, Some(home)) => {
                track.wavers_until = None;
                track.want(ProbeRequest { purpose: Purpose::Confirm, first: Some(home), ..asked.want });
            }
            (Purpose::Check, None) => {
                self.begin_lesson(&asked, now);
                self.look_under_parent(&asked, now);
            }
            (Purpose::Confirm, _) if own => {
                // It answers without marks what it did not answer with them, or it is half a loop by chance.
                self.begin_lesson(&asked, now);
                self.answered(&asked, kept, now);
            }
            (Purpose::Confirm, Some(home)) => self.convict(&asked, home, now),
            (Purpose::Confirm, None) if near => track.routine = Some(now + UNSURE),
            (Purpose::Confirm, None) => {}
        }
    }

    /// The upstream's own answer: it is no loop, for the names that were asked for.
    fn answered(&mut self, asked: &ProbeInFlight, kept: bool, now: Instant) {
        let known = self.known.entry(asked.whom.0).or_default();
        let learnt = known.answered(asked.marks, kept, now);
        if known.is_old(now) {
            self.begin_lesson(asked, now);
        }
        if let Some(bears) = learnt {
            self.tell(Kind::Learnt(bears), asked.whom, name::ROOT, None);
        }
        if self.look_under_parent(asked, now) {
            return;
        }
        if let Some(cause) = &asked.want.cause {
            self.provoked.entry(asked.whom.0).or_default().acquitted(cause.witness);
        }
        if let Some(track) = self.tracks.get_mut(&asked.whom) {
            track.suspect_until = None;
            let seen = asked.want.cause.as_ref().is_some_and(|cause| cause.witness != Witness::Silence);
            if seen || asked.want.purpose == Purpose::Confirm {
                track.waver(now);
            }
        }
    }

    /// Where a witness insists though the root's probe did not come home, the loop may hold for some names only.
    fn look_under_parent(&mut self, asked: &ProbeInFlight, now: Instant) -> bool {
        let (Some(cause), true, Some(track)) =
            (&asked.want.cause, asked.want.of_all(), self.tracks.get_mut(&asked.whom))
        else {
            return false;
        };
        if &*cause.parent == name::ROOT || !probe::fits(&cause.parent) {
            return false;
        }
        let before = track.silent.take().filter(|(_, at)| now.saturating_duration_since(*at) < INSISTS);
        let insists = cause.witness != Witness::Silence || before.is_some_and(|(parent, _)| parent == cause.parent);
        if insists {
            track.want(ProbeRequest::check(&cause.parent, Some(cause.clone())));
        } else {
            track.silent = Some((cause.parent.clone(), now));
        }
        insists
    }

    fn begin_lesson(&mut self, asked: &ProbeInFlight, now: Instant) {
        let (number, transport) = asked.whom;
        let fits = asked.want.of_all() && transport == Transport::Udp;
        if fits
            && self.known.entry(number).or_default().begin(now)
            && let Some(track) = self.tracks.get_mut(&asked.whom)
        {
            track.want(ProbeRequest::learn());
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

    fn convict(&mut self, asked: &ProbeInFlight, home: ProbeReturn, now: Instant) {
        let witness = asked.want.cause.as_ref().map(|cause| cause.witness);
        let onwards = asked.want.first.map_or(0, |first| first.onwards).max(home.onwards);
        let evidence = Evidence { witness, from: home.from, over: home.over, onwards };
        let is_last = asked.whom.1 == Transport::Udp && self.is_last(asked.whom.0, &asked.want.suffix);
        let Some(track) = self.tracks.get_mut(&asked.whom) else { return };
        track.suspect_until = None;
        let Some(verdict) = track.convict(asked.whom, &asked.want.suffix, (evidence, is_last), now) else { return };
        let kind = match verdict.standing {
            Standing::LastResort => Kind::HalfLooping,
            _ => Kind::Looping,
        };
        self.tell_verdict(kind, &verdict);
        self.provoked.entry(asked.whom.0).or_default().convicted();
        // What bends one transport mostly bends the other; the probe will tell.
        let other = match asked.whom.1 {
            Transport::Udp => Transport::Tcp,
            Transport::Tcp => Transport::Udp,
        };
        let track = self.tracks.entry((asked.whom.0, other)).or_default();
        if !track.covers(&asked.want.suffix) {
            track.want(ProbeRequest::check(&asked.want.suffix, asked.want.cause.clone()));
        }
    }

    /// Whether all others are convicted for these names.
    fn is_last(&self, number: UpstreamId, suffix: &[u8]) -> bool {
        let convicted = |other| self.tracks.get(&(other, Transport::Udp)).is_some_and(|track| track.covers(suffix));
        self.set.upstreams.iter().all(|other| other.id == number || convicted(other.id))
    }
}

#[cfg(test)]
mod tests;
