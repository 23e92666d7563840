//! What was gathered, as metrics: which there are, and what each tells. Their names are an interface: none changes, and
//! none is used again for something else. `packaging/metrics/README.md` has a table of them.
//!
//! Labels have few values: upstreams, transports, kinds and reasons. Never a name that was asked for, never a client.

use std::time::{Duration, SystemTime};

use super::desk::{Desk, Gathered};
use super::state::Check;
use super::status_report::Condition;
use crate::exchange::stream::Distrust;
use crate::exchange::{Failure, UpstreamCounters};
use crate::forwarder::{Counters, Local, PerQuery, QueryKind};
use crate::guard::Standing;
use crate::metrics::endpoint::Metrics;
use crate::metrics::exposition::{Exposition, Format, Kind};
use crate::upstream::{Transport, UpstreamId};

impl Metrics for Desk {
    async fn text(&self, format: Format) -> Option<String> {
        self.gather().await.map(|gathered| write(&gathered, format))
    }
}

/// Writes all metrics.
fn write(gathered: &Gathered, format: Format) -> String {
    let mut out = Exposition::new(format);
    process(&mut out, gathered);
    queries(&mut out, &gathered.counters);
    waiting(&mut out, &gathered.counters);
    upstreams(&mut out, gathered);
    cache(&mut out, gathered);
    guard(&mut out, gathered);
    node(&mut out, gathered);
    out.finish()
}

fn process(out: &mut Exposition, gathered: &Gathered) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    out.family(Kind::Gauge, "onward_build_info", "The version that runs; always 1.").value(&version, 1);
    out.family(Kind::Gauge, "onward_start_time_seconds", "When the process began, as Unix time.")
        .seconds(&[], since_epoch(gathered.known.started_at));
    out.family(
        Kind::Gauge,
        "onward_configuration_in_force",
        "1, or 0 where the configuration has faults and the one that worked last runs.",
    )
    .value(&[], u64::from(gathered.known.state.configuration.is_none()));
}

fn queries(out: &mut Exposition, counters: &Counters) {
    let mut family = out.family(
        Kind::Counter,
        "onward_queries_total",
        "Queries of clients that were answered from the cache (hit), with what had ended (stale), or had to be asked of an \
         upstream (miss).",
    );
    for (result, counted) in [("hit", &counters.hits), ("stale", &counters.stale), ("miss", &counters.misses)] {
        for (transport, over) in [("udp", Transport::Udp), ("tcp", Transport::Tcp)] {
            for kind in QueryKind::ALL {
                let labels = [("transport", transport), ("type", kind.word()), ("result", result)];
                family.value(&labels, PerQuery::of(counted, over, kind));
            }
        }
    }
    let mut family =
        out.family(Kind::Counter, "onward_responses_total", "Responses to clients, by response code (RFC 6895).");
    let mut rest = 0;
    for (code, number) in counters.responses.all().iter().enumerate() {
        match RCODES.get(code) {
            Some(word) => {
                family.value(&[("rcode", word)], *number);
            }
            None => rest += number,
        }
    }
    family.value(&[("rcode", "other")], rest);
    let mut family = out.family(
        Kind::Counter,
        "onward_local_responses_total",
        "Queries that Onward answered by itself, by the reason.",
    );
    for why in Local::ALL {
        family.value(&[("reason", why.word())], counters.local(why));
    }
    out.family(
        Kind::Counter,
        "onward_cluster_name_queries_total",
        "Queries for names of the cluster that were not in the cache, by what became of them: forwarded, or answered here \
         (names.cluster_domain).",
    )
    .value(&[("result", "forwarded")], counters.cluster_forwarded)
    .value(&[("result", "answered")], counters.local(Local::ClusterName));
}

/// What became of clients that waited, and of what was no client's.
fn waiting(out: &mut Exposition, counters: &Counters) {
    let mut family = out.family(
        Kind::Counter,
        "onward_failures_total",
        "Queries of clients that waited for an upstream and got SERVFAIL, by the reason.",
    );
    for (reason, why) in [
        ("no_upstream", Failure::NoUpstream),
        ("no_answer", Failure::NoAnswer),
        ("loop", Failure::Loops(UpstreamId(0))),
        ("untrusted", Failure::Untrusted(UpstreamId(0), Distrust::Other)),
    ] {
        family.value(&[("reason", reason)], counters.failures(why));
    }
    out.family(
        Kind::Counter,
        "onward_answered_misses_total",
        "Queries of clients that waited for an upstream and got an answer: what it said (fresh), or what was remembered and \
         had ended (stale).",
    )
    .value(&[("result", "fresh")], counters.answered)
    .value(&[("result", "stale")], counters.waited_stale);
    out.family(
        Kind::Counter,
        "onward_held_queries_total",
        "Queries that were held for a moment, since they may be our own come back.",
    )
    .value(&[], counters.held);
    out.family(Kind::Counter, "onward_dropped_packets_total", "Packets that are no query and got no response.")
        .value(&[], counters.dropped);
    out.family(
        Kind::Counter,
        "onward_cache_refreshes_total",
        "Responses that were asked for again before they ended, or while they were served stale.",
    )
    .value(&[], counters.refreshes);
    out.family(
        Kind::Histogram,
        "onward_miss_duration_seconds",
        "How long clients waited for what was not in the cache.",
    )
    .histogram(&[], &counters.waits);
}

/// The response codes that are told apart, by their number.
const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/// Something that is counted of each upstream: its name, its help, and where the number is.
type Counted = (&'static str, &'static str, fn(&UpstreamCounters) -> u64);

/// All of that.
const COUNTED: [Counted; 4] = [
    (
        "onward_upstream_queries_total",
        "Queries to an upstream server, without those that were sent again.",
        |counters| counters.asked,
    ),
    ("onward_upstream_responses_total", "Responses of an upstream server, whatever it said.", |counters| {
        counters.answered
    }),
    (
        "onward_upstream_failures_total",
        "Responses of an upstream server that say that it failed or would not tell, as SERVFAIL and REFUSED.",
        |counters| counters.failed,
    ),
    ("onward_upstream_timeouts_total", "Queries to an upstream server that it left without a response.", |counters| {
        counters.timed_out
    }),
];

fn upstreams(out: &mut Exposition, gathered: &Gathered) {
    let of_each: Vec<_> = gathered.set.upstreams.iter().map(|it| (it.endpoint.to_string(), it.id)).collect();
    let counted: Vec<_> = of_each.iter().map(|(server, id)| (server.as_str(), gathered.counted(*id).0)).collect();
    out.family(Kind::Gauge, "onward_upstreams", "Upstream servers in use.")
        .value(&[], u64::try_from(of_each.len()).unwrap_or(u64::MAX));
    for (name, help, number) in COUNTED {
        let mut family = out.family(Kind::Counter, name, help);
        for (server, counters) in &counted {
            family.value(&[("upstream", server)], number(counters));
        }
    }
    let mut family = out.family(
        Kind::Histogram,
        "onward_upstream_response_duration_seconds",
        "How long the responses of an upstream server took.",
    );
    for (server, counters) in &counted {
        family.histogram(&[("upstream", server)], &counters.latency);
    }
    let mut family = out.family(
        Kind::Gauge,
        "onward_upstream_state",
        "1 for the state that an upstream server is in: up, slow, down, suspect, looping.",
    );
    for (server, id) in &of_each {
        let condition = gathered.condition(*id).0;
        for one in Condition::ALL {
            family.value(&[("upstream", server), ("state", one.word())], u64::from(one == condition));
        }
    }
    let list = &gathered.known.list;
    // A source that names them does so now.
    if let Some(named) = list.named.map(|named| if list.kept { named } else { gathered.wall }) {
        out.family(
            Kind::Gauge,
            "onward_upstreams_found_timestamp_seconds",
            "When a source last named the upstream servers in use, as Unix time.",
        )
        .seconds(&[], since_epoch(named));
    }
}

fn cache(out: &mut Exposition, gathered: &Gathered) {
    let usage = gathered.cache;
    for (name, help, number) in [
        ("onward_cache_entries", "Responses in the cache, ended ones included.", usage.entries),
        ("onward_cache_bytes", "Bytes that the cache takes.", usage.bytes),
        ("onward_cache_limit_bytes", "Bytes that the cache may take.", usage.limit_bytes),
    ] {
        out.family(Kind::Gauge, name, help).value(&[], u64::try_from(number).unwrap_or(u64::MAX));
    }
}

fn guard(out: &mut Exposition, gathered: &Gathered) {
    let judge = &gathered.judge;
    let mut family = out.family(
        Kind::Counter,
        "onward_guard_suspicions_total",
        "Suspicions of a loop, by what raised them. Each is a reason to probe, and no more.",
    );
    for (witness, number) in ["tag", "spelling", "silence"].into_iter().zip(judge.suspicions) {
        family.value(&[("witness", witness)], number);
    }
    let mut family =
        out.family(Kind::Counter, "onward_guard_probes_total", "Probes that were sent to upstreams, by what for.");
    for (purpose, number) in ["check", "confirmation", "release", "marks", "health"].into_iter().zip(judge.probes) {
        family.value(&[("purpose", purpose)], number);
    }
    out.family(
        Kind::Counter,
        "onward_guard_verdicts_total",
        "Verdicts: a loop was proven, was found to be half a loop, has ended.",
    )
    .value(&[("verdict", "loop")], judge.given)
    .value(&[("verdict", "half_loop")], judge.halved)
    .value(&[("verdict", "ended")], judge.ended);
    let in_use = gathered.verdicts.all().iter().filter(|verdict| gathered.set.get(verdict.upstream).is_some());
    let loops = in_use.filter(|verdict| verdict.standing == Standing::Quarantined).count();
    out.family(Kind::Gauge, "onward_guard_loops", "Proven loops that hold now: upstream servers that are not asked.")
        .value(&[], u64::try_from(loops).unwrap_or(u64::MAX));
}

fn node(out: &mut Exposition, gathered: &Gathered) {
    let mut family = out.family(
        Kind::Gauge,
        "onward_listener_answers",
        "1 where a query from this node to an address that is listened on is answered.",
    );
    for listener in &gathered.known.state.listeners {
        let address = listener.address.to_string();
        family.value(&[("address", &address)], u64::from(listener.check == Check::Answers));
    }
    out.family(
        Kind::Gauge,
        "onward_file_names_answering_address",
        "1 where the file for kubelet names addresses and all of them answer.",
    )
    .value(&[], u64::from(gathered.file_is_good()));
    out.family(Kind::Gauge, "onward_tcp_connections", "Connections of clients over TCP.")
        .value(&[], u64::try_from(gathered.connections).unwrap_or(u64::MAX));
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
