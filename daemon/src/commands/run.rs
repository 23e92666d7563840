//! `onward run`: starts the log and the runtime, and serves until told to stop.

use tokio::runtime::Builder;

use super::{Failure, RunArgs};
use crate::{config, logging, service};

/// Threads for what is not the hot path: TCP, streams to upstreams, probes, the service's own loop.
const THREADS: usize = 2;

/// Runs the service.
///
/// # Errors
/// Where the configuration has faults, or the service cannot begin or go on.
pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let overrides = args.overrides();
    let loaded = config::load(&overrides)?;
    let log = logging::start(loaded.settings.log.level)
        .map_err(|error| Failure::System(format!("cannot start the log: {error}")))?;
    loaded.log_remarks();
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::System(format!("cannot start the runtime: {error}")))?;
    let ended = runtime.block_on(service::serve(loaded.settings, overrides));
    runtime.shutdown_background();
    drop(log); // what is still queued is written before an error is told
    ended
}
