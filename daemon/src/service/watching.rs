//! What happens, in words: events of the core as those who watch are told them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use crate::clock;
use crate::control::monitor::{Candidate, Event, Filter, Watching};
use crate::forwarder::{Seen, Shared, Watch, What};
use crate::upstream::UpstreamSet;
use crate::wire::query::shown;
use crate::wire::{name_end, u16_at, words};

/// A client's view on what happens.
pub(super) struct View {
    watch: Watch,
    filter: Filter,
    shared: Arc<Shared>,
}

impl View {
    pub(super) fn new(shared: &Arc<Shared>, filter: Filter) -> Self {
        Self { watch: shared.monitor.watch(), filter, shared: Arc::clone(shared) }
    }
}

impl Watching for View {
    fn take(&mut self) -> (Vec<Event>, u64) {
        let (seen, missed) = self.watch.take();
        let wanted = seen.iter().filter(|seen| {
            let end = name_end(&seen.question, 0).unwrap_or(0);
            let name = seen.question.get(..end).unwrap_or_default().to_ascii_lowercase();
            self.filter.wants(&Candidate {
                name: &name,
                client: seen.client,
                rcode: seen.rcode,
                took: seen.took,
                is_step: matches!(seen.what, What::Sent | What::Heard | What::Silent),
            })
        });
        let now = (clock::now(), clock::wall());
        (wanted.map(|seen| event(seen, &self.shared.set, now)).collect(), missed)
    }
}

fn event(seen: &Seen, set: &ArcSwap<UpstreamSet>, (now, wall): (Instant, SystemTime)) -> Event {
    let end = name_end(&seen.question, 0).unwrap_or(0);
    let at = wall.checked_sub(now.saturating_duration_since(seen.at)).unwrap_or(wall);
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Event {
        at_microseconds: micros(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
        what: match seen.what {
            What::Hit => "hit",
            What::Stale => "stale",
            What::Miss => "miss",
            What::Own => "own",
            What::Refresh => "refresh",
            What::Sent => "sent",
            What::Heard => "heard",
            What::Silent => "silent",
        }
        .to_owned(),
        client: seen.client.map(|client| client.to_string()),
        transport: seen.transport.word().to_owned(),
        name: shown(seen.question.get(..end).unwrap_or_default()),
        record_type: u16_at(&seen.question, end).map(words::of_type).unwrap_or_default(),
        upstream: seen.upstream.and_then(|id| set.load().get(id).map(|upstream| upstream.endpoint.to_string())),
        took_microseconds: seen.took.map(micros),
        rcode: seen.rcode.map(words::of_rcode),
        extended_error: seen.error,
    }
}
