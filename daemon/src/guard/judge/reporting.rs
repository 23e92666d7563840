//! What the judge gives away: reports for people, and the snapshot of what holds for the engine. Pure.

use std::sync::Arc;
use std::time::Instant;

use super::{Judge, Whom};
use crate::guard::event::Action;
use crate::guard::mark_support::Marks;
use crate::guard::marks::Known;
use crate::guard::report::{Kind, Report};
use crate::guard::upstream_state::UpstreamState;
use crate::guard::verdict::{Verdict, Verdicts, Witness};

impl Judge {
    pub(super) fn tell_verdict(&mut self, kind: Kind, verdict: &Verdict) {
        let Some(upstream) = self.set.get(verdict.upstream).cloned() else { return };
        let evidence = Some(verdict.evidence.clone());
        let (transport, suffix, witness) = (verdict.transport, verdict.suffix.clone(), verdict.evidence.witness);
        self.actions.push(Action::Tell(Box::new(Report { kind, upstream, transport, suffix, evidence, witness })));
    }

    pub(super) fn tell(&mut self, kind: Kind, (number, transport): Whom, suffix: &[u8], witness: Option<Witness>) {
        let Some(upstream) = self.set.get(number).cloned() else { return };
        let suffix = suffix.into();
        self.actions.push(Action::Tell(Box::new(Report {
            kind,
            upstream,
            transport,
            suffix,
            evidence: None,
            witness,
        })));
    }

    pub(super) fn publish(&mut self, now: Instant) {
        let those = |is: fn(&UpstreamState, Instant) -> bool| -> Vec<Whom> {
            self.tracks.iter().filter(|(_, track)| is(track, now)).map(|(whom, _)| *whom).collect()
        };
        let (suspects, wavering) = (those(UpstreamState::is_suspect), those(UpstreamState::is_wavering));
        let marks = self.set.upstreams.iter().map(|upstream| {
            let number = upstream.id;
            let bears = self.known.get(&number).map_or(Marks::ALL, Known::bears);
            let suspect = suspects.iter().any(|(suspect, _)| *suspect == number);
            (number, self.settings.marks(bears, upstream.is_near(), suspect))
        });
        let marks = marks.collect();
        let given = self.tracks.values().flat_map(UpstreamState::verdicts).cloned().collect();
        let down = self.down();
        let verdicts = Verdicts { given, suspects, wavering, down, marks, unheard_of: self.published.unheard_of };
        if verdicts != *self.published {
            self.published = Arc::new(verdicts);
            self.actions.push(Action::Publish(Arc::clone(&self.published)));
        }
    }
}
