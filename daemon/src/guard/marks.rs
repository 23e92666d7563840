//! Which marks a query carries: what the settings want, what the upstream bears, how near it is. Pure.

use std::time::{Duration, Instant};

use super::bears::{Bears, Lesson, Next};

/// What was learnt is learnt again after this time.
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// A lesson that came to nothing is not begun again before this.
const RETRY: Duration = Duration::from_secs(60);

/// When a mark is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Where it is of use and borne.
    #[default]
    Auto,
    /// To every upstream.
    Always,
    /// To none.
    Never,
}

/// `[guard]` of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// The tag.
    pub tag: Mode,
    /// The spelling.
    pub spelling: Mode,
}

/// What is known of one upstream.
#[derive(Debug, Clone)]
pub(super) struct Known {
    bears: Bears,
    learnt: Option<Instant>,
    begun: Option<Instant>,
    lesson: Option<Lesson>,
}

impl Default for Known {
    fn default() -> Self {
        Self { bears: Bears::ALL, learnt: None, begun: None, lesson: None }
    }
}

impl Settings {
    /// The marks for ordinary queries to an upstream that bears `bears`. The tag tells a stranger about us, so in auto
    /// mode it goes to near upstreams, and to others while they are suspect.
    #[must_use]
    pub fn marks(self, bears: Bears, near: bool, suspect: bool) -> Bears {
        let spelling = wants(self.spelling, bears.spelling);
        let tag = wants(self.tag, bears.tag && (near || suspect));
        Bears { opt: bears.opt || tag, tag, spelling }
    }
}

fn wants(mode: Mode, auto: bool) -> bool {
    match mode {
        Mode::Auto => auto,
        Mode::Always => true,
        Mode::Never => false,
    }
}

impl Known {
    pub(super) fn bears(&self) -> Bears {
        self.bears
    }

    /// The upstream answered a probe with `marks`, and the name came back as spelled or not.
    pub(super) fn answered(&mut self, marks: Bears, kept: bool, now: Instant) {
        if marks.spelling && !kept {
            self.bears.spelling = false;
        }
        if marks == Bears::ALL {
            self.learnt = Some(now);
        }
    }

    /// Begins a lesson, unless one is under way or was lately. Returns whether its first probe is to be sent.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let lately = self.begun.is_some_and(|at| now.saturating_duration_since(at) < RETRY);
        if self.lesson.is_some() || lately {
            return false;
        }
        self.begun = Some(now);
        self.lesson = Some(Lesson::new());
        true
    }

    /// Whether something is held not to be borne that may have changed.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        self.bears != Bears::ALL && self.learnt.is_some_and(|at| now.saturating_duration_since(at) >= AGAIN)
    }

    /// The marks of the lesson's due probe.
    pub(super) fn lesson_marks(&self) -> Bears {
        self.lesson.as_ref().map_or(Bears::NONE, Lesson::marks)
    }

    /// Takes how a probe of the lesson went. Returns whether another is to be sent, and what was learnt where it is new.
    pub(super) fn heard(&mut self, own: bool, kept: bool, now: Instant) -> (bool, Option<Bears>) {
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
        assert_eq!(auto.marks(Bears::ALL, true, false), Bears::ALL);
        assert_eq!(auto.marks(Bears::ALL, false, true), Bears::ALL);
        assert_eq!(auto.marks(Bears::ALL, false, false), Bears { tag: false, ..Bears::ALL });
        assert_eq!(auto.marks(Bears::NONE, true, true), Bears::NONE);
        let always = Settings { tag: Mode::Always, spelling: Mode::Always };
        assert_eq!(always.marks(Bears::NONE, false, false), Bears::ALL);
        let never = Settings { tag: Mode::Never, spelling: Mode::Never };
        assert_eq!(never.marks(Bears::ALL, true, true), Bears { opt: true, ..Bears::NONE });
    }
}
