//! The loop guard: finds out that an upstream sends our questions back to us, frees those that already walk the loop,
//! and keeps it from ever being a weapon.
//!
//! **Three witnesses raise suspicion, one judge convicts.** [`tag`], [`spelling`] and [`silence`] are the witnesses; the
//! front and the engine ask them and tell [`Guard::suspect`]. [`judge`] sends probes ([`probe`]) and gives verdicts
//! ([`verdict`]), which the engine reads; [`report`] tells people. [`run`] is the task around the judge and [`Guard`]
//! the handle on it; [`limits`], [`marks`] and [`mark_support`] say how many probes and which marks. Whoever finds an upstream late tells
//! [`Guard::perhaps_down`], and `health` says by further probes whether it is down. All but `run` and
//! `exchange` is pure, and `crate::simulation` runs it, engine and all, in random networks. A fourth witness would be a file
//! here, a variant of [`Witness`], and a call of `suspect`.
//!
//! # Why it is no weapon
//!
//! Whatever a packet says can be forged, replayed, or provoked by a stranger: somebody's zone may name this node as its
//! name server, so that iterating resolvers bring us our own questions, marks and all. So a witness is never believed;
//! it causes, at most, that *one* flight goes on to its next upstream at once (in the order that the set has anyway,
//! which no witness changes), that the packet that carried the mark gets SERVFAIL (EDE 23) for itself, neither cached
//! nor shared, and that a probe is sent, within limits. In particular:
//!
//! * **Tag.** A stranger who has not seen a tag of ours guesses 64 bits of MAC within 32 s; a hop that has seen one can
//!   replay it for as long, which speaks against the upstream that it was sent through, and no other: one limited
//!   probe, answered, and it is acquitted. Entries of others cannot be checked and only make us do *less*: a question
//!   that has them is asked of one upstream, without hedge, failover or probe; the forger slows his own question. A
//!   full list hides nothing ([`tag`]). What is malformed, over-long or unknown is never relayed. The tag names a
//!   process by a hash that changes with each start and, but to suspects and on probes, does not leave the near networks.
//! * **Spelling.** Only a question in flight is compared, and only with the upstreams that were asked. A hit by chance
//!   or by replay is worth a hint for short names, and never a verdict ([`spelling`] has the figures). A hint costs a
//!   client who asks for more than the flight (DO, CD) 50 ms; it is refused only if a probe of ours comes home about
//!   then ([`Guard::has_probe_come_home`]).
//! * **Silence.** Anyone can own a zone that is slow or fails, so silence is worth a probe of the root; for one zone it
//!   must speak twice. Where a forged source address would have an upstream asked later, that holds among equivalent
//!   upstreams only ([`silence::not_first`]).
//! * **Probe.** It has 64 random bits and a MAC, so nobody brings one home that he has not been sent. Those who have
//!   are the hops behind that upstream, and, under a suffix, the servers of that suffix. A hop could convict only the
//!   upstream that it serves, by withholding the upstream's answer besides, which a hop can do to every question
//!   anyway. A suffix's server could convict the upstream for that suffix, that is for its own names. Once home is not
//!   enough, and an own answer outweighs both. Own is NOERROR or NXDOMAIN only, since we never say that to a probe: a
//!   SERVFAIL may be ours.
//! * **Half a loop.** Who replays what he saw can have an upstream be held to waver. Then a question that he brings back
//!   is asked of it up to three times more, and only where no other upstream is left.
//! * **Limits.** Witnesses provoke a probe a second and six a minute for an upstream, fewer after each acquittal; all
//!   together probes are ten a second at most; the judge's queue drops what is too much; verdicts, suspicions told, and
//!   upstreams remembered are bounded. Which marks an upstream bears is learnt from probes alone, so a client that
//!   provokes FORMERR switches nothing off.
//!
//! A verdict, then, needs the upstream's own doing; and what it takes away is one upstream, for the names under one
//! suffix, until it answers a probe.

use std::time::Duration;

mod exchange;
mod health;
pub mod mark_support;
pub mod returned;
mod upstream_state;

pub mod event;
pub mod judge;
pub mod key;
pub mod limits;
pub mod marks;
pub mod probe;
pub mod report;
pub mod run;
mod settings;
pub mod silence;
pub mod spelling;
pub mod tag;
pub mod verdict;

pub use event::{Action, Event};
pub use judge::Judge;
pub use key::{Bucket, MarkKey, Secret};
pub use mark_support::Marks;
pub use probe::Nonce;
pub use report::Report;
pub use run::{Driver, Guard};
pub use settings::{Mark, Settings};
pub use spelling::Strength;
pub use tag::Passed;
pub use verdict::{Standing, Verdict, Verdicts, Witness};

/// How long a marked packet is held before it alone is answered SERVFAIL with EDE 23: time for the flight's next upstream
/// to answer first.
pub const HOLD: Duration = Duration::from_millis(50);

/// How long a probe that came home is held before it is answered SERVFAIL: time for another server of the hop to answer
/// first. Two of them in a row stand between a client whom nobody else can answer and the verdict that frees it, which is
/// to be had within 100 ms.
pub const PROBE_HOLD: Duration = Duration::from_millis(25);
