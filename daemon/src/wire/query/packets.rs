//! Packets for tests that hold one reader of queries against another.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// EDNS client subnet (RFC 7871): hickory looks into it and refuses what it cannot read; we forward no options anyway.
pub(crate) const CLIENT_SUBNET: u16 = 8;

/// Returns settings for `usual` cases, or for the number that the environment wants:
/// `PROPTEST_CASES=4000000 cargo test -p onward --lib agree`.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok());
    ProptestConfig::with_cases(wanted.unwrap_or(usual))
}

/// Returns settings for `usual` cases that are the same in each run: for rules that hold of nearly all cases, and that
/// chance must not break in a run that is about something else. `PROPTEST_RNG_SEED` and `PROPTEST_CASES` give other
/// ones and more.
pub(crate) fn the_same_cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..cases(usual) };
    match std::env::var_os("PROPTEST_RNG_SEED") {
        Some(_) => config,
        None => ProptestConfig { rng_seed: RngSeed::Fixed(1), ..config },
    }
}

/// Queries of every sort, most of them good, some with a few bytes changed, cut or added.
pub(crate) fn packets() -> impl Strategy<Value = Vec<u8>> {
    let behind =
        prop_oneof![4 => Just(Behind::Nothing), 4 => opt(), 1 => Just(Behind::Record), 1 => Just(Behind::Junk)];
    let changes = prop_oneof![2 => Just(vec![]), 1 => vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)];
    (any::<u16>(), flags(), question(), behind, changes, 0..20_usize).prop_map(
        |(id, flags, question, behind, changes, cut)| {
            let mut packet = id.to_be_bytes().to_vec();
            packet.extend(flags);
            packet.extend([0, 1, 0, 0, 0, 0, 0, u8::from(matches!(behind, Behind::Opt(_) | Behind::Record))]);
            packet.extend(question);
            match behind {
                Behind::Nothing => {}
                Behind::Opt(bytes) => packet.extend(bytes),
                Behind::Record => packet.extend(b"\x01a\0\0\x01\0\x01\0\0\0\x05\0\x04\xc0\0\x02\x01"),
                Behind::Junk => packet.extend(b"junk"),
            }
            for (at, value) in changes {
                let at = at.index(packet.len());
                packet[at] = value;
            }
            packet.truncate(if cut < 3 { packet.len() - cut } else { packet.len() });
            packet
        },
    )
}

#[derive(Debug, Clone)]
enum Behind {
    Nothing,
    Opt(Vec<u8>),
    Record,
    Junk,
}

fn flags() -> impl Strategy<Value = [u8; 2]> {
    let usual = prop_oneof![Just([1, 0]), Just([1, 0x20]), Just([1, 0x10]), Just([0, 0x30])];
    prop_oneof![9 => usual, 1 => any::<[u8; 2]>()]
}

fn question() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof![20 => vec(any::<u8>(), 1..12), 1 => Just(vec![b'x'; 63])];
    let types = prop_oneof![8 => Just(1_u16), 8 => 1..70_u16, 2 => 245..258_u16, 1 => any::<u16>()];
    let classes = prop_oneof![9 => Just(1_u16), 1 => any::<u16>()];
    (vec(label, 0..6), types, classes).prop_map(|(labels, qtype, class)| {
        let mut question = vec![];
        for label in labels {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend(label);
        }
        question.push(0);
        question.extend(qtype.to_be_bytes());
        question.extend(class.to_be_bytes());
        question
    })
}

fn opt() -> impl Strategy<Value = Behind> {
    let codes = prop_oneof![Just(CLIENT_SUBNET), Just(10), Just(12), Just(15), 0..20_u16, Just(65_001), any::<u16>()];
    let options = prop_oneof![2 => Just(vec![]), 1 => vec((codes, vec(any::<u8>(), 0..10)), 1..4)];
    let version = prop_oneof![9 => Just(0), 1 => any::<u8>()];
    (any::<u16>(), any::<u8>(), version, any::<[u8; 2]>(), options).prop_map(
        |(payload, high_rcode, version, flags, options)| {
            let mut data = vec![];
            for (code, bytes) in options {
                data.extend(code.to_be_bytes());
                data.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
                data.extend(bytes);
            }
            let mut opt = vec![0, 0, 41];
            opt.extend(payload.to_be_bytes());
            opt.extend([high_rcode, version]);
            opt.extend(flags);
            opt.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            opt.extend(data);
            Behind::Opt(opt)
        },
    )
}
