//! When systemd is told that the service is ready, and what it is told of how things are.

use log::Level;

use super::{Planner, READY_AT_LAST, UpstreamState};
use crate::logging::LogEvent;
use crate::service::change::Change;
use crate::service::state::{Check, Listener, Phase, Role, State};
use crate::upstream::server::DNS_PORT;

impl Planner<'_> {
    /// Ready is the service once a listener answers and the file names it. A listener on another port is enough: a
    /// resolv.conf cannot name it. After 20 s it is ready in any case.
    pub(super) fn readiness(&mut self) {
        let status = self.status();
        // What systemd shows is told when all else is done.
        let is_done = self.plan.changes.is_empty();
        match self.state.phase {
            Phase::Ready if is_done && status != self.state.status => return self.change(Change::Status(status)),
            Phase::Reloading if is_done => return self.change(Change::Ready(status)),
            Phase::Ready | Phase::Reloading => return,
            Phase::Starting => {}
        }
        let answers = |listener: &&Listener| listener.check == Check::Answers;
        let cannot_be_named = |listener: &Listener| listener.address.port() != DNS_PORT;
        let mut answering = self.state.listeners.iter().filter(answers);
        if self.state.file.text.is_some() || answering.clone().count() > 0 && answering.all(cannot_be_named) {
            self.change(Change::Ready(status));
        } else if self.is_due(Some(READY_AT_LAST)) {
            let why = troubles(self.state, self.observed.upstreams).join("; ");
            let text = format!("ready without an address that pods can be given: {why}");
            self.tell(Level::Warn, LogEvent::ReadyWithoutAddress, text);
            self.change(Change::Ready(status));
        }
    }

    /// Returns what systemd shows: what is wrong, where anything is; where the service listens, and whom it asks.
    fn status(&self) -> String {
        let serves = |listener: &&Listener| listener.role == Role::Chosen && listener.check == Check::Answers;
        let listening: Vec<_> =
            self.state.listeners.iter().filter(serves).map(|listener| listener.address.to_string()).collect();
        let upstreams = self.observed.upstreams.iter();
        let upstreams: Vec<_> = upstreams
            .map(|upstream| format!("{}{}", upstream.server, if upstream.is_down { " (down)" } else { "" }))
            .collect();
        let upstreams = if upstreams.is_empty() { "no upstream known".to_owned() } else { upstreams.join(", ") };
        let listening = if listening.is_empty() { "no address".to_owned() } else { listening.join(", ") };
        let way = format!("{listening} → {upstreams}");
        let troubles = troubles(self.state, self.observed.upstreams);
        if troubles.is_empty() { way } else { format!("degraded: {}; {way}", troubles.join("; ")) }
    }
}

/// Returns what is wrong, a line each.
pub(in crate::service) fn troubles(state: &State, upstreams: &[UpstreamState]) -> Vec<String> {
    let mut troubles = Vec::new();
    troubles.extend(state.configuration.clone());
    let stands_in =
        |program: &String| format!("{program} does not come up, the program that worked last runs in its place");
    troubles.extend(state.in_place_of.as_ref().map(stands_in));
    troubles.extend(state.waiting.as_ref().map(|waiting| waiting.why.clone()));
    let chosen = state.blocked.iter().filter(|blocked| blocked.role == Role::Chosen);
    troubles.extend(chosen.map(|blocked| blocked.failed.why.clone()));
    let is_silent = |listener: &&Listener| matches!(listener.check, Check::Silent { .. });
    let silent = state.listeners.iter().filter(is_silent);
    troubles.extend(silent.map(|listener| format!("{} does not answer", listener.address)));
    troubles.extend(state.file.failed.as_ref().map(|failed| failed.why.clone()));
    if !upstreams.is_empty() && upstreams.iter().all(|upstream| upstream.is_down) {
        troubles.push("no upstream answers".to_owned());
    }
    troubles
}
