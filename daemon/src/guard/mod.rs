//! The loop guard: finds out that an upstream sends our questions back to us, frees those that already walk the loop,
//! and keeps it from ever being a weapon.
//!
//! **Three witnesses raise suspicion, one judge convicts.** [`tag`], [`spelling`] and [`silence`] are the witnesses;
//! the front and the engine ask them and tell [`Guard::suspect`]. [`judge`] sends probes ([`probe`]) and gives verdicts
//! ([`verdict`]), which the engine reads; [`report`] tells people. [`run`] is the task around the judge and [`Guard`]
//! the handle on it; [`limits`], [`marks`] and [`mark_support`] say how many probes and which marks. Whoever finds an
//! upstream late tells [`Guard::perhaps_down`], and `health` says by further probes whether it is down. All but
//! `handle`, `run` and `exchange` is pure, and `crate::simulation` runs it, engine and all, in random networks. A
//! fourth witness would be a file here, a variant of [`Witness`], and a call of `suspect`.
//!
//! Why it cannot be made a weapon is argued in `daemon/THREATS.md`: a witness is never believed, and costs a few probes
//! at most.

use std::time::Duration;

mod case;
mod exchange;
mod handle;
mod health;
pub(crate) mod mark_support;
pub(crate) mod returned;
mod suffix;
mod upstream_state;

pub(crate) mod event;
pub(crate) mod judge;
pub(crate) mod key;
pub(crate) mod limits;
pub(crate) mod marks;
pub(crate) mod probe;
pub(crate) mod remedy;
pub(crate) mod report;
pub(crate) mod run;
mod settings;
pub(crate) mod silence;
pub(crate) mod spelling;
pub(crate) mod tag;
pub(crate) mod verdict;

pub use event::{Action, Event};
pub(crate) use exchange::{AskOverTls, PROBE_PATIENCE};
pub use handle::Guard;
pub(crate) use judge::Counters as JudgeCounters;
pub use judge::Judge;
pub use key::{MarkKey, Secret};
pub(crate) use mark_support::Marks;
pub(crate) use probe::Nonce;
pub(crate) use report::Report;
#[cfg(test)]
pub(crate) use run::Driver;
pub use settings::{Mark, Settings};
pub(crate) use spelling::Strength;
pub use tag::Passed;
pub(crate) use tag::Relay;
pub use verdict::Verdicts;
pub(crate) use verdict::{Asked, Standing, Witness};

/// How long a marked packet is held before it alone is answered SERVFAIL with EDE 23: time for the lookup's next
/// upstream to answer first.
pub(crate) const HOLD: Duration = Duration::from_millis(50);

/// Time for which a probe that came home is held before it is answered SERVFAIL: another server of the hop may answer
/// first. Where no other upstream can answer a client, it waits for two such probes in a row, and then for the verdict,
/// which must be given within 100 ms.
pub(crate) const PROBE_HOLD: Duration = Duration::from_millis(25);
