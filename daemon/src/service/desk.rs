//! Puts together what a person or a scraper asks for: what the service knows, what each worker knows, what the guard
//! and the cache say. Beside the service's own loop, which publishes what it knows, so that neither waits for the
//! other; a worker writes its report between two turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::outages::Outages;
use super::state::State;
use super::watching::View;
use super::workers::Workers;
use super::{explain, status_report, warm_cache};
use crate::cache::Usage;
use crate::clock;
use crate::control::explain::{Explanation, Question};
use crate::control::monitor::{Filter, Watching};
use crate::control::status::{self, Status};
use crate::control::{self, Names};
use crate::exchange::LookupRequest;
use crate::forwarder::{Counters, Event, Shared};
use crate::guard::{JudgeCounters, Passed, Verdicts};
use crate::server::mailbox::Mailboxes;
use crate::server::notice::WorkerReport;
use crate::server::queries::Queries;
use crate::server::tcp::TcpServer;
use crate::upstream::UpstreamSet;
use crate::wire::QuestionKey;

/// Time within which workers must say what they know.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time for which what was put together is given again: however many ask, workers are disturbed ten times a second.
const FRESH: Duration = Duration::from_millis(100);

/// What the service's loop alone knows.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) state: State,
    /// The path of the file for kubelet.
    pub(super) file: String,
    pub(super) outages: Outages,
    /// What is wrong.
    pub(super) troubles: Vec<String>,
    pub(super) list: List,
    /// When the configuration that holds was read.
    pub(super) configured: Instant,
    /// When the service began, and the time of day then: it does not change when the clock is set.
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
}

/// The list of servers, for people.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    /// What gave it.
    pub(super) source: Option<String>,
    /// Whether that names none now.
    pub(super) kept: bool,
    /// When the list became this one.
    pub(super) since: Option<Instant>,
    /// When a source named it last.
    pub(super) named: Option<SystemTime>,
    pub(super) refused: Vec<status::Refused>,
    pub(super) notes: Vec<String>,
}

/// All of it, at one moment.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) now: Instant,
    /// The same as time of day.
    pub(super) wall: SystemTime,
    pub(super) known: Arc<Known>,
    pub(super) set: Arc<UpstreamSet>,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) judge: JudgeCounters,
    pub(super) workers: Vec<WorkerReport>,
    /// What all of them, and TCP, have counted.
    pub(super) counters: Counters,
    pub(super) cache: Usage,
    /// Clients that wait.
    pub(super) waiting: usize,
    /// Connections of clients over TCP.
    pub(super) connections: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Desk {
    shared: Arc<Shared>,
    mailboxes: Mailboxes,
    queries: Arc<Queries>,
    tcp: Arc<TcpServer<Queries>>,
    /// What the service published last; nothing before its first turn.
    known: ArcSwapOption<Known>,
    last: Mutex<Last>,
}

/// What was said last.
#[derive(Debug, Default)]
struct Last {
    /// By each worker: what one counted does not vanish while it is late.
    reports: BTreeMap<usize, WorkerReport>,
    gathered: Option<Arc<Gathered>>,
}

impl Desk {
    /// Makes one that knows nothing of the service yet.
    pub(super) fn new(
        shared: Arc<Shared>,
        mailboxes: Mailboxes,
        queries: Arc<Queries>,
        tcp: Arc<TcpServer<Queries>>,
    ) -> Self {
        Self { shared, mailboxes, queries, tcp, known: ArcSwapOption::empty(), last: Mutex::default() }
    }

    /// Takes what the service knows.
    pub(super) fn publish(&self, known: Known) {
        self.known.store(Some(Arc::new(known)));
    }

    /// Returns what is known now, or was a moment ago; none where the service has just begun.
    pub(super) async fn gather(&self) -> Option<Arc<Gathered>> {
        let mut last = self.last.lock().await;
        let is_fresh = |gathered: &&Arc<Gathered>| clock::now().saturating_duration_since(gathered.now) < FRESH;
        if let Some(gathered) = last.gathered.as_ref().filter(is_fresh) {
            return Some(Arc::clone(gathered));
        }
        let known = self.known.load_full()?;
        last.reports.extend(Workers::report(&self.mailboxes, PATIENCE).await);
        let workers: Vec<WorkerReport> = last.reports.values().cloned().collect();
        let mut counters = self.queries.counters();
        workers.iter().for_each(|worker| counters.add(&worker.counters));
        let guard = &self.shared.guard;
        let gathered = Arc::new(Gathered {
            now: clock::now(),
            wall: clock::wall(),
            known,
            set: self.shared.set.load_full(),
            verdicts: Arc::clone(&guard.verdicts()),
            judge: guard.counters(),
            workers,
            counters,
            cache: self.shared.cache.usage(),
            waiting: self.shared.waiters.waiting(),
            connections: self.tcp.connections(),
        });
        last.gathered = Some(Arc::clone(&gathered));
        Some(gathered)
    }
}

impl control::Desk for Desk {
    async fn status(&self) -> Option<Arc<Status>> {
        self.gather().await.map(|gathered| Arc::new(status_report::report(&gathered)))
    }

    async fn explain(&self, question: Question) -> Option<Explanation> {
        let gathered = self.gather().await?;
        Some(explain::explain(&question, &self.shared, &gathered))
    }

    fn ask(&self, question: Question) -> bool {
        let Question { name, record_type, .. } = question;
        let key = QuestionKey::new(&[&[0][..], &name, &record_type.to_be_bytes(), &[0, 1]].concat());
        let begins = self.shared.waiters.start(&key);
        if begins {
            let request =
                LookupRequest { key, packet: [].into(), from: None, through: None, passed: Passed::default() };
            self.mailboxes.tell(0, Event::LookUp(request).into());
        }
        begins
    }

    fn watch(&self, filter: Filter) -> impl Watching + 'static {
        View::new(&self.shared, filter)
    }

    async fn flush(&self, names: Names) -> usize {
        let shared = Arc::clone(&self.shared);
        let forgotten = tokio::task::spawn_blocking(move || {
            let forgotten = shared.cache.flush(|name| names.have(name));
            warm_cache::leave_now(&shared); // or a process that is killed would bring it back
            forgotten
        });
        forgotten.await.unwrap_or(0)
    }
}
