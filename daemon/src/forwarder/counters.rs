//! What a worker counts: every event that a person may ask for. Plain numbers that one thread owns, so that counting
//! costs no lock and no cache line that another thread writes to. Whoever wants them asks the worker
//! ([`super::Forwarder::report`]), and adds up what all of them say.
//!
//! What upstreams do is counted where it happens (`exchange`), and what the guard does by the guard.

use crate::exchange::{Failure, Histogram};
use crate::upstream::Transport;
use crate::wire::flag;

/// The numbers since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Queries that were answered from the cache.
    pub hits: PerQuery,
    /// Queries that got a stale answer at once.
    pub stale: PerQuery,
    /// Queries that had to be asked, or joined a lookup.
    pub misses: PerQuery,
    /// Queries that Onward answered itself, by [`Local`].
    pub local: PerReason<{ Local::COUNT }>,
    /// Misses for names of the cluster's, which were forwarded.
    pub cluster_forwarded: u64,
    /// Packets that got silence.
    pub dropped: u64,
    /// Lookups that renew what is in the cache.
    pub refreshes: u64,
    /// Queries that were held, as perhaps ours come back.
    pub held: u64,
    /// Clients that waited and got what an upstream said.
    pub answered: u64,
    /// Clients that waited and got a stale answer.
    pub waited_stale: u64,
    /// Clients that waited and got SERVFAIL, by [`Failure`].
    pub failures: PerReason<4>,
    /// Responses to clients.
    pub responses: PerRcode,
    /// How long clients waited whose query was not in the cache.
    pub waits: Histogram,
}

/// A number for each response code, without the upper bits of EDNS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerRcode([u64; 16]);

/// A number for each kind of query over each transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerQuery([[u64; QueryKind::COUNT]; 2]);

/// A number for each of several reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerReason<const COUNT: usize>([u64; COUNT]);

/// What a query asks for, as far as it is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// A name for an address.
    Ptr,
    /// A service.
    Srv,
    /// Parameters of a service over HTTPS.
    Https,
    /// Anything else.
    Other,
}

/// Why Onward answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// The client may not ask.
    NotAllowed,
    /// It cannot be read, or is of a kind that is not served.
    NotServed,
    /// It is the question of CoreDNS's `loop` plugin.
    LoopPlugin,
    /// Its name is one that no upstream may speak for.
    SpecialName,
    /// A hosts file of the node has its name.
    HostsFile,
    /// Its name is the cluster's.
    ClusterName,
    /// It is not in the cache, and may not be asked.
    NoRecursion,
    /// It is a probe of ours come home.
    OwnProbe,
    /// It is ours come back.
    Returned,
    /// There is no room for it.
    Full,
}

impl QueryKind {
    const COUNT: usize = Self::ALL.len();

    /// Each of them.
    pub const ALL: [Self; 6] = [Self::A, Self::Aaaa, Self::Ptr, Self::Srv, Self::Https, Self::Other];

    /// As metrics have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Https => "HTTPS",
            Self::Other => "other",
        }
    }

    /// The kind of a record type (IANA, "Resource Record TYPEs").
    #[inline]
    #[must_use]
    pub fn of(qtype: u16) -> Self {
        match qtype {
            1 => Self::A,
            28 => Self::Aaaa,
            12 => Self::Ptr,
            33 => Self::Srv,
            65 => Self::Https,
            _ => Self::Other,
        }
    }
}

impl Local {
    const COUNT: usize = Self::ALL.len();

    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::NotAllowed,
        Self::NotServed,
        Self::LoopPlugin,
        Self::SpecialName,
        Self::HostsFile,
        Self::ClusterName,
        Self::NoRecursion,
        Self::OwnProbe,
        Self::Returned,
        Self::Full,
    ];

    /// As metrics have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::NotServed => "not_served",
            Self::LoopPlugin => "loop_plugin",
            Self::SpecialName => "special_name",
            Self::HostsFile => "hosts_file",
            Self::ClusterName => "cluster_name",
            Self::NoRecursion => "no_recursion",
            Self::OwnProbe => "own_probe",
            Self::Returned => "returned",
            Self::Full => "full",
        }
    }
}

impl PerQuery {
    /// Counts a query.
    #[inline]
    pub(super) fn raise(&mut self, transport: Transport, qtype: u16) {
        let numbers = self.0.get_mut(transport_index(transport));
        if let Some(number) = numbers.and_then(|numbers| numbers.get_mut(QueryKind::of(qtype) as usize)) {
            *number += 1;
        }
    }

    /// The number of queries of this kind over this transport.
    #[must_use]
    pub fn of(&self, transport: Transport, kind: QueryKind) -> u64 {
        let numbers = self.0.get(transport_index(transport));
        numbers.and_then(|numbers| numbers.get(kind as usize)).copied().unwrap_or(0)
    }

    /// The number of all queries.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.as_flattened().iter().sum()
    }
}

#[inline]
fn transport_index(transport: Transport) -> usize {
    match transport {
        Transport::Udp => 0,
        Transport::Tcp | Transport::Tls => 1,
    }
}

impl PerRcode {
    /// Counts a response by its bytes.
    #[inline]
    pub(super) fn raise(&mut self, response: &[u8]) {
        let code = response.get(3).copied().unwrap_or(0) & flag::RCODE;
        if let Some(number) = self.0.get_mut(usize::from(code)) {
            *number += 1;
        }
    }

    /// The numbers, by response code.
    #[must_use]
    pub fn all(&self) -> &[u64] {
        &self.0
    }
}

impl<const COUNT: usize> Default for PerReason<COUNT> {
    fn default() -> Self {
        Self([0; COUNT])
    }
}

impl<const COUNT: usize> PerReason<COUNT> {
    fn raise(&mut self, reason: usize, by: u64) {
        if let Some(number) = self.0.get_mut(reason) {
            *number += by;
        }
    }

    fn get(&self, reason: usize) -> u64 {
        self.0.get(reason).copied().unwrap_or(0)
    }
}

impl Counters {
    /// Counts a query that Onward answers itself.
    pub(super) fn answered_locally(&mut self, why: Local) {
        self.local.raise(why as usize, 1);
    }

    /// The number of queries that Onward answered itself for this reason.
    #[must_use]
    pub fn local(&self, why: Local) -> u64 {
        self.local.get(why as usize)
    }

    /// Counts clients that waited in vain.
    pub(super) fn failed(&mut self, why: Failure, clients: usize) {
        self.failures.raise(failure_index(why), u64::try_from(clients).unwrap_or(u64::MAX));
    }

    /// The number of clients that waited in vain, for this reason; whichever upstream loops.
    #[must_use]
    pub fn failures(&self, why: Failure) -> u64 {
        self.failures.get(failure_index(why))
    }

    /// The number of clients that waited in vain.
    #[must_use]
    pub fn all_failures(&self) -> u64 {
        self.failures.0.iter().sum()
    }

    /// The number of queries that Onward answered itself.
    #[must_use]
    pub fn all_local(&self) -> u64 {
        self.local.0.iter().sum()
    }

    /// Adds what another thread has counted.
    pub fn add(&mut self, other: &Self) {
        let Self {
            hits,
            stale,
            misses,
            cluster_forwarded,
            local,
            dropped,
            refreshes,
            held,
            answered,
            waited_stale,
            failures,
            responses,
            waits,
        } = self;
        for (mine, theirs) in [(hits, &other.hits), (stale, &other.stale), (misses, &other.misses)] {
            add(mine.0.as_flattened_mut(), theirs.0.as_flattened());
        }
        add(&mut local.0, &other.local.0);
        add(&mut failures.0, &other.failures.0);
        add(&mut responses.0, &other.responses.0);
        waits.add(&other.waits);
        let mine = [dropped, refreshes, held, answered, waited_stale, cluster_forwarded];
        let theirs =
            [other.dropped, other.refreshes, other.held, other.answered, other.waited_stale, other.cluster_forwarded];
        mine.into_iter().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
    }
}

fn failure_index(why: Failure) -> usize {
    match why {
        Failure::NoUpstream => 0,
        Failure::NoAnswer => 1,
        Failure::Loops(_) => 2,
        Failure::Untrusted(..) => 3,
    }
}

fn add(mine: &mut [u64], theirs: &[u64]) {
    mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_adds_up() {
        let mut one = Counters::default();
        one.hits.raise(Transport::Udp, 1);
        one.misses.raise(Transport::Udp, 28);
        let mut other = one.clone();
        other.hits.raise(Transport::Tcp, 999);
        other.answered_locally(Local::Full);
        other.failed(Failure::NoAnswer, 3);
        other.dropped = 7;
        other.responses.raise(&[0, 0, 0x81, 0x83]);
        other.waits.record(std::time::Duration::from_millis(3));
        one.add(&other);
        assert_eq!([one.hits.of(Transport::Udp, QueryKind::A), one.hits.of(Transport::Tcp, QueryKind::Other)], [2, 1]);
        assert_eq!([one.hits.total(), one.misses.of(Transport::Udp, QueryKind::Aaaa), one.stale.total()], [3, 2, 0]);
        assert_eq!([one.local(Local::Full), one.local(Local::Returned), one.dropped], [1, 0, 7]);
        assert_eq!((one.responses.all()[3], one.waits.count()), (1, 1));
        assert_eq!([one.failures(Failure::NoAnswer), one.failures(Failure::NoUpstream)], [3, 0]);
    }
}
