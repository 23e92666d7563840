use proptest::prelude::*;

use super::*;
use crate::guard::key;
use crate::wire::name::wire;

const US: UpstreamId = UpstreamId(3);
const LONG: &str = "kubernetes.default.svc.cluster.local";

fn spelled(name: &str, asker: &[u8]) -> Vec<u8> {
    let mut out = wire(name);
    spell(&mut out, US, asker, &key::of(1));
    out
}

fn count(name: &[u8]) -> u32 {
    u32::try_from(name.iter().filter(|byte| byte.is_ascii_alphabetic()).count()).unwrap()
}

fn letters_mut(name: &mut [u8]) -> impl Iterator<Item = (u32, &mut u8)> {
    (0..).zip(name.iter_mut().filter(|byte| byte.is_ascii_alphabetic()))
}

fn known(name: &[u8]) -> Option<Strength> {
    recognise(name, US, &key::of(1))
}

/// Eight bytes at once must do what one does.
#[test]
fn letters_are_told_from_all_other_bytes() {
    for byte in 0..=u8::MAX {
        for place in 0..8 {
            let mut eight = [b'z'; 8];
            eight[place] = byte;
            let found = letters(u64::from_le_bytes(eight)).to_le_bytes();
            let expected = if byte.is_ascii_lowercase() { CASE } else { 0 };
            assert!(found[place] == expected && found[(place + 1) % 8] == CASE, "{byte} at {place}");
        }
        let picked = chosen(byte.into()).to_le_bytes();
        assert!((0..8).all(|bit| (picked[bit] == CASE) == (byte >> bit & 1 == 1)), "{byte}");
    }
}

/// Over many names each letter is upper case as often as not, wherever it stands.
#[test]
fn each_letter_is_a_toss() {
    let mut upper = [0; 200];
    for number in 0..2_000 {
        let name = format!("{}.{}.{}.n{number}", "a".repeat(60), "b".repeat(60), "c".repeat(60));
        let sent = spelled(&name, &[]);
        (0..180).filter(|at| sent[1 + at].is_ascii_uppercase()).for_each(|at| upper[at] += 1);
    }
    let tossed = |at: &usize| ![0, 60, 121].contains(at) && !(60..62).contains(at) && !(120..123).contains(at);
    let odd: Vec<_> = (0..180).filter(tossed).filter(|at| !(850..1_150).contains(&upper[*at])).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn what_we_spelled_is_known_again_and_nobody_elses() {
    let sent = spelled(LONG, &wire(LONG));
    assert_eq!(known(&sent), Some(Strength::Witness));
    assert_eq!(recognise(&sent, UpstreamId(4), &key::of(1)), None);
    assert_eq!(recognise(&sent, US, &key::of(2)), None);
    assert_eq!(spelled(LONG, &wire("")), sent);
    assert_eq!(known(&spelled("www.example.com", &[])), Some(Strength::Hint));
}

#[test]
fn the_askers_own_spelling_is_never_sent_and_what_is_sent_instead_is_known() {
    let first = spelled(LONG, &wire(LONG));
    let second = spelled(LONG, &first);
    assert_ne!(first, second);
    assert_eq!(known(&second), Some(Strength::Witness));
    assert_eq!(spelled(LONG, &second), first);
}

#[test]
fn clients_that_shout_or_whisper_are_not_known() {
    assert_eq!(known(&wire(LONG)), None);
    assert_eq!(known(&wire(&LONG.to_uppercase())), None);
}

#[test]
fn short_names_and_names_without_letters_tell_nothing() {
    for name in ["", "1.0.0.127", "12345.678", "a", "b.c", "ab1.cd2.ef3", "exa.mple"] {
        let sent = spelled(name, &wire(name));
        if count(&wire(name)) < HINT {
            assert_eq!(known(&sent), None, "{name}");
        }
    }
}

#[test]
fn clients_that_spell_at_random_are_taken_for_us_no_oftener_than_chance() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let mut random = |name: &str| {
        let mut name = wire(name);
        for (_, letter) in letters_mut(&mut name) {
            if rng.random() {
                letter.make_ascii_uppercase();
            }
        }
        name
    };
    assert_eq!((0..200_000).filter(|_| known(&random(LONG)).is_some()).count(), 0);
    // Eight letters: 2 in 256, and then it is only a hint.
    let hits: Vec<_> = (0..20_000).filter_map(|_| known(&random("site.test"))).collect();
    assert!(hits.iter().all(|strength| *strength == Strength::Hint));
    assert!((80..260).contains(&hits.len()), "{}", hits.len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_spelling_keeps_the_rules(labels in prop::collection::vec("[a-z0-9-]{1,60}", 0..4), seed in 0_u8.., asker_bits in any::<u64>()) {
        let key = key::of(seed);
        let name = wire(&labels.join("."));
        let mut asker = name.clone();
        for (at, letter) in letters_mut(&mut asker) {
            if asker_bits >> (at % 64) & 1 == 1 {
                letter.make_ascii_uppercase();
            }
        }
        let mut sent = name.clone();
        spell(&mut sent, US, &asker, &key);
        prop_assert!(sent.eq_ignore_ascii_case(&name));
        if count(&name) >= 2 {
            prop_assert_ne!(&sent, &name);
            prop_assert_ne!(&sent, &asker);
        }
        prop_assert_eq!(recognise(&sent, US, &key).is_some(), count(&name) >= HINT);
        // The pattern itself, asked by a client that replays it, gives the other one; known as well.
        let mut again = name.clone();
        spell(&mut again, US, &sent, &key);
        prop_assert_eq!(recognise(&again, US, &key).is_some(), count(&name) >= HINT);
    }
}
