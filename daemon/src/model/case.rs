//! One response in its world: which server could have been expected to answer, and whether its word counts.

use std::time::Duration;

use super::reference::{LOOKUP, SETTLED};
use super::server::{HOSTS, Name, Otherwise, Server, TooLong};

/// Maximum latency of a server that takes none of the time of others.
pub(super) const QUICK: Duration = Duration::from_millis(80);

/// A response to a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'c> {
    pub(super) name: Name,
    /// When the client asked, since the start of the world.
    pub(super) from: Duration,
    /// When it was answered.
    pub(super) to: Duration,
    /// The servers in the order in which they are asked.
    pub(super) order: &'c [usize],
    pub(super) servers: &'c [Server],
}

impl Case<'_> {
    /// Whether a server has an address for the name.
    pub(super) fn knows(&self, server: usize) -> bool {
        self.servers[server].knows.contains(&self.name.zone)
    }

    /// Whether a server is asked before another.
    pub(super) fn is_before(&self, server: usize, other: usize) -> bool {
        self.order.iter().find(|one| [server, other].contains(*one)) == Some(&server) && server != other
    }

    /// The first server in the order that has an answer to the query itself, and was there from long before it.
    pub(super) fn first_good(&self) -> Option<usize> {
        let is_long = self.name.host == HOSTS - 1;
        // A server may have too much for a datagram and give it over no stream, which no other is believed to deny, or
        // over a slow one, which takes the client's time, or over one that it no longer answers, being out by then.
        let takes_time = |server: &Server| match server.too_long {
            TooLong::Never => false,
            TooLong::NoStream => true,
            TooLong::Streams | TooLong::CutsInARecord => server.latency > QUICK || server.is_out(self.from, self.to),
        };
        if is_long && self.servers.iter().any(takes_time) {
            return None;
        }
        self.order.iter().copied().find(|server| {
            let has_answer = self.knows(*server) || self.servers[*server].otherwise == Otherwise::NxDomain;
            let fits = !is_long || self.servers[*server].too_long == TooLong::Never;
            has_answer && fits && self.speaks(*server) && self.servers[*server].latency <= QUICK
        })
    }

    /// The same, where no change of the world can excuse Onward: it had time to learn what there is.
    pub(super) fn settled_good(&self) -> Option<usize> {
        (self.from >= SETTLED).then(|| self.first_good()).flatten()
    }

    /// Whether what `good` says ends an old address: an address does unless a server before it denies the name, and a
    /// denial does where all servers before it say that the name is not theirs.
    pub(super) fn ends_the_old(&self, good: usize) -> bool {
        let mut before = self.order.iter().copied().take_while(|server| *server != good);
        let denies = |server: usize| self.servers[server].otherwise == Otherwise::NxDomain && !self.knows(server);
        let declines = |server: usize| {
            let declines = matches!(self.servers[server].otherwise, Otherwise::Refused | Otherwise::Lame);
            declines && !self.knows(server) && self.speaks(server)
        };
        if self.knows(good) { !before.any(denies) } else { before.all(declines) }
    }

    /// Whether a server says anything of the name, did all the time, and is not held to be down meanwhile.
    fn speaks(&self, server: usize) -> bool {
        let server = &self.servers[server];
        !server.silent_for.contains(&self.name.zone)
            && !server.may_seem_down(self.to)
            && !server.is_out(self.from.saturating_sub(SETTLED), self.to + LOOKUP)
    }
}
