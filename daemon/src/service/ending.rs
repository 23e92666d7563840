//! How the service ends: it leaves all to the next process, or finishes what is in flight.

use super::signals::Signals;
use super::{Service, notify, warm_cache};
use crate::clock;
use crate::handover::store;
use crate::logging::LogEvent;
use crate::server::mailbox::Mail;

impl Service {
    /// Ends: leaves what is in flight to the next process where descriptors outlive this one, else finishes it.
    pub(super) async fn end(self, signals: Signals) {
        notify::stopping();
        if store::is_there() {
            Box::pin(self.hand_over()).await;
        } else {
            Box::pin(self.finish(signals)).await;
        }
    }

    /// Stops reading, and leaves sockets, connections and queries in flight to the next process.
    async fn hand_over(mut self) {
        // The kernel needs some 15 ms to let go of what watches files: here queries are answered meanwhile, later they
        // would wait for the end of this process.
        let watches = (self.upstreams, self.names, self.file_watch);
        let _ = tokio::task::spawn_blocking(move || drop(watches)).await;
        let connections = self.listening.leave_connections().await;
        let (mailboxes, workers) = (self.mailboxes, self.workers);
        mailboxes.tell_all(|| Mail::Stop);
        let _ = tokio::task::spawn_blocking(|| workers.join()).await;
        let (unfinished, sockets) = self.listening.unfinished(&self.shared.waiters, connections);
        let (queries, connections) = unfinished.len();
        log::info!(
            event = LogEvent::Ending, queries, connections;
            "ending: {queries} queries in flight and {connections} connections are left to the next process"
        );
        let shared = self.shared;
        let _ = tokio::task::spawn_blocking(move || {
            warm_cache::leave(&shared);
            store::leave(&unfinished, &sockets);
            store::wait_until_taken();
            // Queries wait for the next process already: what the kernel takes back at once is not taken apart first.
            std::mem::forget(shared);
        })
        .await;
    }

    /// Finishes what is in flight; a second signal ends at once.
    async fn finish(self, mut signals: Signals) {
        log::info!(event = LogEvent::Ending; "ending: finishing {} questions in flight", self.shared.waiters.len());
        let (listening, workers) = (self.listening, self.workers);
        let drained = async {
            listening.drain(clock::now()).await;
            let _ = tokio::task::spawn_blocking(|| workers.join()).await;
        };
        tokio::select! {
            () = drained => {}
            () = signals.end() => log::warn!(event = LogEvent::EndedAtOnce; "ended at once by a second signal"),
        }
    }
}
