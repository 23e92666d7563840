//! What Onward may say, for how long, and whom it may ask: the rules, written without regard to how Onward keeps them.
//!
//! Everything that crossed the model's network is recorded, and judged when the world has ended.

use std::time::{Duration, Instant};

use super::case::Case;
use super::node::STALE_MAX;
use super::server::{HOSTS, Name, Says, Server, TooLong, read, ttl};
use crate::wire::HEADER;

/// Time within which every client has its response: CoreDNS gives up after 2 s.
const BUDGET: Duration = Duration::from_millis(1800);
/// Time after which a lookup has ended.
pub(super) const LOOKUP: Duration = Duration::from_secs(6);
/// Time after which what a server did before has no effect any more: health, remembered failures, provisional
/// responses, and stale responses, which are given for 30 s without a look.
pub(super) const SETTLED: Duration = Duration::from_secs(40);
/// Seconds by which ages may be off, since the cache counts whole ones.
const ROUNDING: u64 = 2;

#[derive(Debug)]
struct Asked {
    name: Name,
    over_stream: bool,
    at: Instant,
    response: Option<(Instant, Vec<u8>)>,
}

/// A query that left for a server.
#[derive(Debug)]
struct Sent {
    server: usize,
    name: Name,
    at: Instant,
}

/// A response of a server that arrived.
#[derive(Debug)]
struct Said {
    server: usize,
    name: Name,
    at: Instant,
    says: Says,
    ttl: Option<u32>,
}

/// What crossed the network of a world.
#[derive(Debug)]
pub(super) struct Record {
    start: Instant,
    equivalent: bool,
    orders: Vec<(Instant, Vec<usize>)>,
    asked: Vec<Asked>,
    sent: Vec<Sent>,
    said: Vec<Said>,
}

impl Record {
    pub(super) fn new(start: Instant, order: Vec<usize>, equivalent: bool) -> Self {
        Self { start, equivalent, orders: vec![(start, order)], asked: Vec::new(), sent: Vec::new(), said: Vec::new() }
    }

    /// A client asks; returns its number.
    pub(super) fn asked(&mut self, name: Name, over_stream: bool, at: Instant) -> u16 {
        self.asked.push(Asked { name, over_stream, at, response: None });
        u16::try_from(self.asked.len()).unwrap()
    }

    pub(super) fn answered(&mut self, client: u16, response: Vec<u8>, at: Instant) {
        let asked = &mut self.asked[usize::from(client) - 1];
        assert!(asked.response.is_none(), "a client gets one response: {asked:?}");
        asked.response = Some((at, response));
    }

    pub(super) fn reordered(&mut self, order: Vec<usize>, at: Instant) {
        self.orders.push((at, order));
    }

    pub(super) fn sent(&mut self, server: usize, query: &[u8], at: Instant) {
        if let Some(name) = Name::read(query) {
            self.sent.push(Sent { server, name, at });
        }
    }

    pub(super) fn said(&mut self, server: usize, response: &[u8], at: Instant) {
        if response.len() > HEADER
            && let Some(name) = Name::read(response)
        {
            self.said.push(Said { server, name, at, says: read(response), ttl: ttl(response) });
        }
    }

    /// The order of the servers in the time from `from` to `to`; `None` where it changed then.
    fn order(&self, from: Instant, to: Instant) -> Option<&[usize]> {
        let (since, order) = self.orders.iter().rev().find(|(since, _)| *since <= to)?;
        (*since <= from || self.orders.len() == 1).then_some(order)
    }

    /// All that crossed the network for a name, for people.
    pub(super) fn story(&self, name: Name) -> String {
        let mut lines = Vec::new();
        let mut tell = |at: Instant, what: String| lines.push((at, format!("{:?} {what}", at - self.start)));
        for asked in self.asked.iter().filter(|asked| asked.name == name) {
            tell(asked.at, format!("a client asks{}", if asked.over_stream { " over a stream" } else { "" }));
            if let Some((at, response)) = &asked.response {
                let after = *at - asked.at;
                tell(*at, format!("it is told {:?}, TTL {:?}, after {after:?}", read(response), ttl(response)));
            }
        }
        for sent in self.sent.iter().filter(|sent| sent.name == name) {
            tell(sent.at, format!("server {} is asked", sent.server));
        }
        for said in self.said.iter().filter(|said| said.name == name) {
            tell(said.at, format!("server {} has said {:?}, TTL {:?}", said.server, said.says, said.ttl));
        }
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    /// Judges the whole world; returns each broken rule, and the name that it concerns.
    pub(super) fn faults(&self, servers: &[Server]) -> Vec<(Name, String)> {
        let mut faults = Vec::new();
        for asked in &self.asked {
            let label = format!("{:?} at {:?}", asked.name, asked.at - self.start);
            match &asked.response {
                None => faults.push((asked.name, format!("{label}: no response"))),
                Some((at, _)) if *at > asked.at + BUDGET + Duration::from_millis(2) => {
                    faults.push((asked.name, format!("{label}: only after {:?}", *at - asked.at)));
                }
                Some((at, response)) => {
                    let fault = self.fault_of(asked, *at, response, servers);
                    let tell = |fault| (asked.name, format!("{label}, answered after {:?}: {fault}", *at - asked.at));
                    faults.extend(fault.map(tell));
                }
            }
        }
        faults.extend(self.leaks(servers));
        faults.extend(self.refreshes());
        faults
    }

    /// The rule that a response breaks.
    fn fault_of(&self, asked: &Asked, at: Instant, response: &[u8], servers: &[Server]) -> Option<String> {
        let says = read(response);
        let case = self.order(asked.at.checked_sub(SETTLED).unwrap_or(self.start), at).map(|order| Case {
            name: asked.name,
            from: asked.at - self.start,
            to: at - self.start,
            order,
            servers,
        });
        let said = || self.said.iter().rev().find(|said| said.name == asked.name && said.says == says && said.at <= at);
        match says {
            Says::Address(tells) => {
                let Some(said) = said() else { return Some(format!("nobody said {tells:?}")) };
                let (age, lifetime) = ((at - said.at).as_secs(), u64::from(said.ttl.unwrap_or(0)));
                if age <= lifetime + ROUNDING {
                    return None;
                }
                if age > lifetime + u64::from(STALE_MAX) + ROUNDING {
                    return Some(format!("{tells:?} is {age} s old, with a TTL of {lifetime} s"));
                }
                let case = case?;
                let good = case.settled_good().filter(|good| case.ends_the_old(*good))?;
                Some(format!("stale by {} s, though server {good} has answered all the time", age - lifetime))
            }
            Says::NxDomain | Says::Nothing => {
                let Some(said) = said() else { return Some(format!("nobody said {says:?}")) };
                let age = (at - said.at).as_secs();
                if age > u64::from(said.ttl.unwrap_or(0)) + u64::from(STALE_MAX) + ROUNDING {
                    return Some(format!("{says:?} is {age} s old"));
                }
                // A server before the one that said so knows better, if it was there all the time.
                let case = case?;
                let may_count = |good: &usize| case.knows(*good) && !servers[*good].may_seem_down(at - self.start);
                let good = case.first_good().filter(may_count)?;
                let is_alive = |said: &Said| (at - said.at).as_secs() <= u64::from(said.ttl.unwrap_or(0)) + ROUNDING;
                let is_it = |other: &&Said| other.name == said.name && other.says == said.says && other.at <= at;
                let mut alive = self.said.iter().filter(is_it).filter(|other| is_alive(other)).peekable();
                let is_worse = |said: &Said| case.is_before(good, said.server);
                let is_wrong = if alive.peek().is_some() { alive.all(is_worse) } else { is_worse(said) };
                is_wrong.then(|| {
                    format!("server {} says {says:?}, though server {good} before it has an address", said.server)
                })
            }
            Says::Truncated if asked.over_stream => Some("truncated over a stream".to_owned()),
            Says::Truncated => {
                let is_cut = |server: &Server| server.too_long != TooLong::Never;
                (asked.name.host != HOSTS - 1 || !servers.iter().any(is_cut))
                    .then(|| "truncated, though all fits".to_owned())
            }
            Says::Failure(code) => {
                Some(format!("failure {code}, though server {} has an answer", case?.settled_good()?))
            }
        }
    }

    /// Queries that left for a server though an earlier one, which does not know the same, had not had its time.
    fn leaks(&self, servers: &[Server]) -> Vec<(Name, String)> {
        let mut faults = Vec::new();
        for sent in self.sent.iter().filter(|_| !self.equivalent) {
            let Some(order) = self.order(sent.at.checked_sub(SETTLED).unwrap_or(self.start), sent.at) else { continue };
            let before = order.iter().copied().take_while(|server| *server != sent.server);
            for earlier in before {
                let since = sent.at - self.start;
                let was_asked = |other: &Sent| {
                    other.server == earlier
                        && other.name == sent.name
                        && other.at < sent.at
                        && sent.at - other.at <= LOOKUP
                };
                let was_out = servers[earlier].may_seem_down(since)
                    || servers[earlier].is_out(since.saturating_sub(SETTLED), since);
                if !was_out && !self.sent.iter().any(was_asked) {
                    let fault = format!(
                        "{:?} left for server {} at {since:?}, though server {earlier} before it was not asked",
                        sent.name, sent.server
                    );
                    faults.push((sent.name, fault));
                }
            }
        }
        faults
    }

    /// Addresses that clients were told and that were asked for again more than once while they lived.
    fn refreshes(&self) -> Vec<(Name, String)> {
        let mut faults = Vec::new();
        let is_told = |said: &&Said| {
            let tells = |(at, response): &(Instant, Vec<u8>)| *at == said.at && read(response) == said.says;
            self.asked.iter().any(|asked| asked.name == said.name && asked.response.as_ref().is_some_and(tells))
        };
        let addresses = self.said.iter().filter(|said| matches!(said.says, Says::Address(_)));
        for said in addresses.filter(is_told) {
            let lifetime = Duration::from_secs(said.ttl.unwrap_or(0).into());
            let next = self.said.iter().find(|other| {
                other.name == said.name && other.at > said.at && matches!(other.says, Says::Address(_) | Says::NxDomain)
            });
            let end = next.map_or(said.at + lifetime, |next| next.at.min(said.at + lifetime));
            let end = self.orders.iter().map(|(at, _)| *at).filter(|at| *at > said.at).fold(end, Instant::min);
            let begin = said.at + LOOKUP; // what was on its way already
            let mut lookups = 0;
            let mut last: Option<Instant> = None;
            for sent in self.sent.iter().filter(|sent| {
                sent.name == said.name && begin < sent.at && sent.at + Duration::from_secs(ROUNDING) < end
            }) {
                if last.is_none_or(|last| sent.at - last > LOOKUP) {
                    lookups += 1;
                }
                last = Some(sent.at);
            }
            if lookups > 1 {
                let at = said.at - self.start;
                let fault =
                    format!("{:?}, known since {at:?} for {lifetime:?}, was refreshed {lookups} times", said.name);
                faults.push((said.name, fault));
            }
        }
        faults
    }
}
