//! What the guard knows, as the engine reads it: an immutable snapshot, swapped whole. Pure.

use std::net::IpAddr;
use std::time::Instant;

use super::Settings;
use super::mark_support::Marks;
use crate::upstream::{Transport, UpstreamId};
use crate::wire::{Query, QuestionKey, name};

/// A question, as far as the guard tells questions apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'q> {
    /// Its name, lower-cased wire form.
    pub name: &'q [u8],
    /// Its type.
    pub qtype: u16,
}

/// Who raised a suspicion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Witness {
    /// Our tag came back ([`super::tag`]).
    Tag,
    /// Our spelling came back ([`super::spelling`]).
    Spelling,
    /// An ask ended as a loop would end ([`super::silence`]).
    Silence,
}

/// How an upstream stands, for one question over one transport. Later is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing is held against it.
    Free,
    /// A witness has spoken and the judge has not: keeps its place, and gets all marks that it bears.
    Suspect,
    /// A question or a probe came back through it a moment ago, and yet it answered a probe by itself: keeps its place,
    /// and a question that comes back is asked of it again where nobody else is left. No verdict.
    Intermittent,
    /// Half a loop, which answers as often as not: to be asked when no other is left.
    LastResort,
    /// A loop: not to be asked.
    Quarantined,
}

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Who made us look; none where a probe of routine found it.
    pub witness: Option<Witness>,
    /// The address that our probe came home from, the last hop of the loop.
    pub from: IpAddr,
    /// What our probe came home over.
    pub over: Transport,
    /// How many other Onwards it had passed, as far as its tag survived.
    pub onwards: usize,
}

/// One upstream, over one transport, for the names under one suffix, of all types mostly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whom it is about.
    pub upstream: UpstreamId,
    /// Over what.
    pub transport: Transport,
    /// For which names: lower-cased wire form, the root's one zero for all.
    pub suffix: Box<[u8]>,
    /// The only type that it holds for; none: for all.
    pub qtype: Option<u16>,
    /// [`Standing::Quarantined`] or [`Standing::LastResort`].
    pub standing: Standing,
    /// When it was given.
    pub since: Instant,
    /// What it rests on.
    pub evidence: Evidence,
}

/// All that the guard knows at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    pub(super) given: Vec<Verdict>,
    pub(super) suspects: Vec<(UpstreamId, Transport)>,
    pub(super) wavering: Vec<(UpstreamId, Transport)>,
    pub(super) down: Vec<((UpstreamId, Transport), Instant)>,
    pub(super) marks: Vec<(UpstreamId, Marks)>,
    /// The marks for those that the judge has not heard of yet.
    pub(super) unheard_of: Marks,
}

impl Default for Verdicts {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Verdict {
    /// Whether it holds for a question.
    #[must_use]
    pub fn is_about(&self, asked: Asked<'_>) -> bool {
        self.qtype.is_none_or(|qtype| qtype == asked.qtype) && name::is_within(asked.name, &self.suffix)
    }
}

impl<'q> From<&'q QuestionKey> for Asked<'q> {
    fn from(key: &'q QuestionKey) -> Self {
        Self { name: key.name(), qtype: key.qtype() }
    }
}

impl<'q> From<&'q Query> for Asked<'q> {
    fn from(query: &'q Query) -> Self {
        Self { name: query.name(), qtype: query.qtype() }
    }
}

#[cfg(test)]
impl Verdicts {
    /// These upstreams loop over UDP, for all names.
    pub(crate) fn of_loops(upstreams: impl Iterator<Item = UpstreamId>) -> Self {
        let evidence = Evidence { witness: None, from: [10, 0, 0, 9].into(), over: Transport::Udp, onwards: 0 };
        let given = upstreams.map(|upstream| Verdict {
            upstream,
            transport: Transport::Udp,
            suffix: [0].into(),
            qtype: None,
            standing: Standing::Quarantined,
            since: crate::clock::now(),
            evidence: evidence.clone(),
        });
        Self { given: given.collect(), ..Self::default() }
    }

    /// These upstreams are down over UDP since then.
    pub(crate) fn of_down(upstreams: impl Iterator<Item = UpstreamId>, since: Instant) -> Self {
        Self { down: upstreams.map(|upstream| ((upstream, Transport::Udp), since)).collect(), ..Self::default() }
    }

    /// This upstream is suspect, and queries to it are spelled.
    pub(crate) fn of_suspect(upstream: UpstreamId) -> Self {
        let suspects = vec![(upstream, Transport::Udp)];
        Self { suspects, marks: vec![(upstream, Marks { tag: false, ..Marks::ALL })], ..Self::default() }
    }

    /// All queries are spelled.
    pub(crate) fn that_spell() -> Self {
        Self::new(Settings { spelling: crate::guard::Mark::Always, ..Settings::default() })
    }

    /// This upstream wavers over UDP.
    pub(crate) fn of_wavering(upstream: UpstreamId) -> Self {
        Self { wavering: vec![(upstream, Transport::Udp)], ..Self::default() }
    }
}

impl Verdicts {
    /// Nothing is known.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let unheard_of = settings.marks(Marks::ALL, false, false);
        Self {
            given: Vec::new(),
            suspects: Vec::new(),
            wavering: Vec::new(),
            down: Vec::new(),
            marks: Vec::new(),
            unheard_of,
        }
    }

    /// How `upstream` stands for a question. Costs nothing while nothing is held against any upstream.
    #[must_use]
    pub fn standing(&self, upstream: UpstreamId, transport: Transport, asked: Asked<'_>) -> Standing {
        let is_in = |list: &[_]| list.contains(&(upstream, transport));
        let without = match (is_in(&self.wavering), is_in(&self.suspects)) {
            (true, _) => Standing::Intermittent,
            (false, true) => Standing::Suspect,
            (false, false) => Standing::Free,
        };
        self.find(upstream, transport, asked).map_or(without, |verdict| verdict.standing)
    }

    /// The verdict that holds for that question, to name it and its evidence.
    #[must_use]
    pub fn find(&self, upstream: UpstreamId, transport: Transport, asked: Asked<'_>) -> Option<&Verdict> {
        self.given
            .iter()
            .filter(|verdict| (verdict.upstream, verdict.transport) == (upstream, transport))
            .filter(|verdict| verdict.is_about(asked))
            .max_by_key(|verdict| verdict.standing)
    }

    /// Since when nothing was heard of `upstream` over this transport, where it is down: it met health probes with
    /// silence. What it said to a query since then outweighs that ([`super::Guard::is_alive`]).
    #[must_use]
    pub fn down_since(&self, upstream: UpstreamId, transport: Transport) -> Option<Instant> {
        self.down.iter().find(|(whom, _)| *whom == (upstream, transport)).map(|(_, since)| *since)
    }

    /// Whether any upstream is down.
    #[must_use]
    pub fn is_any_down(&self) -> bool {
        !self.down.is_empty()
    }

    /// Whether all queries are to be spelled, whatever comes of that.
    #[must_use]
    pub fn spells_always(&self) -> bool {
        self.unheard_of.spelling
    }

    /// All verdicts, for people.
    #[must_use]
    pub fn all(&self) -> &[Verdict] {
        &self.given
    }

    /// The marks that a query to `upstream` is to carry now.
    #[must_use]
    pub fn marks(&self, upstream: UpstreamId) -> Marks {
        self.marks.iter().find(|(number, _)| *number == upstream).map_or(self.unheard_of, |(_, marks)| *marks)
    }
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tag => "tag",
            Self::Spelling => "spelling",
            Self::Silence => "silence",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Mark;
    use crate::wire::name::wire;

    #[test]
    fn what_the_settings_forbid_is_not_sent_before_the_judge_has_begun_either() {
        let marks = |tag, spelling| Verdicts::new(Settings { tag, spelling }).marks(UpstreamId(1));
        assert_eq!(marks(Mark::Auto, Mark::Auto), Marks { opt: true, ..Marks::NONE });
        assert_eq!(marks(Mark::Always, Mark::Never), Marks { spelling: false, ..Marks::ALL });
        assert_eq!(marks(Mark::Never, Mark::Always), Marks { tag: false, ..Marks::ALL });
    }

    #[test]
    fn a_verdict_holds_for_its_transport_and_suffix_only() {
        let evidence = Evidence { witness: None, from: [127, 0, 0, 1].into(), over: Transport::Udp, onwards: 0 };
        let verdict = |suffix: &str, standing| Verdict {
            upstream: UpstreamId(1),
            transport: Transport::Udp,
            suffix: wire(suffix).into(),
            qtype: None,
            standing,
            since: crate::clock::now(),
            evidence: evidence.clone(),
        };
        let verdicts = Verdicts {
            given: vec![verdict("corp.example", Standing::Quarantined), verdict("example", Standing::LastResort)],
            suspects: vec![(UpstreamId(1), Transport::Udp)],
            wavering: vec![(UpstreamId(3), Transport::Udp)],
            ..Verdicts::default()
        };
        let standing = |number, transport, name: &str| {
            verdicts.standing(UpstreamId(number), transport, Asked { name: &wire(name), qtype: 1 })
        };
        assert_eq!(standing(1, Transport::Udp, "a.corp.example"), Standing::Quarantined);
        assert_eq!(standing(1, Transport::Udp, "a.example"), Standing::LastResort);
        assert_eq!(standing(1, Transport::Udp, "other.test"), Standing::Suspect);
        assert_eq!(standing(1, Transport::Tcp, "a.corp.example"), Standing::Free);
        assert_eq!(standing(2, Transport::Udp, "a.corp.example"), Standing::Free);
        assert_eq!(standing(3, Transport::Udp, "a.corp.example"), Standing::Intermittent);
    }

    #[test]
    fn a_verdict_for_one_type_holds_for_no_other() {
        let evidence = Evidence { witness: None, from: [127, 0, 0, 1].into(), over: Transport::Udp, onwards: 0 };
        let verdict = Verdict {
            upstream: UpstreamId(1),
            transport: Transport::Udp,
            suffix: wire("").into(),
            qtype: Some(28),
            standing: Standing::Quarantined,
            since: crate::clock::now(),
            evidence,
        };
        let is_about = |qtype| verdict.is_about(Asked { name: &wire("www.example"), qtype });
        assert!(is_about(28) && !is_about(1));
    }
}
