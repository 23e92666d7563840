//! Which source's list is in use.
//!
//! The first source with a usable server gives the whole list. One that falls empty keeps its list for a while before the
//! next takes over, since programs empty their files for a moment when they start anew; if none has any, the last list
//! stays for good. A source before the one in use takes over at once.
//!
//! Pure: what the sources say and `now` go in, a decision comes out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::upstream::Server;

/// How long a source that has fallen empty keeps its list.
pub const HOLD: Duration = Duration::from_secs(30);

/// What one source has to give, after vetting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The source's name.
    pub name: Arc<str>,
    /// Usable servers and the file that named each, without duplicates. Empty also where the source could not be read.
    pub servers: Vec<(Server, Arc<str>)>,
    /// The search list that came with them.
    pub search: Vec<String>,
    /// The options that came with them.
    pub options: Vec<String>,
}

/// What is in use, and when to look again although nothing changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// The offer in use; nothing if there never was any.
    pub offer: Option<Offer>,
    /// Whether its source is empty now, so that this is its last good list.
    pub kept: bool,
    /// When the next source may take over, if it still has servers then.
    pub look_again: Option<Instant>,
}

/// Remembers which source is in use.
#[derive(Debug, Clone)]
pub struct Preference {
    hold: Duration,
    current: Option<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    offer: Offer,
    empty_since: Option<Instant>,
}

impl Default for Preference {
    fn default() -> Self {
        Self::new(HOLD)
    }
}

impl Preference {
    /// Begins with no list in use.
    #[must_use]
    pub fn new(hold: Duration) -> Self {
        Self { hold, current: None }
    }

    /// Begins with a list of an earlier life: its source, if it is empty now, has the hold to come back.
    pub fn resume(&mut self, offer: Offer) {
        self.current = Some(Current { offer, empty_since: None });
    }

    /// Takes what the sources say, in order of preference, and decides.
    pub fn update(&mut self, offers: &[Offer], now: Instant) -> Decision {
        let first = offers.iter().position(|offer| !offer.servers.is_empty());
        let mut look_again = None;
        let used =
            self.current.as_ref().and_then(|current| offers.iter().position(|offer| offer.name == current.offer.name));
        let take = match (first, used, &mut self.current) {
            (None, None, _) | (_, Some(_), None) => None,
            (None, Some(_), Some(current)) => {
                current.empty_since.get_or_insert(now);
                None
            }
            // At the start, or the source is no longer one of the configuration's, which is meant to take effect.
            (Some(first), None, _) => Some(first),
            (Some(first), Some(used), Some(_)) if first <= used => Some(first),
            (Some(first), Some(_), Some(current)) => {
                let until = *current.empty_since.get_or_insert(now) + self.hold;
                look_again = (now < until).then_some(until);
                (now >= until).then_some(first)
            }
        };
        if let Some(offer) = take.and_then(|index| offers.get(index)) {
            self.current = Some(Current { offer: offer.clone(), empty_since: None });
        }
        let kept = take.is_none() && self.current.is_some();
        Decision { offer: self.current.as_ref().map(|current| current.offer.clone()), kept, look_again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str, servers: &[&str]) -> Offer {
        let servers = servers.iter().map(|server| (server.parse().unwrap(), Arc::from("file")));
        Offer { name: name.into(), servers: servers.collect(), ..Offer::default() }
    }

    fn used(decision: &Decision) -> (String, bool) {
        (decision.offer.as_ref().map(|offer| offer.name.to_string()).unwrap_or_default(), decision.kept)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_source_with_servers_gives_the_whole_list() {
        let mut preference = Preference::default();
        let decision = preference.update(
            &[offer("a", &[]), offer("b", &["10.0.0.2", "10.0.0.3"]), offer("c", &["10.0.0.4"])],
            crate::clock::now(),
        );
        assert_eq!(
            decision,
            Decision { offer: Some(offer("b", &["10.0.0.2", "10.0.0.3"])), kept: false, look_again: None }
        );
    }

    #[test]
    fn a_source_that_falls_empty_keeps_its_list_for_the_hold() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        let both = [offer("a", &["10.0.0.2"]), offer("b", &["10.0.0.3"])];
        let empty = [offer("a", &[]), offer("b", &["10.0.0.3"])];
        assert_eq!(used(&preference.update(&both, start)), ("a".into(), false));
        let held = preference.update(&empty, start + seconds(5));
        assert_eq!((used(&held), held.look_again), (("a".into(), true), Some(start + seconds(35))));
        assert_eq!(used(&preference.update(&empty, start + seconds(34))), ("a".into(), true));
        assert_eq!(used(&preference.update(&empty, start + seconds(35))), ("b".into(), false));
        assert_eq!(used(&preference.update(&both, start + seconds(36))), ("a".into(), false));
    }

    #[test]
    fn a_source_that_comes_back_within_the_hold_starts_it_anew() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        let both = [offer("a", &["10.0.0.2"]), offer("b", &["10.0.0.3"])];
        let empty = [offer("a", &[]), offer("b", &["10.0.0.3"])];
        preference.update(&both, start);
        preference.update(&empty, start);
        preference.update(&both, start + seconds(20));
        assert_eq!(preference.update(&empty, start + seconds(40)).look_again, Some(start + seconds(70)));
    }

    #[test]
    fn nothing_anywhere_is_never_news() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        let nothing = [offer("a", &[]), offer("b", &[])];
        assert_eq!(preference.update(&nothing, start), Decision::default());
        preference.update(&[offer("a", &["10.0.0.2"]), offer("b", &[])], start);
        let decision = preference.update(&nothing, start + seconds(86_400));
        assert_eq!((used(&decision), decision.look_again), (("a".into(), true), None));
    }

    #[test]
    fn a_source_taken_out_of_the_configuration_is_not_held() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        preference.update(&[offer("configuration", &["10.0.0.2"]), offer("b", &["10.0.0.3"])], start);
        assert_eq!(used(&preference.update(&[offer("b", &["10.0.0.3"])], start)), ("b".into(), false));
    }

    #[test]
    fn a_list_of_an_earlier_life_is_used_until_there_is_another() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        preference.resume(offer("b", &["10.0.0.9"]));
        assert_eq!(used(&preference.update(&[offer("a", &[]), offer("b", &[])], start)), ("b".into(), true));
        assert_eq!(used(&preference.update(&[offer("a", &["10.0.0.3"]), offer("b", &[])], start)), ("a".into(), false));
    }
}
