//! Which marks an upstream bears, learnt by paired probes: the same question with a mark and without. Pure.
//!
//! Some servers answer FORMERR to an option that they do not know, some drop the query, some fail over only without OPT
//! (dnsmasq with strict-order), some change the spelling. What clients ask teaches nothing, or a client could have the
//! tag switched off by provoking errors. A mark is given up only where probes without it were answered before and
//! after, and two with it were not; so an upstream that is down, or a lost packet, teaches nothing either.

/// The marks that an upstream bears, or the marks that a query carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// An OPT record (RFC 6891).
    pub opt: bool,
    /// The tag in it ([`super::tag`]).
    pub tag: bool,
    /// A spelled name ([`super::spelling`]).
    pub spelling: bool,
}

impl Marks {
    /// Everything.
    pub const ALL: Self = Self { opt: true, tag: true, spelling: true };
    /// Nothing.
    pub const NONE: Self = Self { opt: false, tag: false, spelling: false };
}

/// A failed probe is tried once more before it counts.
const TRIES: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Without any mark: does it answer at all?
    Plain,
    Opt,
    Tag,
    Spelling,
    /// Without any mark once more: did it answer all the while?
    Again,
}

/// A series of probes that finds out what one upstream bears.
#[derive(Debug, Clone)]
pub(crate) struct SupportTest {
    step: Step,
    failed: u8,
    found: Marks,
}

/// What follows from a probe of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another probe, with these marks.
    Ask(Marks),
    /// This is what it bears.
    Learnt(Marks),
    /// Nothing can be learnt now.
    GaveUp,
}

impl SupportTest {
    /// A new lesson; its first probe carries no marks.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { step: Step::Plain, failed: 0, found: Marks::NONE }
    }

    /// The marks of the probe that is due.
    #[must_use]
    pub(crate) fn marks(&self) -> Marks {
        match self.step {
            Step::Plain | Step::Again => Marks::NONE,
            Step::Opt => Marks { opt: true, ..Marks::NONE },
            Step::Tag => Marks { opt: true, tag: true, spelling: false },
            Step::Spelling => Marks { opt: self.found.opt, tag: false, spelling: true },
        }
    }

    /// What is known to be borne up to now: nothing is taken for granted once a probe without marks was answered.
    #[must_use]
    pub(crate) fn so_far(&self) -> Option<Marks> {
        (self.step != Step::Plain).then_some(self.found)
    }

    /// Takes how the due probe went: `own` where the upstream answered it by itself, `kept` where that answer had the
    /// name as spelled.
    pub(crate) fn heard(&mut self, own: bool, kept: bool) -> Next {
        if !own {
            self.failed += 1;
            if self.failed < TRIES {
                return Next::Ask(self.marks());
            }
        }
        self.failed = 0;
        self.step = match (self.step, own) {
            (Step::Plain | Step::Again, false) => return Next::GaveUp,
            (Step::Plain, true) => Step::Opt,
            (Step::Opt, true) => {
                self.found.opt = true;
                Step::Tag
            }
            (Step::Opt, false) => Step::Spelling,
            (Step::Tag, borne) => {
                self.found.tag = borne;
                Step::Spelling
            }
            (Step::Spelling, borne) => {
                self.found.spelling = borne && kept;
                Step::Again
            }
            (Step::Again, true) => return Next::Learnt(self.found),
        };
        Next::Ask(self.marks())
    }
}

impl Default for SupportTest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets an upstream that answers as `answers` says (own, kept) go through a lesson.
    fn learn(mut answers: impl FnMut(Marks) -> (bool, bool)) -> (Next, usize) {
        let mut lesson = SupportTest::new();
        let mut marks = lesson.marks();
        for asked in 1..20 {
            let (own, kept) = answers(marks);
            match lesson.heard(own, kept) {
                Next::Ask(next) => marks = next,
                end => return (end, asked),
            }
        }
        panic!("a lesson without end");
    }

    #[test]
    fn each_mark_that_is_not_borne_is_found_out() {
        assert_eq!(learn(|_| (true, true)), (Next::Learnt(Marks::ALL), 5));
        let no_opt = Marks { opt: false, tag: false, spelling: true };
        assert_eq!(learn(|m| (!m.opt, true)), (Next::Learnt(no_opt), 5));
        let no_tag = Marks { opt: true, tag: false, spelling: true };
        assert_eq!(learn(|m| (!m.tag, true)), (Next::Learnt(no_tag), 6));
        let no_spelling = Marks { opt: true, tag: true, spelling: false };
        assert_eq!(learn(|m| (true, !m.spelling)), (Next::Learnt(no_spelling), 5));
        assert_eq!(learn(|m| (!m.spelling, true)), (Next::Learnt(no_spelling), 6));
        assert_eq!(learn(|m| (m == Marks::NONE, true)).0, Next::Learnt(Marks::NONE));
    }

    #[test]
    fn one_that_is_down_or_goes_down_teaches_nothing() {
        assert_eq!(learn(|_| (false, true)), (Next::GaveUp, 2));
        let mut asked = 0;
        let dies = |_| {
            asked += 1;
            (asked < 3, true)
        };
        assert_eq!(learn(dies).0, Next::GaveUp);
    }

    #[test]
    fn a_lost_packet_teaches_nothing() {
        for lost in 1..=5 {
            let mut asked = 0;
            let loses = |_| {
                asked += 1;
                (asked != lost, true)
            };
            assert_eq!(learn(loses).0, Next::Learnt(Marks::ALL), "packet {lost}");
        }
    }
}
