//! How many probes a stranger can provoke. Pure.
//!
//! Witnesses can be provoked at will, so what they cause is counted: for each upstream one probe a second, six a
//! minute, and after each acquittal the time between doubles, up to half a minute, until ten quiet minutes have passed.
//! An upstream that is now and then slow is acquitted often, so after silence a mark is not kept waiting for that.
//! And ten probes a second in all, whatever they are for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::verdict::Witness;

/// Between two provoked probes of one upstream, before any acquittal.
const BETWEEN: Duration = Duration::from_secs(1);
/// Doublings at most: 32 s.
const DOUBLINGS: u32 = 5;
/// After as long without a provoked probe acquittals are forgotten.
const FORGIVEN: Duration = Duration::from_secs(600);

/// At most `most` events in any `span`.
#[derive(Debug, Clone)]
pub struct Window {
    most: usize,
    span: Duration,
    recent: VecDeque<Instant>,
}

/// The provoked probes of one upstream.
#[derive(Debug, Clone)]
pub struct Provoked {
    minute: Window,
    last: Option<Instant>,
    acquittals: Acquittals,
}

/// Acquittals of what marks said, and of silence.
#[derive(Debug, Clone, Copy, Default)]
struct Acquittals {
    marks: u32,
    silence: u32,
}

impl Window {
    /// A window that lets `most` events pass in `span`.
    #[must_use]
    pub fn new(most: usize, span: Duration) -> Self {
        Self { most, span, recent: VecDeque::with_capacity(most) }
    }

    /// Counts an event, if there is room for it now.
    pub fn take(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) >= self.span) {
            self.recent.pop_front();
        }
        let room = self.recent.len() < self.most;
        if room {
            self.recent.push_back(now);
        }
        room
    }

    /// When there is room again, if there is none now.
    #[must_use]
    pub fn room_at(&self) -> Option<Instant> {
        (self.recent.len() >= self.most).then(|| self.recent.front().map(|at| *at + self.span)).flatten()
    }
}

impl Default for Provoked {
    fn default() -> Self {
        Self { minute: Window::new(6, Duration::from_secs(60)), last: None, acquittals: Acquittals::default() }
    }
}

impl Provoked {
    /// Counts a probe that a witness wants, if it may be sent now.
    pub fn take(&mut self, witness: Witness, now: Instant) -> bool {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) >= FORGIVEN) {
            self.acquittals = Acquittals::default();
        }
        let granted = self.room_at(witness).is_none_or(|at| at <= now) && self.minute.take(now);
        if granted {
            self.last = Some(now);
        }
        granted
    }

    /// When the next probe may be sent for a witness like this; none where nothing is in its way.
    #[must_use]
    pub fn room_at(&self, witness: Witness) -> Option<Instant> {
        let Acquittals { marks, silence } = self.acquittals;
        let doublings = match witness {
            Witness::Tag | Witness::Spelling => marks,
            Witness::Silence => marks.saturating_add(silence),
        };
        let after_last = self.last.map(|last| last + BETWEEN * (1 << doublings.min(DOUBLINGS)));
        after_last.into_iter().chain(self.minute.room_at()).max()
    }

    /// The upstream was found healthy: the next witness has to wait longer.
    pub fn acquitted(&mut self, witness: Witness) {
        let Acquittals { marks, silence } = &mut self.acquittals;
        let count = if witness == Witness::Silence { silence } else { marks };
        *count = count.saturating_add(1);
    }

    /// The witness was right: the next one is believed at once.
    pub fn convicted(&mut self) {
        self.acquittals = Acquittals::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 1000 witnesses a second are granted a probe in `seconds`.
    fn granted(seconds: u64, acquit: bool) -> usize {
        let (mut provoked, start) = (Provoked::default(), crate::clock::now());
        let mut count = 0;
        for ms in 0..seconds * 1000 {
            if provoked.take(Witness::Tag, start + Duration::from_millis(ms)) {
                count += 1;
                if acquit {
                    provoked.acquitted(Witness::Tag);
                }
            }
        }
        count
    }

    #[test]
    fn probes_provoked_without_bound_are_limited() {
        assert_eq!(granted(1, false), 1);
        assert_eq!(granted(3, false), 3);
        assert_eq!(granted(60, false), 6);
        assert_eq!(granted(600, false), 60);
        assert_eq!(granted(60, true), 5); // at 0, 2, 6, 14, 30 s
        assert!(granted(600, true) < 25);
    }

    #[test]
    fn acquittals_are_forgotten() {
        let (mut provoked, start) = (Provoked::default(), crate::clock::now());
        for n in 0..5 {
            assert!(provoked.take(Witness::Tag, start + Duration::from_secs(40 * n)));
            provoked.acquitted(Witness::Tag);
        }
        assert!(!provoked.take(Witness::Tag, start + Duration::from_secs(170)));
        assert!(provoked.take(Witness::Tag, start + Duration::from_secs(800)));
        assert!(provoked.take(Witness::Tag, start + Duration::from_secs(802)));
    }

    #[test]
    fn a_mark_does_not_wait_for_what_silence_was_acquitted_of() {
        let (mut provoked, start) = (Provoked::default(), crate::clock::now());
        for n in 0..4 {
            assert!(provoked.take(Witness::Silence, start + Duration::from_secs(40 * n)));
            provoked.acquitted(Witness::Silence);
        }
        let soon = start + Duration::from_secs(121);
        assert_eq!(provoked.room_at(Witness::Silence), Some(start + Duration::from_secs(120 + 16)));
        assert!(!provoked.take(Witness::Silence, soon) && provoked.take(Witness::Tag, soon));
    }

    #[test]
    fn a_window_tells_when_there_is_room() {
        let (mut window, start) = (Window::new(2, Duration::from_secs(1)), crate::clock::now());
        assert!(window.take(start) && window.room_at().is_none() && window.take(start));
        assert!(!window.take(start + Duration::from_millis(999)));
        assert_eq!(window.room_at(), Some(start + Duration::from_secs(1)));
        assert!(window.take(start + Duration::from_secs(1)));
    }
}
