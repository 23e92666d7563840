//! What an engine keeps of each upstream that it asks: its health over each transport, its sockets, a name that it has
//! answered.

use std::time::{Duration, Instant};

use super::counters::Counting;
use super::form::Borne;
use super::health::Health;
use super::lookup::AttemptId;
use super::pool::Pool;
use crate::upstream::{Transport, UpstreamId};

/// Time until the name that an upstream has answered is replaced by a later one.
const NAME_LIFE: Duration = Duration::from_secs(10);
/// Minimum time between two times that the guard is told that an upstream may bear no OPT.
const EDNS_DOUBTS: Duration = Duration::from_secs(1);

/// One upstream.
pub(super) struct Peer {
    pub(super) id: UpstreamId,
    pub(super) pool: Pool<AttemptId>,
    /// The form of queries that it bears.
    pub(super) borne: Borne,
    udp: Health,
    tcp: Health,
    tls: Health,
    answered: Option<(Box<[u8]>, Instant)>,
    edns_doubted: Option<Instant>,
    /// What it was asked, and what came of it.
    pub(super) counters: Counting,
}

impl Peer {
    /// One of which nothing is known, with room for that many sockets.
    pub(super) fn new(id: UpstreamId, sockets: usize) -> Self {
        Self {
            id,
            pool: Pool::new(sockets),
            borne: Borne::default(),
            udp: Health::default(),
            tcp: Health::default(),
            tls: Health::default(),
            answered: None,
            edns_doubted: None,
            counters: Counting::default(),
        }
    }

    /// Its health over `transport`.
    pub(super) fn health(&self, transport: Transport) -> &Health {
        match transport {
            Transport::Udp => &self.udp,
            Transport::Tcp => &self.tcp,
            Transport::Tls => &self.tls,
        }
    }

    /// The same, to be changed.
    pub(super) fn health_mut(&mut self, transport: Transport) -> &mut Health {
        match transport {
            Transport::Udp => &mut self.udp,
            Transport::Tcp => &mut self.tcp,
            Transport::Tls => &mut self.tls,
        }
    }

    /// Keeps a name (lower-cased wire form) that it has answered. A no-op where there is one of late.
    pub(super) fn has_answered(&mut self, name: &[u8], now: Instant) {
        let is_new = |(_, at): &(Box<[u8]>, Instant)| now.saturating_duration_since(*at) < NAME_LIFE;
        if !self.answered.as_ref().is_some_and(is_new) {
            self.answered = Some((name.into(), now));
        }
    }

    /// Whether the guard may be told now that it may bear no OPT; if so, the next time is a while away.
    pub(super) fn may_doubt_edns(&mut self, now: Instant) -> bool {
        let is_due = self.edns_doubted.is_none_or(|last| now.saturating_duration_since(last) >= EDNS_DOUBTS);
        if is_due {
            self.edns_doubted = Some(now);
        }
        is_due
    }

    /// A name that it has answered, if there is one.
    pub(super) fn answered(&self) -> Option<Box<[u8]>> {
        self.answered.as_ref().map(|(name, _)| name.clone())
    }
}

/// Few, so that one is found soonest by looking at each.
#[derive(Default)]
pub(super) struct Peers(pub(super) Vec<Peer>);

impl Peers {
    pub(super) fn get(&self, id: UpstreamId) -> Option<&Peer> {
        self.0.iter().find(|peer| peer.id == id)
    }

    /// The upstream's place, made with room for that many sockets where there is none yet.
    pub(super) fn of(&mut self, id: UpstreamId, sockets: usize) -> &mut Peer {
        let at = self.0.iter().position(|peer| peer.id == id).unwrap_or_else(|| {
            self.0.push(Peer::new(id, sockets));
            self.0.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "it was found there, or put there")]
        &mut self.0[at]
    }

    pub(super) fn get_mut(&mut self, id: UpstreamId) -> Option<&mut Peer> {
        self.0.iter_mut().find(|peer| peer.id == id)
    }
}
