//! Waiting for something to become true, with an end.

use std::io::ErrorKind;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Asks `probe` until it gives something, for `limit` at most.
pub fn until<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        sleep(STEP);
    }
}

/// Waits until what `measure` gives has not changed for as long as `still`, for `limit` at most, and returns it: how
/// many datagrams a question was worth, once no more come.
pub fn settled<T: PartialEq>(still: Duration, limit: Duration, mut measure: impl FnMut() -> T) -> T {
    let end = Instant::now() + limit;
    let (mut last, mut since) = (measure(), Instant::now());
    while since.elapsed() < still && Instant::now() < end {
        sleep(STEP);
        let now = measure();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// The better of two tries, for claims of what is possible within a time: a busy machine may be late once. Each try
/// must start its own processes, so that the second finds nothing that the first one learnt.
///
/// # Panics
/// If both fail, with what they say.
pub fn better_of_two(attempt: impl Fn() -> Result<(), String>) {
    let Err(first) = attempt() else { return };
    println!("first try: {first}");
    if let Err(second) = attempt() {
        panic!("both tries failed:\n{first}\nand\n{second}");
    }
}

/// Calls `receive` until no signal interrupts it: the end of a child process can, where the socket has a timeout
/// (signal(7), "Interruption of system calls").
///
/// # Errors
/// What `receive` says else.
pub fn uninterrupted<T>(mut receive: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match receive() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Seconds, as most limits of tests are told.
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Milliseconds.
#[must_use]
pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
