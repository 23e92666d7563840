//! Reads the configuration again while the service runs.

use std::sync::Arc;

use super::state::Phase;
use super::{Service, notify, watch_file};
use crate::clock;
use crate::config::{self, Settings};
use crate::logging::{self, LogEvent};

/// What is wrong after a reload that found faults.
const RUNS_ON: &str = "the configuration has faults, running on with the one before (onward check)";

impl Service {
    /// Reads the configuration again. One with faults changes nothing but what the service says of itself.
    pub(super) fn reload(&mut self) {
        // systemd is not told before it has heard that the service is ready: it would take the end of this for that.
        let is_ready = self.state.phase == Phase::Ready;
        if is_ready {
            notify::reloading();
        }
        match config::load(&self.overrides) {
            Ok(loaded) => {
                loaded.log_remarks();
                self.state.configuration = None;
                self.proving.begin(loaded.effective);
                self.adopt_settings(loaded.settings);
            }
            Err(faults) => {
                for fault in faults.as_slice() {
                    log::error!(event = LogEvent::ConfigurationFault; "{fault}");
                }
                log::error!(event = LogEvent::ReloadFailed; "the configuration has faults; running on with the one before");
                self.state.configuration = Some(RUNS_ON.to_owned());
            }
        }
        if is_ready {
            // The next plan makes it known what the service is ready for.
            (self.state.phase, self.state.status) = (Phase::Reloading, String::new());
        }
    }

    fn adopt_settings(&mut self, settings: Settings) {
        logging::set_level(settings.log.level);
        let fixed = |settings: &Settings| {
            let Settings { cache, limits, guard, workers, state_dir, .. } = settings.clone();
            (cache, limits, guard, workers, state_dir)
        };
        if fixed(&settings) != fixed(&self.settings) {
            log::warn!(
                event = LogEvent::RestartNeeded;
                "changes of [cache], [limits], [guard], workers and state_dir take effect at the next restart"
            );
        }
        let watch = self.upstreams.reload(&settings).and_then(|()| self.names.reload(&settings.names));
        match watch.and_then(|()| watch_file(&settings)) {
            Ok(watch) => {
                self.names.read();
                let before = std::mem::replace(&mut self.settings, settings);
                (self.file_watch, self.configured) = (watch, clock::now());
                if before.tls != self.settings.tls {
                    self.streams.tls().configure(self.settings.tls.ca_file.as_deref());
                }
                if before.control != self.settings.control {
                    self.open_control();
                }
                if before.metrics.listen != self.settings.metrics.listen {
                    self.open_metrics();
                }
            }
            Err(failure) => {
                log::error!(event = LogEvent::ReloadFailed; "{failure}; running on with the configuration before");
            }
        }
        self.state.tell_anew();
        let before = self.shared.set.load_full();
        self.look_for_upstreams();
        let set = self.shared.set.load_full();
        if Arc::ptr_eq(&before, &set) {
            self.shared.guard.tell_what_holds(&set, clock::now()); // whoever reloads wants to see how things are
        }
        self.read_tables();
        log::info!(event = LogEvent::Reloaded; "configuration and sources read anew");
    }
}
