//! `onward run`: starts the log and the runtime, and serves until told to stop.

use std::time::Duration;

use tokio::runtime::Builder;

use super::{Failure, RunArgs};
use crate::config::{Loaded, Overrides};
use crate::handover::store::Inherited;
use crate::logging::Level;
use crate::{config, logging, service};

/// Threads for what is not the hot path: TCP, streams to upstreams, probes, the service's own loop.
const THREADS: usize = 2;
/// Time for which a process that failed stays, for journald: it asks /proc which unit a line belongs to, and without an
/// answer `journalctl -u` does not show the line that has the cause.
const ATTRIBUTION: Duration = Duration::from_millis(100);

/// Runs the service. What ends it is told in the log, so that the journal has it at the priority of an error, and
/// nowhere else.
///
/// # Errors
/// Where the configuration has faults, or the service cannot begin or go on.
pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let inherited = Inherited::receive(); // before any descriptor is opened and any thread started
    let overrides = args.overrides();
    let loaded = config::load(&overrides);
    let level = loaded.as_ref().map_or(Level::Info, |loaded| loaded.settings.log.level);
    let log = logging::start(level).map_err(|error| Failure::System(format!("cannot start the log: {error}")))?;
    let ended = loaded.map_err(Failure::from).and_then(|loaded| serve(loaded, overrides, inherited));
    let ended = ended.map_err(Failure::logged);
    drop(log); // what is still queued is written before the process ends
    if ended.is_err() && logging::goes_to_journal() {
        std::thread::park_timeout(ATTRIBUTION);
    }
    ended
}

fn serve(loaded: Loaded, overrides: Overrides, inherited: Inherited) -> Result<(), Failure> {
    loaded.log_remarks();
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::System(format!("cannot start the runtime: {error}")))?;
    let ended = runtime.block_on(service::serve(loaded.settings, overrides, inherited));
    runtime.shutdown_background();
    ended
}
