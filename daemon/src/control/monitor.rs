//! What happens, as it happens: the replies of the call `Monitor`, which of it a client wants, and the connection on
//! which it comes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::connection::Connection;
use super::message::Reply;
use super::{Desk, Names};
use crate::wire::rcode;

/// Time between two replies: what happens meanwhile comes together.
const INTERVAL: Duration = Duration::from_millis(100);
/// Maximum number of events in a reply: more than a person reads, and little enough for fifty who watch at once.
const EVENTS_MOST: usize = 200;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    /// When it happened, in microseconds of Unix time.
    pub(crate) at_microseconds: u64,
    /// `hit`, `stale`, `miss`, `own` (answered by Onward itself), `refresh` (a lookup without a client); for steps
    /// between Onward and an upstream `sent`, `heard`, `silent`.
    pub(crate) what: String,
    /// Who asked, with the port.
    pub(crate) client: Option<String>,
    /// `udp` or `tcp`.
    pub(crate) transport: String,
    /// What was asked for, as it was spelled.
    pub(crate) name: String,
    /// The type of record.
    pub(crate) record_type: String,
    /// Who was asked, or said this.
    pub(crate) upstream: Option<String>,
    /// How long it took.
    pub(crate) took_microseconds: Option<u64>,
    /// The response code.
    pub(crate) rcode: Option<String>,
    /// The code of the first extended error (RFC 8914).
    pub(crate) extended_error: Option<u16>,
}

/// The parameters of the call: which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Names that are this one or below it.
    pub(crate) name: Option<String>,
    /// Clients of this network, or with this address.
    pub(crate) client: Option<String>,
    /// Only what failed: another response code than NOERROR and NXDOMAIN, or none.
    pub(crate) failures: Option<bool>,
    /// Only what took this time, or longer.
    pub(crate) slow_milliseconds: Option<u64>,
    /// Steps between Onward and upstreams, too.
    pub(crate) steps: Option<bool>,
}

/// The same, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filter {
    names: Names,
    clients: Option<IpNet>,
    failures: bool,
    slow: Duration,
    steps: bool,
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'e> {
    /// Lower-cased wire form.
    pub(crate) name: &'e [u8],
    /// Who asked.
    pub(crate) client: Option<SocketAddr>,
    /// The response code.
    pub(crate) rcode: Option<u8>,
    /// How long it took.
    pub(crate) took: Option<Duration>,
    /// Whether it is a step between Onward and an upstream.
    pub(crate) is_step: bool,
}

/// Where events come from.
pub(crate) trait Watching: Send {
    /// Returns those that happened since the last call, and the number of those that were missed.
    fn take(&mut self) -> (Vec<Event>, u64);
}

impl Filter {
    /// Whether an event is wanted.
    pub(crate) fn wants(&self, event: &Candidate<'_>) -> bool {
        let is_client = |net: &IpNet| event.client.is_some_and(|client| net.contains(&client.ip().to_canonical()));
        let is_good = matches!(event.rcode, Some(rcode::NOERROR | rcode::NXDOMAIN));
        (self.steps || !event.is_step)
            && self.names.have(event.name)
            && self.clients.as_ref().is_none_or(is_client)
            && !(self.failures && is_good)
            && (self.slow.is_zero() || event.took.is_some_and(|took| took >= self.slow))
    }
}

impl Wanted {
    /// Reads it.
    ///
    /// # Errors
    /// The parameter that is at fault, and why.
    pub(crate) fn read(&self) -> Result<Filter, (&'static str, String)> {
        let names = match &self.name {
            Some(name) => Names::Under(crate::wire::name::of_text(name).map_err(|why| ("name", why))?),
            None => Names::All,
        };
        let network = |text: &String| {
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            text.parse().or_else(|_| address()).map_err(|_| ("client", "it is no address and no network".to_owned()))
        };
        Ok(Filter {
            names,
            clients: self.client.as_ref().map(network).transpose()?,
            failures: self.failures.unwrap_or(false),
            slow: Duration::from_millis(self.slow_milliseconds.unwrap_or(0)),
            steps: self.steps.unwrap_or(false),
        })
    }
}

/// Sends what happens until the client has enough or does not take it.
pub(super) async fn stream(connection: &mut Connection, filter: Filter, desk: &impl Desk) {
    let mut watch = desk.watch(filter);
    // The first reply says that from now on nothing is missed.
    if !connection.send(&reply(&[], 0)).await {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = connection.ended() => return,
        }
        let (events, missed) = watch.take();
        let (shown, left) = events.split_at(events.len().min(EVENTS_MOST));
        let missed = missed + u64::try_from(left.len()).unwrap_or(0);
        if (!shown.is_empty() || missed > 0) && !connection.send(&reply(shown, missed)).await {
            return;
        }
    }
}

fn reply(events: &[Event], missed: u64) -> Reply {
    Reply { continues: Some(true), ..Reply::of(json!({ "events": events, "missed": missed })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(wanted: serde_json::Value) -> Filter {
        serde_json::from_value::<Wanted>(wanted).unwrap().read().unwrap()
    }

    #[test]
    fn only_what_is_wanted_is_shown() {
        let name = crate::wire::name::wire("www.corp.example");
        let event = Candidate {
            name: &name,
            client: Some("10.244.0.10:4000".parse().unwrap()),
            rcode: Some(rcode::SERVFAIL),
            took: Some(Duration::from_millis(20)),
            is_step: false,
        };
        for (wanted, wants) in [
            (json!({}), true),
            (json!({ "name": "Corp.example" }), true),
            (json!({ "name": "orp.example" }), false),
            (json!({ "client": "10.244.0.0/16" }), true),
            (json!({ "client": "10.244.0.10" }), true),
            (json!({ "client": "10.244.0.11" }), false),
            (json!({ "failures": true }), true),
            (json!({ "slow_milliseconds": 20 }), true),
            (json!({ "slow_milliseconds": 21 }), false),
            (json!({ "failures": true, "name": "other.example" }), false),
        ] {
            assert_eq!(filter(wanted.clone()).wants(&event), wants, "{wanted}");
        }
        let good = Candidate { rcode: Some(rcode::NXDOMAIN), ..event };
        assert!(!filter(json!({ "failures": true })).wants(&good));
        let step = Candidate { is_step: true, client: None, rcode: None, ..event };
        assert!(!filter(json!({})).wants(&step) && filter(json!({ "steps": true })).wants(&step));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (wanted, parameter) in [(json!({ "name": "a..b" }), "name"), (json!({ "client": "pod" }), "client")] {
            assert_eq!(serde_json::from_value::<Wanted>(wanted).unwrap().read().unwrap_err().0, parameter);
        }
        assert!(serde_json::from_value::<Wanted>(json!({ "colour": 1 })).is_err());
    }
}
