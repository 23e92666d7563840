//! `onward run`: starts the log and the runtime, and serves until told to stop.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Builder;

use super::{Failure, RunArgs};
use crate::config::{Faults, Loaded, Overrides, last_good};
use crate::handover::store::Inherited;
use crate::logging::{Level, LogEvent};
use crate::service::InForce;
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
    let (loaded, faults) = load(&overrides);
    let level = loaded.as_ref().map_or(Level::Info, |loaded| loaded.settings.log.level);
    let log = logging::start(level).map_err(|error| Failure::System(format!("cannot start the log: {error}")))?;
    let ended = loaded.map_err(Failure::from).and_then(|loaded| {
        let in_force = faults.map_or(InForce::Wanted, |faults| InForce::LastGood(tell_faults(&faults, &loaded)));
        serve(loaded, overrides, (in_force, args.in_place_of.as_deref()), inherited)
    });
    let ended = ended.map_err(Failure::logged);
    drop(log); // what is still queued is written before the process ends
    if ended.is_err() && logging::goes_to_journal() {
        std::thread::park_timeout(ATTRIBUTION);
    }
    ended
}

/// Loads the configuration. Where it has faults, and the service has one that worked before, that one is loaded, and
/// the faults come with it.
fn load(overrides: &Overrides) -> (Result<Loaded, Faults>, Option<Faults>) {
    match config::load(overrides) {
        Ok(loaded) => (Ok(loaded), None),
        Err(faults) => match last_good::path().map(|path| last_good::load(&path, overrides)) {
            Some(Ok(good)) => (Ok(good), Some(faults)),
            Some(Err(_)) | None => (Err(faults), None),
        },
    }
}

/// Tells the faults of a configuration that is not in force. Returns what the status is to say.
fn tell_faults(faults: &Faults, good: &Loaded) -> String {
    for fault in faults.as_slice() {
        log::error!(event = LogEvent::ConfigurationFault; "{fault}");
    }
    let files: Vec<String> = good.files.iter().map(|file| file.display().to_string()).collect();
    let files = files.join(", ");
    log::error!(
        event = LogEvent::LastGoodConfiguration, files;
        "the configuration has faults; running on the one that worked last, {files}: mend the faults, then run: systemctl \
         reload onward"
    );
    "the configuration has faults, running on the one that worked last (onward check)".to_owned()
}

fn serve(
    loaded: Loaded,
    overrides: Overrides,
    (in_force, in_place_of): (InForce, Option<&Path>),
    inherited: Inherited,
) -> Result<(), Failure> {
    loaded.log_remarks();
    if let Some(program) = in_place_of {
        let (program, version) = (program.display(), env!("CARGO_PKG_VERSION"));
        log::error!(
            event = LogEvent::StandsIn, program:%;
            "{program} does not come up; the program that worked last runs in its place, version {version}: install {program} \
             again, or the version before"
        );
    }
    let in_place_of = in_place_of.map(Path::to_owned);
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::System(format!("cannot start the runtime: {error}")))?;
    let ended = runtime.block_on(service::serve(loaded, overrides, (in_force, in_place_of), inherited));
    runtime.shutdown_background();
    ended
}
