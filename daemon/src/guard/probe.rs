//! The judge's question, and CoreDNS's: building and recognising probes. Pure.
//!
//! Ours is `probe.<nonce>.`, type A; where only some names are thought to loop, `probe.<nonce>.<suffix>`. Two labels,
//! since single ones, and names under .test, .invalid and home.arpa, are swallowed on the way. The nonce is 64 random
//! bits and a MAC over them, in hexadecimal: it cannot be guessed, and the front knows one of ours without looking
//! anything up, also when it comes late. Another Onward's probe looks the same but has no MAC of ours; it is passed on
//! like a question, so that a loop through several Onwards shows, but to two upstreams at most, and nothing that
//! becomes of it is a witness: in a mesh of eight each probe would provoke others, which would be four times the probes
//! in all.

use super::key::{Bucket, MarkKey, Purpose};
use super::mark_support::Marks;
use super::{spelling, tag};
use crate::upstream::UpstreamId;
use crate::wire::name;
use crate::wire::{HEADER, rtype};

const FIRST: &[u8] = b"probe";
/// Maximum length of the suffix of a probe's name, in bytes: that of a name less two labels.
const SUFFIX: usize = name::NAME_MAX - (1 + FIRST.len()) - (1 + NONCE);
/// Length of the nonce's label.
const NONCE: usize = 32;
/// What a probe says that we take over UDP (RFC 6891, section 6.2.3): enough for any answer to a probe, which is short
/// whatever `limits.udp_payload` is.
pub(crate) const PAYLOAD: u16 = 1232;

/// Names one probe.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonce([u8; 16]);

/// A probe to be built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe<'p> {
    /// Its nonce.
    pub nonce: Nonce,
    /// Whom it goes to.
    pub upstream: UpstreamId,
    /// Under which name; the root's one zero mostly.
    pub suffix: &'p [u8],
    /// The type that it asks for.
    pub qtype: u16,
    /// Which marks it carries.
    pub marks: Marks,
}

/// What an upstream said to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeReply {
    /// It knows by itself: NOERROR or NXDOMAIN, which we never say to a probe. Any error may be our own, passed back,
    /// or what a hop made of it.
    pub own: bool,
    /// The name came back letter for letter as it was spelled.
    pub spelling_kept: bool,
}

impl Nonce {
    /// A new one; `random` must not be foreseeable.
    #[must_use]
    pub fn new(random: u64, key: &MarkKey) -> Self {
        let random = random.to_be_bytes();
        let mac = key.mac(Purpose::Probe, &[&random]);
        Self(((u128::from(u64::from_be_bytes(random)) << 64) | u128::from(mac)).to_be_bytes())
    }

    /// A new one that begins as another, which gives it the same neighbours in the order of names (RFC 4034, section
    /// 6.1).
    #[must_use]
    pub fn beginning_as(begins: u16, random: u64, key: &MarkKey) -> Self {
        Self::new((u64::from(begins) << 48) | (random >> 16), key)
    }

    /// How it begins.
    #[must_use]
    pub fn beginning(self) -> u16 {
        let [high, low, ..] = self.0;
        u16::from_be_bytes([high, low])
    }

    /// Whether this process made it.
    #[must_use]
    pub fn is_ours(self, key: &MarkKey) -> bool {
        self.0.first_chunk::<8>().is_some_and(|random| Self::new(u64::from_be_bytes(*random), key) == self)
    }

    fn label(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.label())
    }
}

/// Whether a probe fits under `suffix`.
#[must_use]
pub(crate) fn fits(suffix: &[u8]) -> bool {
    suffix.len() <= SUFFIX
}

/// The whole query with the ID `id`.
#[must_use]
pub(crate) fn query(probe: &Probe<'_>, id: u16, key: &MarkKey, now: Bucket) -> Vec<u8> {
    let mut qname = Vec::with_capacity(name::NAME_MAX);
    qname.push(5);
    qname.extend(FIRST);
    qname.push(32);
    qname.extend(probe.nonce.label().as_bytes());
    qname.extend(probe.suffix);
    if probe.marks.spelling {
        qname.make_ascii_lowercase();
        spelling::spell(&mut qname, probe.upstream, &[], key);
    }
    let mut message = Vec::with_capacity(HEADER + qname.len() + 4 + 11 + 22);
    let [high, low] = id.to_be_bytes();
    // RD, one question, and an OPT where one is wanted (RFC 1035, section 4.1.1).
    message.extend([high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(probe.marks.opt)]);
    message.extend(qname);
    let [type_high, type_low] = probe.qtype.to_be_bytes();
    message.extend([type_high, type_low, 0, 1]);
    if probe.marks.opt {
        let mut option = Vec::new();
        if probe.marks.tag {
            tag::write(&tag::Passed::default(), probe.upstream, key, now, &mut option);
        }
        let [length_high, length_low] = u16::try_from(option.len()).unwrap_or(0).to_be_bytes();
        let [size_high, size_low] = PAYLOAD.to_be_bytes();
        message.extend([0, 0, 41, size_high, size_low, 0, 0, 0, 0, length_high, length_low]);
        message.extend(option);
    }
    message
}

/// The whole query, without marks, for `name` (wire form), which an upstream has answered before.
#[must_use]
pub(crate) fn plain(name: &[u8], id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut message = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(name);
    message.extend([0, 1, 0, 1]);
    message
}

/// The nonce of a probe, ours or not, in `qname` (any spelling), whatever follows it. Cheap for all other names.
///
/// The nonce may also stand first: servers that ask for one label more at a time (RFC 9156) cut what is before it.
#[must_use]
pub(crate) fn nonce(qname: &[u8]) -> Option<Nonce> {
    let (&length, _) = qname.split_first()?;
    let label = match usize::from(length) {
        5 => {
            let (first, rest) = name::split(qname)?;
            if !first.eq_ignore_ascii_case(FIRST) {
                return None;
            }
            name::split(rest)?.0
        }
        NONCE => name::split(qname)?.0,
        _ => return None,
    };
    let digits: &[u8; NONCE] = label.try_into().ok()?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let number = u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some(Nonce(number.to_be_bytes()))
}

/// Whether a question is the one that CoreDNS's `loop` plugin asks itself: HINFO, the first two labels random numbers
/// of up to 63 bits each, written in decimal. Nine in a billion of those are shorter than ten digits.
///
/// Three sightings of it end CoreDNS, so it is answered here and never passed on.
#[must_use]
pub(crate) fn is_coredns_probe(qname: &[u8], qtype: u16) -> bool {
    let number = |label: &[u8]| (10..=19).contains(&label.len()) && label.iter().all(u8::is_ascii_digit);
    qtype == rtype::HINFO
        && name::split(qname)
            .is_some_and(|(first, rest)| number(first) && name::split(rest).is_some_and(|(second, _)| number(second)))
}

/// What `received` says to the probe that was `sent` (both whole messages); none where it is no answer to it.
#[must_use]
pub(crate) fn heard(sent: &[u8], received: &[u8]) -> Option<ProbeReply> {
    let (sent_head, sent_rest) = sent.split_first_chunk::<HEADER>()?;
    let (head, rest) = received.split_first_chunk::<HEADER>()?;
    let (&[id_high, id_low, ..], &[high, low, flags, code, counts_high, counts_low, ..]) = (sent_head, head);
    if [id_high, id_low] != [high, low] || flags & 0xf8 != 0x80 {
        return None;
    }
    let code = code & 0x0f;
    if [counts_high, counts_low] == [0, 0] && code != 0 {
        // Some send an error without the question.
        return Some(ProbeReply { own: false, spelling_kept: true });
    }
    let length = question_length(sent_rest)?;
    let (asked, echoed) = (sent_rest.get(..length)?, rest.get(..length)?);
    if [counts_high, counts_low] != [0, 1] || !asked.eq_ignore_ascii_case(echoed) {
        return None;
    }
    Some(ProbeReply { own: matches!(code, 0 | 3), spelling_kept: asked == echoed })
}

/// Length of the question that `message` starts with.
fn question_length(message: &[u8]) -> Option<usize> {
    let mut rest = message;
    while let Some((_, next)) = name::split(rest) {
        rest = next;
    }
    let name_length = message.len() - rest.len() + 1;
    (rest.first() == Some(&0)).then_some(name_length + 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::key;
    use crate::wire::name::wire;

    fn probe(suffix: &[u8], marks: Marks) -> (Nonce, Vec<u8>) {
        let key = key::of(1);
        let nonce = Nonce::new(42, &key);
        let bucket = key.bucket(crate::clock::now());
        (nonce, query(&Probe { nonce, upstream: UpstreamId(1), suffix, qtype: rtype::A, marks }, 7, &key, bucket))
    }

    fn qname(message: &[u8]) -> &[u8] {
        &message[12..12 + question_length(&message[12..]).unwrap() - 4]
    }

    #[test]
    fn our_probe_is_known_in_any_spelling_and_under_any_name() {
        for suffix in ["", "corp.example"] {
            let (sent, message) = probe(&wire(suffix), Marks::ALL);
            assert_eq!(nonce(qname(&message)), Some(sent));
            assert_eq!(nonce(&qname(&message).to_ascii_uppercase()), Some(sent));
            let mut longer = qname(&message).to_vec();
            longer.pop();
            longer.extend(wire("search.example"));
            assert_eq!(nonce(&longer), Some(sent));
            assert_eq!(nonce(&qname(&message)[6..]), Some(sent));
            assert!(sent.is_ours(&key::of(1)) && !sent.is_ours(&key::of(2)));
        }
    }

    #[test]
    fn a_nonce_that_begins_as_another_is_ours_and_another() {
        let key = key::of(1);
        let first = Nonce::new(0xabcd_0123_4567_89ab, &key);
        let second = Nonce::beginning_as(first.beginning(), 77, &key);
        assert_eq!(first.beginning(), 0xabcd);
        assert!(second.is_ours(&key) && second != first);
        assert_eq!(second.label()[..4], first.label()[..4]);
        assert_ne!(second, Nonce::beginning_as(first.beginning(), 77 << 16, &key));
    }

    #[test]
    fn a_guessed_nonce_is_not_ours() {
        let key = key::of(1);
        let (sent, _) = probe(&[0], Marks::NONE);
        for bit in 0..128 {
            let guess = Nonce((u128::from_be_bytes(sent.0) ^ (1 << bit)).to_be_bytes());
            assert!(!guess.is_ours(&key));
        }
    }

    #[test]
    fn other_names_are_no_probes() {
        for name in ["", "probe", "probe.example", "www.example.com", "probes.00000000000000000000000000000000"] {
            assert_eq!(nonce(&wire(name)), None, "{name}");
        }
        assert_eq!(nonce(&wire("probe.0000000000000000000000000000000g")), None);
        assert_eq!(nonce(&wire("probe.+0000000000000000000000000000001")), None);
        assert_eq!(nonce(&[5, b'p']), None);
    }

    #[test]
    fn marks_are_sent_as_told() {
        let (_, bare) = probe(&[0], Marks::NONE);
        assert_eq!((bare[11], bare.len()), (0, 12 + 6 + 33 + 1 + 4));
        assert_eq!(qname(&bare), qname(&bare).to_ascii_lowercase());
        let (_, full) = probe(&[0], Marks::ALL);
        let options = &full[full.len() - 22..];
        let key = key::of(1);
        let passed = tag::read(tag::find(options).unwrap(), &key, key.bucket(crate::clock::now()));
        assert_eq!(passed.own, Some(UpstreamId(1)));
        assert_ne!(qname(&full), qname(&full).to_ascii_lowercase());
        let (_, plain_opt) = probe(&[0], Marks { opt: true, ..Marks::NONE });
        assert_eq!((plain_opt[11], plain_opt.len()), (1, bare.len() + 11));
    }

    #[test]
    fn corednss_probe_is_known_under_any_suffix_and_nothing_else() {
        for (name, qtype, is) in [
            ("4611686018427387904.1234567890", rtype::HINFO, true),
            ("4611686018427387904.1234567890.cluster.local", rtype::HINFO, true),
            ("4611686018427387904.1234567890.cluster.local", 1, false),
            ("46116860184273879041.1234567890", rtype::HINFO, false),
            ("461168601.1234567890", rtype::HINFO, false),
            ("4611686018427387904.host", rtype::HINFO, false),
            ("4611686018427387904", rtype::HINFO, false),
            ("", rtype::HINFO, false),
        ] {
            assert_eq!(is_coredns_probe(&wire(name), qtype), is, "{name} {qtype}");
        }
    }

    #[test]
    fn only_noerror_and_nxdomain_are_an_upstreams_own_answer() {
        let (_, sent) = probe(&[0], Marks::ALL);
        let answer = |code: u8, change: fn(&mut Vec<u8>)| {
            let mut m = sent.clone();
            (m[2], m[3]) = (0x81, 0x80 | code);
            change(&mut m);
            heard(&sent, &m)
        };
        for code in 0..16 {
            assert_eq!(
                answer(code, |_| ()),
                Some(ProbeReply { own: matches!(code, 0 | 3), spelling_kept: true }),
                "{code}"
            );
        }
        assert_eq!(answer(3, |m| m.make_ascii_lowercase()), Some(ProbeReply { own: true, spelling_kept: false }));
        assert_eq!(answer(3, |m| m[0] ^= 1), None);
        assert_eq!(answer(3, |m| m[2] = 1), None);
        assert_eq!(answer(3, |m| m[20] ^= 1), None);
        let bare = answer(1, |m| {
            m.truncate(12);
            m[5] = 0;
        });
        assert_eq!(bare, Some(ProbeReply { own: false, spelling_kept: true }));
        assert_eq!(
            answer(0, |m| {
                m.truncate(12);
                m[5] = 0;
            }),
            None
        );
    }
}
