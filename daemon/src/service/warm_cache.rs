//! Brings the cache from one process to the next: fills it at the start, and leaves it at the end and once a minute.
//!
//! All of it runs on threads of its own, so that workers wait for nothing but the lock of a shard. How the cache looks
//! in memory is for [`crate::handover::warm`], how systemd keeps that for [`crate::handover::store`].

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::forwarder::Shared;
use crate::handover::{store, warm};
use crate::logging::LogEvent;

/// Time between two times that the cache is left: what a process that is killed has learnt since is lost.
const INTERVAL: Duration = Duration::from_secs(60);
/// Maximum age of what is taken over, as the cache counts time. More than any TTL and time to serve stale.
const AGES: Duration = Duration::from_secs(30 * 86_400);

/// Returns from when on the cache counts seconds: long ago, so that what an earlier process learnt has its age.
pub(super) fn beginning(now: Instant) -> Instant {
    now.checked_sub(AGES).unwrap_or(now)
}

/// Fills the cache with what the process before left, while queries are answered already.
pub(super) fn take_over(left: File, shared: Arc<Shared>) {
    tokio::task::spawn_blocking(move || {
        let (set, now) = (shared.set.load_full(), clock::now());
        match warm::read(&left, &shared.cache, &set, (shared.seconds(now), clock::since_boot())) {
            Ok(entries) => log::info!(event = LogEvent::CacheTakenOver, entries; "took over {entries} cached answers"),
            Err(why) => {
                log::warn!(event = LogEvent::HandoverDropped, why:%; "the cache of the process before is put aside: {why}");
            }
        }
        // Another list may have come meanwhile.
        let current = shared.set.load_full();
        if !Arc::ptr_eq(&set, &current) {
            let worth = |name: &[u8], upstream| current.worth(name, upstream, &set);
            shared.cache.change_upstreams(worth, shared.seconds(clock::now()));
        }
    });
}

/// Leaves the cache as it is now to the next process. Takes some 30 ms for 100,000 answers.
pub(super) fn leave(shared: &Shared) {
    let written = warm::write(&shared.cache, &shared.set.load(), shared.seconds(clock::now()), clock::since_boot());
    match written {
        Ok(memory) => store::keep_cache(&memory),
        Err(error) => log::warn!(event = LogEvent::HandoverDropped, error:%; "the cache cannot be kept: {error}"),
    }
}

/// Leaves the cache as it is now, where there is a next process to leave it to.
pub(super) fn leave_now(shared: &Shared) {
    if store::is_there() {
        leave(shared);
    }
}

/// Leaves the cache once a minute, if something was learnt since, for the case that the process is killed.
pub(super) fn leave_regularly(shared: Arc<Shared>) {
    if !store::is_there() {
        return;
    }
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if shared.cache.take_news() {
                let shared = Arc::clone(&shared);
                let _ = tokio::task::spawn_blocking(move || leave(&shared)).await;
            }
        }
    });
}
