//! Which marks a query carries: what the settings want, what the upstream bears, how near it is. Pure.

use std::time::{Duration, Instant};

use super::mark_support::{Marks, Next, SupportTest};
use super::{Mark, Settings};

/// What was learnt is learnt again after this time.
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// A lesson that came to nothing is not begun again before this.
const RETRY: Duration = Duration::from_secs(60);

/// What is known of one upstream.
#[derive(Debug, Clone)]
pub(super) struct Known {
    bears: Marks,
    learnt: Option<Instant>,
    begun: Option<Instant>,
    lesson: Option<SupportTest>,
}

impl Default for Known {
    fn default() -> Self {
        Self { bears: Marks::ALL, learnt: None, begun: None, lesson: None }
    }
}

impl Settings {
    /// The marks for ordinary queries to an upstream that bears `bears`. The tag tells a stranger about us, so in auto
    /// mode it goes to near upstreams, and to others while they are suspect. Spelled names are for suspects alone:
    /// servers that compare the letters of their own names are common, and no probe can tell.
    #[must_use]
    pub fn marks(self, bears: Marks, near: bool, suspect: bool) -> Marks {
        let spelling = wants(self.spelling, bears.spelling && suspect);
        let tag = wants(self.tag, bears.tag && (near || suspect));
        Marks { opt: bears.opt || tag, tag, spelling }
    }
}

fn wants(mode: Mark, auto: bool) -> bool {
    match mode {
        Mark::Auto => auto,
        Mark::Always => true,
        Mark::Never => false,
    }
}

impl Known {
    /// What it bears. While that is being learnt again, only what was found up to now: marks that it does not bear
    /// would make it look dead meanwhile.
    pub(super) fn bears(&self) -> Marks {
        self.lesson.as_ref().and_then(SupportTest::so_far).unwrap_or(self.bears)
    }

    /// The upstream answered a probe with `marks`, and the name came back as spelled or not. Returns what was learnt by
    /// that, where it is new.
    pub(super) fn answered(&mut self, marks: Marks, kept: bool, now: Instant) -> Option<Marks> {
        let changes = marks.spelling && !kept && self.bears.spelling;
        self.bears.spelling &= !changes;
        if marks == Marks::ALL {
            self.learnt = Some(now);
        }
        changes.then_some(self.bears)
    }

    /// Begins a lesson, unless one is under way or was lately. Returns whether its first probe is to be sent.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let lately = self.begun.is_some_and(|at| now.saturating_duration_since(at) < RETRY);
        if self.lesson.is_some() || lately {
            return false;
        }
        self.begun = Some(now);
        self.lesson = Some(SupportTest::new());
        true
    }

    /// Whether something is held not to be borne that may have changed.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        self.bears != Marks::ALL && self.learnt.is_some_and(|at| now.saturating_duration_since(at) >= AGAIN)
    }

    /// The marks of the lesson's due probe.
    pub(super) fn lesson_marks(&self, settings: Settings) -> Marks {
        let marks = self.lesson.as_ref().map_or(Marks::NONE, SupportTest::marks);
        // What is never sent need not be learnt.
        let (tag, spelling) = (settings.tag != Mark::Never, settings.spelling != Mark::Never);
        Marks { opt: marks.opt, tag: marks.tag && tag, spelling: marks.spelling && spelling }
    }

    /// Takes how a probe of the lesson went. Returns whether another is to be sent, and what was learnt where it is
    /// new.
    pub(super) fn heard(&mut self, own: bool, kept: bool, now: Instant) -> (bool, Option<Marks>) {
        let Some(lesson) = &mut self.lesson else { return (false, None) };
        match lesson.heard(own, kept) {
            Next::Ask(_) => (true, None),
            Next::GaveUp => {
                self.lesson = None;
                (false, None)
            }
            Next::Learnt(bears) => {
                self.lesson = None;
                self.learnt = Some(now);
                let news = (bears != self.bears).then_some(bears);
                self.bears = bears;
                (false, news)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_goes_to_near_upstreams_and_to_suspects() {
        let auto = Settings::default();
        assert_eq!(auto.marks(Marks::ALL, true, false), Marks { spelling: false, ..Marks::ALL });
        assert_eq!(auto.marks(Marks::ALL, true, true), Marks::ALL);
        assert_eq!(auto.marks(Marks::ALL, false, true), Marks::ALL);
        assert_eq!(auto.marks(Marks::ALL, false, false), Marks { opt: true, ..Marks::NONE });
        assert_eq!(auto.marks(Marks::NONE, true, true), Marks::NONE);
        let always = Settings { tag: Mark::Always, spelling: Mark::Always };
        assert_eq!(always.marks(Marks::NONE, false, false), Marks::ALL);
        let never = Settings { tag: Mark::Never, spelling: Mark::Never };
        assert_eq!(never.marks(Marks::ALL, true, true), Marks { opt: true, ..Marks::NONE });
    }
}
