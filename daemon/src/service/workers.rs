//! The worker threads: how many, with what, and their end.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use tokio::sync::mpsc;

use crate::clock;
use crate::config::Settings;
use crate::exchange::stream::Streams;
use crate::exchange::{Engine, Guidance};
use crate::forwarder::{Forwarder, Shared};
use crate::server::clients::Clients;
use crate::server::mailbox::{Inbox, Mail, Mailbox, Mailboxes, mailbox};
use crate::server::notice::{Notices, WorkerReport};
use crate::server::worker::{Parts, Worker};

/// More would only share what two threads do anyway on nearly every node; who needs more sets `workers`.
const AUTOMATIC_MOST: usize = 4;
/// Sockets open to each upstream, over all workers; each worker has at least a few.
const SOCKETS_PER_UPSTREAM: usize = 64;
const SOCKETS_PER_UPSTREAM_LEAST: usize = 4;

/// Whom workers speak to.
pub(super) struct Ends {
    /// Each other.
    pub(super) mailboxes: Mailboxes,
    /// Clients on connections.
    pub(super) clients: Arc<Clients>,
    /// The service.
    pub(super) notices: Notices,
    /// Upstreams, over streams.
    pub(super) streams: Arc<Streams>,
}

/// The threads that answer over UDP and ask upstreams.
#[derive(Debug)]
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
}

/// Makes the mailboxes of the workers: of the number that the settings want, or that fits this machine.
///
/// # Errors
/// Where the system has no file descriptor to give.
pub(super) fn mailboxes(settings: &Settings) -> std::io::Result<Vec<(Mailbox, Inbox)>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let count = settings.workers.map_or_else(|| cores.min(AUTOMATIC_MOST), usize::from);
    (0..count).map(|_| mailbox()).collect()
}

impl Workers {
    /// Starts one for each of `inboxes`, which are those of the mailboxes in `ends`; they listen nowhere yet.
    ///
    /// # Errors
    /// Where the system gives no thread, no file descriptor or no randomness.
    pub(super) fn start(
        settings: &Settings,
        shared: &Arc<Shared>,
        inboxes: Vec<Inbox>,
        ends: &Ends,
    ) -> std::io::Result<Self> {
        let sockets_each = (SOCKETS_PER_UPSTREAM / inboxes.len().max(1)).max(SOCKETS_PER_UPSTREAM_LEAST);
        let mut threads = Vec::new();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let parts = Parts {
                inbox,
                workers: ends.mailboxes.clone(),
                index,
                clients: Arc::clone(&ends.clients),
                streams: Arc::clone(&ends.streams),
                notices: ends.notices.clone(),
                runtime: tokio::runtime::Handle::current(),
                reserved_ports: settings.upstreams.reserved_ports.clone(),
            };
            let rng = StdRng::try_from_rng(&mut SysRng).map_err(std::io::Error::other)?;
            let guard = &shared.guard;
            let guidance = Guidance { verdicts: Arc::clone(&guard.verdicts()), key: Arc::clone(&guard.key()) };
            let engine = Engine::new(shared.set.load_full(), guidance, sockets_each, shared.payload, rng);
            let worker = Worker::new(parts, Forwarder::new(Arc::clone(shared), engine, clock::now()))?;
            threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(|| worker.run())?);
        }
        Ok(Self { threads })
    }

    /// Asks all workers what they know. Returns what those say that answer within `limit`, each with its index. That is
    /// all of them, save at their end: it takes microseconds, unless a thread gets no processor.
    pub(super) async fn report(mailboxes: &Mailboxes, limit: Duration) -> Vec<(usize, WorkerReport)> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        mailboxes.tell_all(|| Mail::Report(sender.clone()));
        drop(sender);
        let mut reports = Vec::new();
        let all = async {
            while let Some(report) = receiver.recv().await {
                reports.push(report);
            }
        };
        let _ = tokio::time::timeout(limit, all).await; // workers that are late are left out
        reports
    }

    /// Waits until all have ended; they were told to.
    pub(super) fn join(self) {
        for thread in self.threads {
            let _ = thread.join(); // a panic aborts the process, so there is nothing to learn here
        }
    }
}
