//! Which upstreams do not answer: what the workers know, put together, and told to people when it changes. Pure.

use std::collections::BTreeSet;

use log::Level;

use super::change::Line;
use crate::logging::LogEvent;
use crate::server::notice::WorkerReport;
use crate::upstream::{UpstreamId, UpstreamSet};

/// The upstreams that are down.
#[derive(Debug, Clone, Default)]
pub(super) struct Outages {
    down: BTreeSet<UpstreamId>,
}

impl Outages {
    /// Returns whether that upstream does not answer.
    pub(super) fn is_down(&self, upstream: UpstreamId) -> bool {
        self.down.contains(&upstream)
    }

    /// Takes what all workers know now. Returns a line for each upstream that went down or is back, and one where it
    /// was the last that answered.
    pub(super) fn learn(&mut self, set: &UpstreamSet, reports: &[WorkerReport]) -> Vec<Line> {
        let mut lines = Vec::new();
        let was_all = self.is_all(set);
        let earlier = std::mem::take(&mut self.down);
        for upstream in &set.upstreams {
            let (id, server) = (upstream.id, &upstream.endpoint);
            let line = |level, event, text| Line { level, event, upstream: Some(server.to_string()), text };
            let is_down = is_down(id, reports, earlier.contains(&id));
            if is_down {
                self.down.insert(id);
            }
            match (earlier.contains(&id), is_down) {
                (false, true) => {
                    lines.push(line(Level::Warn, LogEvent::UpstreamDown, format!("{server} does not answer any more")));
                }
                (true, false) => {
                    lines.push(line(Level::Info, LogEvent::UpstreamBack, format!("{server} answers again")));
                }
                _ => {}
            }
        }
        if self.is_all(set) && !was_all {
            let text = "no upstream answers any more: clients get what is remembered, else SERVFAIL, until one is back";
            let (level, event) = (Level::Error, LogEvent::AllUpstreamsDown);
            lines.push(Line { level, event, upstream: None, text: text.to_owned() });
        }
        lines
    }

    fn is_all(&self, set: &UpstreamSet) -> bool {
        !set.root().is_empty() && set.root().iter().all(|upstream| self.is_down(upstream.id))
    }
}

/// Returns whether an upstream is down: a worker says so, and none has had an answer since an answer of that worker.
/// Where no worker knows it, it is as it was.
fn is_down(upstream: UpstreamId, reports: &[WorkerReport], was_down: bool) -> bool {
    let known = || {
        let all = reports.iter().flat_map(|report| &report.engine.upstreams);
        all.filter(|report| report.id == upstream)
    };
    let down = known().filter(|report| report.is_down).map(|report| report.last_answer).max();
    let up = known().filter(|report| !report.is_down).map(|report| report.last_answer).max();
    match (down, up) {
        (Some(down), Some(up)) => up <= down,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => was_down,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::exchange::{EngineReport, UpstreamCounters, UpstreamReport};
    use crate::upstream::set::UpstreamIds;

    fn set(servers: &[&str]) -> UpstreamSet {
        let servers = servers.iter().map(|server| (server.parse().unwrap(), Arc::from("test"))).collect();
        UpstreamSet::new(servers, None, &mut UpstreamIds::default())
    }

    /// What a worker says of the upstreams of a set: whether each is down, and the second in which it answered last.
    fn worker(set: &UpstreamSet, start: Instant, said: &[(bool, Option<u64>)]) -> WorkerReport {
        let upstreams = set.upstreams.iter().zip(said).map(|(upstream, (is_down, last))| UpstreamReport {
            id: upstream.id,
            is_down: *is_down,
            last_answer: last.map(|second| start + Duration::from_secs(second)),
            latency: None,
            counters: UpstreamCounters::default(),
            of_late: UpstreamCounters::default(),
        });
        WorkerReport { engine: EngineReport { upstreams: upstreams.collect(), lookups: 0 }, ..WorkerReport::default() }
    }

    fn events(lines: &[Line]) -> Vec<LogEvent> {
        lines.iter().map(|line| line.event).collect()
    }

    #[test]
    fn each_outage_is_told_once_and_so_is_its_end() {
        let (set, start) = (set(&["10.0.0.2", "10.0.0.3"]), crate::clock::now());
        let mut outages = Outages::default();
        let mut learn = |said: &[(bool, Option<u64>)]| outages.learn(&set, &[worker(&set, start, said)]);
        assert_eq!(events(&learn(&[(false, Some(1)), (false, Some(1))])), []);
        let first = learn(&[(true, Some(1)), (false, Some(2))]);
        assert_eq!((events(&first), first[0].upstream.as_deref()), (vec![LogEvent::UpstreamDown], Some("10.0.0.2:53")));
        assert_eq!(events(&learn(&[(true, Some(1)), (false, Some(3))])), []);
        let last = learn(&[(true, Some(1)), (true, Some(3))]);
        assert_eq!(events(&last), [LogEvent::UpstreamDown, LogEvent::AllUpstreamsDown]);
        assert_eq!(events(&learn(&[(true, Some(1)), (true, Some(3))])), []);
        assert_eq!(events(&learn(&[(true, Some(1)), (false, Some(9))])), [LogEvent::UpstreamBack]);
        assert_eq!(events(&learn(&[(false, Some(9)), (false, Some(9))])), [LogEvent::UpstreamBack]);
    }

    #[test]
    fn a_worker_that_had_an_answer_later_is_believed() {
        let (set, start) = (set(&["10.0.0.2"]), crate::clock::now());
        for (what, workers, down) in [
            ("nobody asked it", &[][..], false),
            ("it never answered", &[(true, None)], true),
            ("one worker did not ask it since", &[(true, Some(5)), (false, Some(4))], true),
            ("one worker had an answer since", &[(true, Some(5)), (false, Some(6))], false),
            ("one worker never had an answer, another one did", &[(true, None), (false, Some(1))], false),
        ] {
            let mut outages = Outages::default();
            let reports: Vec<_> = workers.iter().map(|said| worker(&set, start, &[*said])).collect();
            outages.learn(&set, &reports);
            assert_eq!(outages.is_down(set.upstreams[0].id), down, "{what}");
        }
    }

    #[test]
    fn an_upstream_that_is_not_asked_any_more_is_forgotten() {
        let (both, start) = (set(&["10.0.0.2", "10.0.0.3"]), crate::clock::now());
        let mut outages = Outages::default();
        outages.learn(&both, &[worker(&both, start, &[(true, None), (true, None)])]);
        let mut one = both.clone();
        one.upstreams.truncate(1);
        assert_eq!(events(&outages.learn(&one, &[])), [], "it is down as before, and told");
        assert!(outages.is_down(both.upstreams[0].id) && !outages.is_down(both.upstreams[1].id));
        assert_eq!(events(&outages.learn(&UpstreamSet::default(), &[])), []);
    }
}
