//! What would become of a query, from what was gathered. Pure but for a look into the cache.

use super::desk::Gathered;
use super::status_report::Condition;
use crate::admit::local_names::LocalNames;
use crate::control::explain::{Cached, Candidate, Explanation, Question};
use crate::forwarder::Shared;
use crate::guard::{Asked, Standing, probe};
use crate::upstream::{Upstream, UpstreamSet};
use crate::wire::query::shown;
use crate::wire::{flag, words};

/// When an upstream would be asked; the earlier ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    InOrder,
    /// It is down.
    AfterOthers,
    /// It is half a loop.
    Last,
    /// It loops.
    Never,
}

/// Explains it.
pub(super) fn explain(question: &Question, shared: &Shared, gathered: &Gathered) -> Explanation {
    let Question { name, record_type, from } = question;
    let route = gathered.set.route(name);
    let mut upstreams: Vec<_> = route
        .into_iter()
        .flat_map(|route| &route.upstreams)
        .map(|upstream| (turn(question, upstream, gathered), upstream))
        .collect();
    upstreams.sort_by_key(|(turn, _)| *turn); // keeps their order otherwise
    let equivalent = route.is_some_and(|route| route.equivalent);
    let candidates = upstreams.iter().enumerate().map(|(place, (turn, upstream))| Candidate {
        server: upstream.endpoint.to_string(),
        source: upstream.source.to_string(),
        state: gathered.condition(upstream.id).0.word().to_owned(),
        when: when(place, *turn, equivalent).to_owned(),
    });
    Explanation {
        name: shown(name),
        record_type: words::of_type(*record_type),
        allowed: from.map(|from| shared.allow.load().admits(from)),
        answered_here: answered_here(question, &shared.names.load(), &gathered.set).map(str::to_owned),
        route: route.map(|route| shown(&route.suffix)),
        equivalent,
        upstreams: candidates.collect(),
        cached: cached(question, shared, gathered),
    }
}

fn turn(question: &Question, upstream: &Upstream, gathered: &Gathered) -> Turn {
    let asked = Asked { name: &question.name, qtype: question.record_type };
    match gathered.verdicts.standing(upstream.id, upstream.endpoint.first_transport(), asked) {
        Standing::Quarantined => Turn::Never,
        Standing::LastResort => Turn::Last,
        _ if gathered.condition(upstream.id).0 == Condition::Down => Turn::AfterOthers,
        Standing::Free | Standing::Suspect | Standing::Intermittent => Turn::InOrder,
    }
}

fn when(place: usize, turn: Turn, equivalent: bool) -> &'static str {
    match (turn, place) {
        (Turn::Never, _) => "not asked: it sends our queries back to us",
        (Turn::Last, 0) => "asked, since no other is left; it sends some of our queries back to us",
        (Turn::Last, _) => "asked when no other is left: it sends some of our queries back to us",
        (Turn::AfterOthers, 0) => "asked, since no other is left; it did not answer of late",
        (Turn::AfterOthers, _) => "asked when the ones before have failed: it did not answer of late",
        (Turn::InOrder, 0) => "asked first",
        (Turn::InOrder, _) if equivalent => "asked when the one before has failed, or is slow",
        (Turn::InOrder, _) => "asked when the ones before have failed",
    }
}

/// Why Onward answers by itself, whatever upstreams know.
fn answered_here(question: &Question, names: &LocalNames, set: &UpstreamSet) -> Option<&'static str> {
    if probe::is_coredns_probe(&question.name, question.record_type) {
        Some("the question of CoreDNS's loop plugin is answered NXDOMAIN, so that the plugin does not end CoreDNS")
    } else {
        names.find(&question.name, set)?.reason(question.record_type)
    }
}

fn cached(question: &Question, shared: &Shared, gathered: &Gathered) -> Vec<Cached> {
    let asked = [&question.name[..], &question.record_type.to_be_bytes(), &[0, 1]].concat();
    let now = shared.seconds(gathered.now);
    let bits = [(false, false), (true, false), (false, true), (true, true)];
    let found = bits.into_iter().filter_map(|(dnssec, checking_disabled)| {
        let first = if dnssec { flag::DO } else { 0 } | if checking_disabled { flag::CD } else { 0 };
        let entry = shared.cache.peek(&[&[first][..], &asked].concat(), now)?;
        let server = |id| gathered.set.get(id).map(|upstream| upstream.endpoint.to_string());
        Some(Cached {
            dnssec,
            checking_disabled,
            rcode: words::of_rcode(entry.rcode),
            answers: entry.answers.into(),
            age_seconds: entry.age.into(),
            left_seconds: entry.left,
            may_serve: entry.may_serve,
            upstream: entry
                .upstream
                .map(|id| server(id).unwrap_or_else(|| "one that is not asked any more".to_owned())),
        })
    });
    found.collect()
}
