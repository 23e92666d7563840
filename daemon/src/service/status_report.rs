//! What was gathered, in the words of `onward status`. Pure.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::desk::{Gathered, Known};
use super::state::{self, Check, Role};
use crate::control::status::{
    Blocked, Cache, Configuration, File, List, Listener, Overall, Queries, Status, Upstream, Verdict,
};
use crate::exchange::{Histogram, UpstreamCounters};
use crate::guard::remedy::remedy;
use crate::guard::{Asked, Standing, Witness};
use crate::upstream::{self, Transport, UpstreamId};
use crate::wire::query::shown;
use crate::wire::{name, rtype};

/// Median of its answers from which on an upstream is called slow: people notice.
const SLOW: Duration = Duration::from_millis(200);
/// Minimum number of answers, of late, that say so: a few that took long may have been about far zones.
const SLOW_ANSWERS: u64 = 20;

/// How an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Up,
    Slow,
    Down,
    /// A witness has spoken against it, or it is held to be half a loop.
    Suspect,
    Looping,
}

impl Condition {
    pub(super) const ALL: [Self; 5] = [Self::Up, Self::Slow, Self::Down, Self::Suspect, Self::Looping];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Slow => "slow",
            Self::Down => "down",
            Self::Suspect => "suspect",
            Self::Looping => "looping",
        }
    }

    fn answers(self) -> bool {
        !matches!(self, Self::Down | Self::Looping)
    }
}

impl Gathered {
    /// What all workers know of an upstream: the numbers since the start, those of late, and when it answered last.
    pub(super) fn counted(&self, id: UpstreamId) -> (UpstreamCounters, UpstreamCounters, Option<Instant>) {
        let (mut total, mut of_late) = (UpstreamCounters::default(), UpstreamCounters::default());
        let mut answered = None;
        for report in self.workers.iter().flat_map(|worker| &worker.engine.upstreams).filter(|it| it.id == id) {
            total.add(&report.counters);
            of_late.add(&report.of_late);
            answered = answered.max(report.last_answer);
        }
        (total, of_late, answered)
    }

    /// How an upstream is, as far as all names go; and since when, where that is known.
    pub(super) fn condition(&self, id: UpstreamId) -> (Condition, Option<Instant>) {
        let asked = Asked { name: name::ROOT, qtype: rtype::A };
        let upstream = self.set.get(id);
        let over = upstream.map_or(&Transport::ALL[..], |upstream| upstream.endpoint.transports());
        let first = upstream.map_or(Transport::Udp, |upstream| upstream.endpoint.first_transport());
        let worst = over.iter().map(|over| self.verdicts.standing(id, *over, asked)).max();
        let since = || {
            let verdicts = over.iter().filter_map(|over| self.verdicts.find(id, *over, asked));
            verdicts.map(|verdict| verdict.since).min()
        };
        match worst {
            Some(Standing::Quarantined) => (Condition::Looping, since()),
            _ if self.known.outages.is_down(id) => (Condition::Down, self.verdicts.down_since(id, first)),
            Some(Standing::Suspect | Standing::LastResort) => (Condition::Suspect, since()),
            _ if is_slow(&self.counted(id).1.latency) => (Condition::Slow, None),
            _ => (Condition::Up, None),
        }
    }

    /// Whether a query to any listener that pods may know is answered.
    fn is_reachable(&self) -> bool {
        self.known.state.listeners.iter().any(|listener| listener.check == Check::Answers)
    }

    /// Whether the file for kubelet names addresses, and each of them answers.
    pub(super) fn file_is_good(&self) -> bool {
        let answers = |ip: &IpAddr| {
            let mut listeners = self.known.state.listeners.iter();
            listeners.any(|listener| listener.address.ip() == *ip && listener.check == Check::Answers)
        };
        let names = self.known.names();
        !names.is_empty() && names.iter().all(answers)
    }
}

impl Known {
    /// The addresses that the file for kubelet names.
    fn names(&self) -> Vec<IpAddr> {
        let text = self.state.file.text.as_deref().unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok()).collect()
    }
}

fn is_slow(latency: &Histogram) -> bool {
    latency.count() >= SLOW_ANSWERS && latency.percentile(50).is_some_and(|median| median >= SLOW)
}

/// Tells how things are.
pub(super) fn report(gathered: &Gathered) -> Status {
    let Gathered { known, counters, cache, .. } = gathered;
    let state = &known.state;
    let troubles = troubles(gathered);
    let conditions: Vec<_> = gathered.set.root().iter().map(|it| gathered.condition(it.id).0).collect();
    let overall = match () {
        () if !gathered.is_reachable() || !conditions.iter().any(|it| it.answers()) => Overall::NoDns,
        () if !troubles.is_empty() => Overall::Degraded,
        () => Overall::Ok,
    };
    let blocked = state.blocked.iter();
    let blocked = blocked.map(|it| Blocked { address: it.address.to_string(), why: it.failed.why.clone() });
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        state: overall,
        summary: state.status.clone(),
        troubles,
        uptime_seconds: gathered.ago(known.started),
        listeners: state.listeners.iter().map(listener).collect(),
        blocked: blocked.collect(),
        file: File {
            path: known.file.clone(),
            names: known.names().iter().map(IpAddr::to_string).collect(),
            failed: state.file.failed.as_ref().map(|failed| failed.why.clone()),
        },
        upstreams: gathered.set.upstreams.iter().map(|it| gathered.upstream(it)).collect(),
        refused: known.list.refused.clone(),
        verdicts: gathered.verdicts(),
        cache: Cache {
            entries: count(cache.entries),
            bytes: count(cache.bytes),
            limit_bytes: count(cache.limit_bytes),
            limit_entries: count(cache.limit_entries),
        },
        queries: Queries {
            hits: counters.hits.total(),
            stale: counters.stale.total() + counters.waited_stale,
            misses: counters.misses.total(),
            failures: counters.all_failures(),
            local: counters.all_local(),
            waiting: count(gathered.waiting),
        },
        list: List {
            source: known.list.source.clone(),
            kept: known.list.kept,
            age_seconds: known.list.since.map(|since| gathered.ago(since)),
            notes: known.list.notes.clone(),
        },
        configuration: Configuration {
            in_force: state.configuration.is_none(),
            age_seconds: gathered.ago(known.configured),
        },
    }
}

fn listener(listener: &state::Listener) -> Listener {
    let check = match listener.check {
        Check::Answers => "answers",
        Check::Silent { .. } => "silent",
        Check::Unknown => "unknown",
    };
    let role = if listener.role == Role::Chosen { "chosen" } else { "former" };
    Listener { address: listener.address.to_string(), role: role.to_owned(), check: check.to_owned() }
}

/// What is wrong: what the service tells systemd, and each upstream that is of no use now.
fn troubles(gathered: &Gathered) -> Vec<String> {
    let mut troubles = gathered.known.troubles.clone();
    if gathered.set.root().is_empty() {
        troubles.push("no upstream server is known".to_owned());
    }
    for upstream in &gathered.set.upstreams {
        let server = &upstream.endpoint;
        match gathered.condition(upstream.id).0 {
            Condition::Looping => troubles.push(format!("{server} sends our queries back to us: it is not asked")),
            Condition::Down => troubles.push(format!("{server} does not answer")),
            Condition::Slow => troubles.push(format!("{server} is slow")),
            Condition::Up | Condition::Suspect => {}
        }
    }
    troubles
}

impl Gathered {
    /// Seconds since then.
    fn ago(&self, at: Instant) -> u64 {
        self.now.saturating_duration_since(at).as_secs()
    }

    fn upstream(&self, upstream: &upstream::Upstream) -> Upstream {
        let (_, of_late, answered) = self.counted(upstream.id);
        let (condition, since) = self.condition(upstream.id);
        let verdict = self.verdicts.all().iter().find(|verdict| verdict.upstream == upstream.id);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Upstream {
            server: upstream.endpoint.to_string(),
            source: upstream.source.to_string(),
            names: self.set.names(upstream.id),
            state: condition.word().to_owned(),
            since_seconds: since.map(|since| self.ago(since)),
            through: verdict.map(|verdict| verdict.evidence.from.to_string()),
            answered_seconds: answered.map(|at| self.ago(at)),
            median_microseconds: of_late.latency.percentile(50).map(micros),
            p99_microseconds: of_late.latency.percentile(99).map(micros),
            asked: of_late.asked,
            failures: of_late.failed + of_late.timed_out,
        }
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let in_use = self.verdicts.all().iter().filter_map(|verdict| Some((verdict, self.set.get(verdict.upstream)?)));
        let told = in_use.map(|(verdict, upstream)| Verdict {
            server: upstream.endpoint.to_string(),
            transport: verdict.transport.word().to_owned(),
            names: if *verdict.suffix == *name::ROOT { ".".to_owned() } else { shown(&verdict.suffix) },
            record_type: verdict.qtype,
            kind: if verdict.standing == Standing::Quarantined { "loop" } else { "half_loop" }.to_owned(),
            since_seconds: self.ago(verdict.since),
            through: verdict.evidence.from.to_string(),
            onwards: count(verdict.evidence.onwards),
            witness: verdict.evidence.witness.as_ref().map(Witness::to_string),
            remedy: remedy(upstream),
        });
        told.collect()
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
