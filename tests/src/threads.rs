//! Threads that work until whoever started them is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

/// Threads, which are told to stop and waited for when this is dropped.
#[derive(Debug, Default)]
pub struct Threads {
    stop: Stop,
    running: Vec<JoinHandle<()>>,
}

/// Whether it is time to stop; to be looked at often.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Threads {
    /// Starts one more.
    pub fn start(&mut self, work: impl FnOnce(&Stop) + Send + 'static) {
        let stop = self.stop.clone();
        self.running.push(spawn(move || work(&stop)));
    }
}

impl Stop {
    /// True from the moment on when all are to end.
    #[must_use]
    pub fn told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
        for thread in self.running.drain(..) {
            let _ = thread.join();
        }
    }
}
