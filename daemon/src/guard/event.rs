//! What the judge hears and what it wants done: the whole of its conversation with the rest of the program.

use std::net::IpAddr;
use std::sync::Arc;

use super::key::MarkKey;
use super::probe::{Nonce, ProbeReply};
use super::report::Report;
use super::verdict::{Verdicts, Witness};
use crate::upstream::{Transport, Upstream, UpstreamId, UpstreamSet};

/// What the judge is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// A witness speaks against an upstream.
    Witness {
        /// Whom.
        upstream: UpstreamId,
        /// Over what it was asked.
        transport: Transport,
        /// Who.
        witness: Witness,
        /// The suspected question's name, lower-cased wire form.
        name: Box<[u8]>,
        /// The suspected question's type.
        qtype: u16,
    },
    /// An upstream that something is held against answered a query by itself.
    Answered {
        /// Which.
        upstream: UpstreamId,
        /// The query's name, lower-cased wire form.
        name: Box<[u8]>,
    },
    /// CoreDNS's `loop` plugin sent its query: a CoreDNS near us checks whether it is in a loop.
    LoopPlugin,
    /// A probe of ours arrived at our door.
    ProbeHome {
        /// Which.
        nonce: Nonce,
        /// Who brought it.
        from: IpAddr,
        /// Over what.
        over: Transport,
        /// How many other Onwards its tag had passed.
        onwards: usize,
    },
    /// A probe's time is over: what the upstream said, if anything.
    ProbeOver {
        /// Which.
        nonce: Nonce,
        /// None: no answer in time, or nobody there.
        heard: Option<ProbeReply>,
    },
    /// An upstream lets queries wait: is it down? Only a health probe that meets silence says so.
    PerhapsDown {
        /// Which.
        upstream: UpstreamId,
        /// Over what.
        transport: Transport,
        /// A name that it has answered before, lower-cased wire form, where one is known.
        answered: Option<Box<[u8]>>,
    },
    /// An upstream may bear no OPT any more.
    PerhapsNoEdns {
        /// Which.
        upstream: UpstreamId,
    },
    /// An upstream that is held to be down said something.
    Alive {
        /// Which.
        upstream: UpstreamId,
        /// Over what.
        transport: Transport,
    },
    /// Other upstreams.
    SetChanged(Arc<UpstreamSet>),
    /// Another key, since the node's addresses changed.
    KeyChanged(Arc<MarkKey>),
    /// [`super::Judge::due`] has come.
    Tick,
}

/// What the judge wants done.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send this, and tell the outcome by [`Event::ProbeOver`] within a few seconds.
    SendProbe {
        /// Which.
        nonce: Nonce,
        /// To whom.
        upstream: Arc<Upstream>,
        /// Over what.
        transport: Transport,
        /// The whole message.
        message: Vec<u8>,
    },
    /// From now on this holds.
    Publish(Arc<Verdicts>),
    /// Tell people.
    Tell(Box<Report>),
}
