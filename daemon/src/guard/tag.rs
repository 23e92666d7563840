//! The first witness: an EDNS option that says which Onwards a question has passed. Pure.
//!
//! One entry for each, oldest first, at most [`MOST`]: the process, the number that it knows the asked upstream by, and
//! a MAC over both and a stretch of time. An entry of our own with a valid MAC is ours come back, through the upstream
//! that it names. Entries of others cannot be checked; they are passed on, and ours is appended. When the list is full
//! the oldest entry makes room, so that a forged full list hides nothing: our entry always goes out, and a ring of up
//! to [`MOST`] Onwards is found within one lap whatever was in the list before. (Longer rings are left to the other
//! witnesses.) An entry that says it is ours but is not is dropped, and a malformed option counts as none.
//!
//! The MAC holds 64 bits. It is compared as one number, not in constant time by design: whoever finds a valid one, or
//! replays one, has a witness, and a witness costs the healthy one probe (see `daemon/THREATS.md`).

use std::time::Instant;

use super::key::{Bucket, MarkKey, Purpose};
use crate::upstream::UpstreamId;
use crate::wire::QuestionKey;

/// The option's code, from the range for local use (RFC 6891, section 9; IANA: 65001 to 65534).
pub(crate) const CODE: u16 = 65_353;
/// Most entries that a list has.
pub const MOST: usize = 8;
/// Process, upstream, MAC.
const ENTRY: usize = 8 + 2 + 8;

/// What a question's tag told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// The question has been here before and was sent to this upstream (the last one, if to several).
    pub own: Option<UpstreamId>,
    /// Entries of others, oldest first; at most [`MOST`], and mostly none.
    relay: Vec<[u8; ENTRY]>,
}

impl Passed {
    /// Whether the question has passed other Onwards, or says so.
    #[must_use]
    pub fn foreign(&self) -> bool {
        !self.relay.is_empty()
    }

    /// The way that it has come, if it has passed other Onwards.
    #[must_use]
    pub fn relay(&self) -> Option<Relay> {
        let origin = u64::from_be_bytes(*self.relay.first()?.first_chunk()?);
        Some(Relay { origin, onwards: self.relay.len() })
    }

    /// How many other Onwards it has passed, or says so.
    #[must_use]
    pub fn onwards(&self) -> usize {
        self.relay.len()
    }
}

/// The way of a query through other Onwards, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// The process that it passed first.
    pub origin: u64,
    /// How many it has passed.
    pub onwards: usize,
}

impl Relay {
    /// A question of the client that asked the first of these Onwards, as a key.
    #[must_use]
    pub fn of(self, key: &[u8]) -> QuestionKey {
        QuestionKey::new(&[key, &self.origin.to_be_bytes()].concat())
    }
}

/// The data of the first option with our code among `options`, the RDATA of an OPT record.
#[must_use]
pub fn find(options: &[u8]) -> Option<&[u8]> {
    let mut rest = options;
    loop {
        let (&[code_high, code_low, length_high, length_low], after) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let (data, next) = after.split_at_checked(length)?;
        if u16::from_be_bytes([code_high, code_low]) == CODE {
            return Some(data);
        }
        rest = next;
    }
}

/// Reads the option's data.
#[must_use]
pub fn read(option: &[u8], key: &MarkKey, now: Bucket) -> Passed {
    let mut passed = Passed::default();
    let (entries, rest) = option.as_chunks::<ENTRY>();
    if !rest.is_empty() || entries.len() > MOST {
        return passed;
    }
    for entry in entries {
        let &[p0, p1, p2, p3, p4, p5, p6, p7, number_high, number_low, ..] = entry;
        if u64::from_be_bytes([p0, p1, p2, p3, p4, p5, p6, p7]) != key.process() {
            passed.relay.push(*entry);
            continue;
        }
        let number = UpstreamId(u16::from_be_bytes([number_high, number_low]));
        if *entry == own(number, key, now) || *entry == own(number, key, now.previous()) {
            passed.own = Some(number);
        }
    }
    passed
}

/// Appends the option, with code and length, for a question that has `passed` others and now goes to `upstream`.
pub fn write(passed: &Passed, upstream: UpstreamId, key: &MarkKey, now: Bucket, out: &mut Vec<u8>) {
    append(passed, own(upstream, key, now), out);
}

fn append(passed: &Passed, own: [u8; ENTRY], out: &mut Vec<u8>) {
    let oldest = usize::from(passed.relay.len() == MOST);
    let relay = passed.relay.get(oldest..).unwrap_or_default();
    let length = u16::try_from((relay.len() + 1) * ENTRY).unwrap_or(0); // 144 at most
    let ([code_high, code_low], [high, low]) = (CODE.to_be_bytes(), length.to_be_bytes());
    out.extend_from_slice(&[code_high, code_low, high, low]);
    out.extend_from_slice(relay.as_flattened());
    out.extend_from_slice(&own);
}

/// Own entries as they were last made, one for each upstream: each holds for a stretch of time, so that only the first
/// question of it has to be hashed for.
#[derive(Debug, Default)]
pub struct Entries(Vec<Made>);

#[derive(Debug)]
struct Made {
    upstream: UpstreamId,
    process: u64,
    until: Instant,
    entry: [u8; ENTRY],
}

impl Entries {
    /// As [`write()`]. `now` never goes back.
    pub fn write(&mut self, passed: &Passed, upstream: UpstreamId, (key, now): (&MarkKey, Instant), out: &mut Vec<u8>) {
        let holds = |made: &Made| made.process == key.process() && now < made.until;
        let entry = match self.0.iter().find(|made| made.upstream == upstream && holds(made)) {
            Some(made) => made.entry,
            None => {
                let bucket = key.bucket(now);
                let entry = own(upstream, key, bucket);
                // What does not hold any more is dropped, so that there are no more than upstreams.
                self.0.retain(holds);
                self.0.push(Made { upstream, process: key.process(), until: key.end_of(bucket), entry });
                entry
            }
        };
        append(passed, entry, out);
    }
}

fn own(number: UpstreamId, key: &MarkKey, bucket: Bucket) -> [u8; ENTRY] {
    let process = key.process().to_be_bytes();
    let number = number.0.to_be_bytes();
    let mac = key.mac(Purpose::Tag, &[&process, &number, &bucket.bytes()]).to_be_bytes();
    let mut entry = [0; ENTRY];
    for (to, from) in entry.iter_mut().zip(process.into_iter().chain(number).chain(mac)) {
        *to = from;
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guard::key;

    /// The data of what [`write`] makes.
    fn written(passed: &Passed, upstream: u16, key: &MarkKey, now: Bucket) -> Vec<u8> {
        let mut out = Vec::new();
        write(passed, UpstreamId(upstream), key, now, &mut out);
        find(&out).unwrap().to_vec()
    }

    fn bucket(key: &MarkKey, after: u64) -> Bucket {
        key.bucket(crate::clock::now() + Duration::from_secs(after))
    }

    #[test]
    fn what_we_sent_is_known_when_it_comes_back_through_others() {
        let (us, other) = (key::of(1), key::of(2));
        let now = bucket(&us, 0);
        let first = written(&Passed::default(), 3, &us, now);
        let at_other = read(&first, &other, now);
        assert_eq!((at_other.own, at_other.onwards()), (None, 1));
        let back = read(&written(&at_other, 7, &other, now), &us, now);
        assert_eq!((back.own, back.onwards()), (Some(UpstreamId(3)), 1));
        assert_eq!(read(&written(&back, 4, &us, now), &other, now).own, Some(UpstreamId(7)));
    }

    #[test]
    fn an_entry_that_was_kept_is_the_one_that_would_be_made() {
        let keys = [key::of(1), key::of(2)];
        let mut entries = Entries::default();
        let start = crate::clock::now();
        for after in [0, 0, 3, 15, 16, 17, 31, 32, 40] {
            for (key, upstream) in keys.iter().zip([3, 4]).chain(keys.iter().zip([5, 3])) {
                let now = start + Duration::from_secs(after);
                let mut out = vec![];
                entries.write(&Passed::default(), UpstreamId(upstream), (key, now), &mut out);
                assert_eq!(out[4..], written(&Passed::default(), upstream, key, key.bucket(now)), "after {after} s");
            }
            assert!(entries.0.len() <= 4);
        }
    }

    #[test]
    fn marks_grow_old() {
        let us = key::of(1);
        let option = written(&Passed::default(), 3, &us, bucket(&us, 0));
        assert_eq!(read(&option, &us, bucket(&us, 16)).own, Some(UpstreamId(3)));
        assert_eq!(read(&option, &us, bucket(&us, 33)), Passed::default());
    }

    #[test]
    fn a_forged_entry_of_ours_is_dropped() {
        let us = key::of(1);
        let now = bucket(&us, 0);
        let good = written(&Passed::default(), 3, &us, now);
        for at in 8..ENTRY {
            let mut forged = good.clone();
            forged[at] ^= 1;
            assert_eq!(read(&forged, &us, now), Passed::default(), "byte {at}");
        }
    }

    #[test]
    fn a_forged_full_list_hides_nothing() {
        let us = key::of(1);
        let now = bucket(&us, 0);
        let passed = read(&[0xab; ENTRY * MOST], &us, now);
        assert_eq!((passed.own, passed.onwards()), (None, MOST));
        let sent = written(&passed, 5, &us, now);
        assert_eq!(sent.len(), ENTRY * MOST);
        assert_eq!(read(&sent, &us, now).own, Some(UpstreamId(5)));
    }

    #[test]
    fn malformed_and_over_long_options_count_as_none() {
        let us = key::of(1);
        let now = bucket(&us, 0);
        for length in [0, 1, ENTRY - 1, ENTRY + 1, ENTRY * (MOST + 1), 65_535] {
            assert_eq!(read(&vec![7; length], &us, now), Passed::default(), "{length} bytes");
        }
        assert_eq!(find(&[0xff, 0x49, 0, 9, 1]), None);
        assert_eq!(find(b"\0\x0a\0\x02xy\xff\x49\0\x01z"), Some(&b"z"[..]));
    }

    #[test]
    fn a_ring_of_eight_is_found_within_one_lap_whatever_came_before() {
        let ring: Vec<_> = (1..=8).map(key::of).collect();
        let now = bucket(&ring[0], 0);
        let mut option = vec![0xee; ENTRY * MOST];
        for key in &ring {
            let passed = read(&option, key, now);
            assert_eq!(passed.own, None);
            option = written(&passed, 1, key, now);
        }
        assert_eq!(read(&option, &ring[0], now).own, Some(UpstreamId(1)));
    }
}
