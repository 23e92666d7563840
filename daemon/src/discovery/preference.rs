//! Which source's list is in use.
//!
//! The first source with a usable server gives the whole list. One that falls empty, or gives less than it did, keeps
//! its list for a while before the next takes over, since programs empty their files for a moment when they restart. If
//! none has any, the last list stays for good. A source before the one in use takes over at once. Where a source
//! encrypts, no later one takes its place, and no list of a time when it did not encrypt stays.
//!
//! Pure: what the sources say and `now` go in, a decision comes out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::upstream::Endpoint;

/// Time for which a source that has fallen empty keeps its list.
pub(crate) const HOLD: Duration = Duration::from_secs(30);
/// Time until a source that encrypts and has no server is looked at again: no file tells when a stub begins to listen.
const ENCRYPTION_RETRY: Duration = Duration::from_secs(2);

/// What a list is worth beside another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Better than nothing: of a source that the node itself does not ask, or one that gives less than its program
    /// would.
    Worse,
    /// What the node itself asks.
    #[default]
    Full,
}

/// What one source has to give, after vetting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The source's name.
    pub name: Arc<str>,
    /// Usable servers and the file that named each, without duplicates. Empty also where the source could not be read.
    pub servers: Vec<(Endpoint, Arc<str>)>,
    /// The search list that came with them.
    pub search: Vec<String>,
    /// The options that came with them.
    pub options: Vec<String>,
    /// Whether the source encrypts what it is asked.
    pub encrypts: bool,
    /// What the list is worth.
    pub standing: Standing,
}

/// What is in use, and when to look again although nothing changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The offer in use; nothing if there never was any, or none that may be asked in plain text.
    pub offer: Option<Offer>,
    /// Whether its source is empty now, so that this is its last good list.
    pub kept: bool,
    /// When to look again: the next source may take over, or a stub may be back.
    pub look_again: Option<Instant>,
}

/// Remembers which source is in use.
#[derive(Debug, Clone)]
pub(crate) struct Preference {
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
    pub(crate) fn new(hold: Duration) -> Self {
        Self { hold, current: None }
    }

    /// Begins with a list of an earlier life: its source, if it is empty now, has the hold to come back.
    pub(crate) fn resume(&mut self, offer: Offer) {
        self.current = Some(Current { offer, empty_since: None });
    }

    /// Takes another hold, and forgets the list in use where its source does not stay: else a reload at a moment when
    /// no source has servers would end all answers.
    pub(crate) fn reconfigure(&mut self, hold: Duration, stays: impl Fn(&str) -> bool) {
        self.hold = hold;
        self.current = self.current.take().filter(|current| stays(&current.offer.name));
    }

    /// Takes what the sources say, in order of preference, and decides.
    pub(crate) fn update(&mut self, offers: &[Offer], now: Instant) -> Decision {
        let used =
            self.current.as_ref().and_then(|current| offers.iter().position(|offer| offer.name == current.offer.name));
        let encrypting = offers.iter().position(|offer| offer.encrypts && offer.standing == Standing::Full);
        let eligible = offers.get(..encrypting.map_or(offers.len(), |last| last + 1)).unwrap_or(offers);
        let best = best(eligible);
        if let (Some(barrier), None) = (encrypting, best)
            && !self.may_stay(barrier, used)
        {
            return Decision { look_again: Some(now + ENCRYPTION_RETRY), ..Decision::default() };
        }
        let mut look_again = (encrypting.is_some() && best.is_none()).then(|| now + ENCRYPTION_RETRY);
        let take = match (best, used, &mut self.current) {
            (None, None, _) | (_, Some(_), None) => None,
            (None, Some(_), Some(current)) => {
                current.empty_since.get_or_insert(now);
                None
            }
            // At the start, or the source is no longer one of the configuration's, which is meant to take effect.
            (Some(best), None, _) => Some(best),
            (Some(best), Some(used), Some(current)) => {
                let is_worse = offers.get(best).is_some_and(|offer| offer.standing < current.offer.standing);
                // A list asked in plain text does not outlive the moment from which its source encrypts.
                let is_outdated = encrypting.is_some() && !current.offer.encrypts;
                if (best <= used && !is_worse) || is_outdated {
                    Some(best)
                } else {
                    let until = *current.empty_since.get_or_insert(now) + self.hold;
                    look_again = (now < until).then_some(until);
                    (now >= until).then_some(best)
                }
            }
        };
        if let Some(offer) = take.and_then(|index| offers.get(index)) {
            self.current = Some(Current { offer: offer.clone(), empty_since: None });
        }
        let kept = take.is_none() && self.current.is_some();
        Decision { offer: self.current.as_ref().map(|current| current.offer.clone()), kept, look_again }
    }

    /// Whether the list in use may stay though the source at `barrier` encrypts and has no server: it is that source's
    /// own, of a time when it encrypted, or one of a source before it.
    fn may_stay(&self, barrier: usize, used: Option<usize>) -> bool {
        self.current.as_ref().is_some_and(|current| current.offer.encrypts || used.is_some_and(|used| used < barrier))
    }
}

/// The first offer with servers that is of full standing, else the first with servers.
fn best(offers: &[Offer]) -> Option<usize> {
    let has_servers = |offer: &Offer| !offer.servers.is_empty();
    let full = offers.iter().position(|offer| has_servers(offer) && offer.standing == Standing::Full);
    full.or_else(|| offers.iter().position(has_servers))
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
    fn a_reload_keeps_the_list_of_a_source_that_stays_and_no_other() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        preference.update(&[offer("a", &["10.0.0.2"])], start);
        preference.reconfigure(seconds(5), |name| name == "a");
        let empty = [offer("a", &[]), offer("b", &["10.0.0.3"])];
        let held = preference.update(&empty, start);
        assert_eq!((used(&held), held.look_again), (("a".into(), true), Some(start + seconds(5))));
        preference.reconfigure(seconds(5), |name| name == "b");
        assert_eq!(preference.update(&[offer("b", &[])], start).offer, None);
    }

    #[test]
    fn a_list_of_an_earlier_life_is_used_until_there_is_another() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        preference.resume(offer("b", &["10.0.0.9"]));
        assert_eq!(used(&preference.update(&[offer("a", &[]), offer("b", &[])], start)), ("b".into(), true));
        assert_eq!(used(&preference.update(&[offer("a", &["10.0.0.3"]), offer("b", &[])], start)), ("a".into(), false));
    }

    fn worse(offer: Offer) -> Offer {
        Offer { standing: Standing::Worse, ..offer }
    }

    fn encrypting(name: &str, servers: &[&str]) -> Offer {
        Offer { encrypts: true, ..offer(name, servers) }
    }

    #[test]
    fn a_worse_list_waits_for_the_hold_and_gives_way_at_once() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        preference.update(&[offer("a", &["10.0.0.2"]), worse(offer("b", &["10.0.0.3"]))], start);
        let degraded = [worse(offer("a", &["10.0.0.4"])), worse(offer("b", &["10.0.0.3"]))];
        assert_eq!(used(&preference.update(&degraded, start)), ("a".into(), true));
        let later = preference.update(&degraded, start + seconds(30));
        assert_eq!(later.offer.as_ref(), Some(&degraded[0]));
        let back = [offer("a", &["10.0.0.2"])];
        assert_eq!(preference.update(&back, start + seconds(31)).offer.as_ref(), Some(&back[0]));
    }

    #[test]
    fn a_full_list_comes_before_a_worse_one_whatever_the_order() {
        let offers = [worse(offer("a", &["10.0.0.2"])), offer("b", &["10.0.0.3"])];
        assert_eq!(used(&Preference::default().update(&offers, crate::clock::now())), ("b".into(), false));
    }

    #[test]
    fn nothing_takes_the_place_of_a_source_that_encrypts_however_long() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        preference.update(&[encrypting("a", &["127.0.0.53"]), offer("b", &["10.0.0.3"])], start);
        let away = [encrypting("a", &[]), offer("b", &["10.0.0.3"])];
        for after in [0, 5, 31, 86_400] {
            let decision = preference.update(&away, start + seconds(after));
            assert_eq!(used(&decision), ("a".into(), true));
            assert_eq!(decision.look_again, Some(start + seconds(after + 2)));
        }
        let fresh = Preference::default().update(&away, start);
        assert_eq!((fresh.offer, fresh.look_again), (None, Some(start + seconds(2))));
    }

    #[test]
    fn a_list_of_a_time_before_encryption_is_not_asked_any_more() {
        let (mut preference, start) = (Preference::default(), crate::clock::now());
        preference.update(&[offer("a", &["10.0.0.2"]), offer("b", &["10.0.0.3"])], start);
        let switched = [encrypting("a", &[]), offer("b", &["10.0.0.3"])];
        assert_eq!(preference.update(&switched, start).offer, None);
        let up = [encrypting("a", &["127.0.0.53"]), offer("b", &["10.0.0.3"])];
        assert_eq!(used(&preference.update(&up, start)), ("a".into(), false));
        // And from a later source, or from the disk, just the same.
        let mut preference = Preference::default();
        preference.resume(offer("b", &["10.0.0.3"]));
        assert_eq!(preference.update(&switched, start).offer, None);
    }

    #[test]
    fn what_comes_before_a_source_that_encrypts_is_used_in_plain_text() {
        let offers = [offer("configuration", &["10.0.0.9"]), encrypting("a", &[]), offer("b", &["10.0.0.3"])];
        assert_eq!(used(&Preference::default().update(&offers, crate::clock::now())), ("configuration".into(), false));
        // One that the node does not ask is no bar either.
        let aside = [offer("b", &["10.0.0.3"]), worse(encrypting("a", &[]))];
        assert_eq!(used(&Preference::default().update(&aside, crate::clock::now())), ("b".into(), false));
    }
}
