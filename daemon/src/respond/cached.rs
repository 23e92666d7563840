//! Dresses a cached block for one client: its ID and spelling, its flags, TTLs counted down, an OPT where it sent one.
//!
//! Part of the hot path: bounds-checked, no allocation, one pass.

use crate::cache::{CachedResponse, STALE_TTL, View};
use crate::upstream::Transport;
use crate::wire::{HEADER, Query, flag, rcode};

/// Length of an OPT without options (RFC 6891, section 6.1.2).
pub(crate) const OPT: usize = 11;
/// RFC 8914: a stale answer, and a stale NXDOMAIN.
const EDE_STALE: [u8; 6] = [0, 15, 0, 2, 0, 3];
const EDE_STALE_NXDOMAIN: [u8; 6] = [0, 15, 0, 2, 0, 19];

/// What an answer needs to know of the query that it answers, beside its header and question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseParams {
    /// Whether it sent an OPT.
    pub opt: bool,
    /// Whether it set DO.
    pub dnssec: bool,
    /// Whether it set AD or DO.
    pub authentic: bool,
    /// The most bytes that the answer may have.
    pub room: usize,
    /// What we say in our OPT that we take over UDP (RFC 6891, section 6.2.3).
    pub payload: u16,
}

/// How old the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Seconds since it was learnt.
    Seconds(u32),
    /// Past its end: TTLs of 30 s and a word on it (RFC 8767, section 4; RFC 8914).
    Stale,
}

impl ResponseParams {
    /// Of a plain query; `payload` is our own limit for UDP, in bytes.
    #[inline]
    #[must_use]
    pub fn new(query: &Query, payload: u16, transport: Transport) -> Self {
        let room = match transport {
            // Without EDNS a client takes 512 bytes (RFC 1035, section 4.2.1).
            Transport::Udp => usize::from(query.payload().unwrap_or(512).min(payload)),
            Transport::Tcp | Transport::Tls => usize::from(u16::MAX),
        };
        Self {
            opt: query.payload().is_some(),
            dnssec: query.wants_dnssec(),
            authentic: query.wants_authentic(),
            room,
            payload,
        }
    }
}

/// Writes the answer to a query that began with `head` (header and question) to `out`, in the place of what was there;
/// one that does not fit is cut to its question, with TC.
#[inline(always)]
pub fn write_cached(head: &[u8], wants: ResponseParams, block: &CachedResponse, age: Age, out: &mut Vec<u8>) {
    let answer = block.parts();
    let errors = match age {
        _ if !wants.opt => [&[][..], &[]],
        Age::Seconds(_) => [block.errors(), &[]],
        Age::Stale if answer.rcode() == rcode::NXDOMAIN => [block.errors(), &EDE_STALE_NXDOMAIN],
        Age::Stale => [block.errors(), &EDE_STALE],
    };
    let opt = if wants.opt { OPT + errors[0].len() + errors[1].len() } else { 0 };
    out.clear();
    out.extend_from_slice(head);
    if head.len() + answer.records.len() + opt <= wants.room {
        write_head(wants, answer, 0, answer.counts, out);
        write_records(answer, age, out);
        write_opt(wants, errors, out);
    } else {
        // An answer that is cut still has its OPT (RFC 6891, section 7).
        write_head(wants, answer, flag::TC, [0; 6], out);
        write_opt(wants, [&[], &[]], out);
    }
}

#[inline]
fn write_head(wants: ResponseParams, answer: View<'_>, cut: u8, counts: [u8; 6], out: &mut [u8]) {
    let Some([_, _, high, low, _, _, rest @ ..]) = out.first_chunk_mut::<HEADER>() else { return };
    let [learnt_high, learnt_low] = answer.flags;
    let authentic = if wants.authentic { flag::AD } else { 0 }; // RFC 6840, section 5.8
    // An answer that no stream would bring whole is passed on as it came, cut.
    *high = flag::QR | learnt_high & (flag::AA | flag::TC) | cut | *high & flag::RD;
    // Recursion is available here, whatever the upstream says of itself.
    *low = flag::RA | learnt_low & (flag::RCODE | authentic) | *low & flag::CD;
    *rest = counts;
}

#[inline]
fn write_records(answer: View<'_>, age: Age, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(answer.records);
    for place in answer.ttls() {
        if let Some(field) = out.get_mut(at + place..).and_then(|ttl| ttl.first_chunk_mut::<4>()) {
            *field = match age {
                Age::Seconds(age) => u32::from_be_bytes(*field).saturating_sub(age).to_be_bytes(),
                Age::Stale => STALE_TTL.to_be_bytes(),
            };
        }
    }
}

#[inline]
fn write_opt(wants: ResponseParams, errors: [&[u8]; 2], out: &mut Vec<u8>) {
    if !wants.opt {
        return;
    }
    let length: usize = errors.iter().map(|option| option.len()).sum();
    let [length_high, length_low] = u16::try_from(length).unwrap_or(0).to_be_bytes();
    let [size_high, size_low] = wants.payload.to_be_bytes();
    let dnssec = if wants.dnssec { flag::DO } else { 0 };
    out.extend_from_slice(&[0, 0, 41, size_high, size_low, 0, 0, dnssec, 0, length_high, length_low]);
    if length > 0 {
        errors.into_iter().for_each(|options| out.extend_from_slice(options));
    }
    if let Some(additional) = out.get_mut(10..).and_then(|counts| counts.first_chunk_mut::<2>()) {
        *additional = u16::from_be_bytes(*additional).saturating_add(1).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::TtlBounds;
    use crate::wire::Response;

    const QUESTION: &[u8] = b"\x01a\x07example\0\0\x01\0\x01";
    const END: usize = 12 + 15;

    fn query(opt: bool) -> (Vec<u8>, Query) {
        let mut packet = b"\xab\xcd\x01\x20\0\x01\0\0\0\0\0\0\x01A\x07eXample\0\0\x01\0\x01".to_vec();
        if opt {
            packet[11] = 1;
            packet.extend([0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
        }
        let mut query = Query::default();
        query.read(&packet).unwrap();
        (packet, query)
    }

    fn block(size: u16, code: u8) -> CachedResponse {
        let mut m = vec![0, 1, 0x85, 0xa0 | code, 0, 1, 0, 1, 0, 0, 0, 1];
        m.extend(QUESTION);
        m.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0]);
        m.extend(size.to_be_bytes());
        m.resize(m.len() + usize::from(size), 7);
        m.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, 6]);
        CachedResponse::new(b"key", &Response::read(&m, END).unwrap(), TtlBounds::new(0, 86_400)).unwrap()
    }

    fn dressed(opt: bool, block: &CachedResponse, age: Age, transport: Transport) -> Vec<u8> {
        let (packet, query) = query(opt);
        let mut out = vec![0xee; 7];
        let wants = ResponseParams::new(&query, 1232, transport);
        write_cached(&packet[..query.question_end()], wants, block, age, &mut out);
        out
    }

    #[test]
    fn id_spelling_ttl_and_flags_are_the_clients() {
        let out = dressed(false, &block(4, 0), Age::Seconds(56), Transport::Udp);
        assert_eq!(&out[..12], [0xab, 0xcd, 0x85, 0xa0, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(&out[12..END], b"\x01A\x07eXample\0\0\x01\0\x01");
        assert_eq!(out[END + 6..END + 10], 200_u32.to_be_bytes());
        assert_eq!(out.len(), END + 16);
    }

    #[test]
    fn recursion_is_ours_to_offer() {
        let mut m = vec![0, 1, 0x85, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        m.extend(QUESTION);
        let authoritative =
            CachedResponse::new(b"key", &Response::read(&m, END).unwrap(), TtlBounds::new(0, 86_400)).unwrap();
        assert_eq!(dressed(false, &authoritative, Age::Seconds(0), Transport::Udp)[3] & flag::RA, flag::RA);
    }

    #[test]
    fn an_opt_is_answered_with_an_opt_and_the_errors() {
        let out = dressed(true, &block(4, 0), Age::Seconds(0), Transport::Udp);
        assert_eq!(out[11], 1);
        assert_eq!(out[END + 16..], [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 6, 0, 15, 0, 2, 0, 6]);
    }

    #[test]
    fn a_stale_answer_says_so() {
        let out = dressed(true, &block(4, 3), Age::Stale, Transport::Udp);
        assert_eq!(out[END + 6..END + 10], 30_u32.to_be_bytes());
        assert!(out.ends_with(&EDE_STALE_NXDOMAIN));
    }

    #[test]
    fn what_does_not_fit_is_cut_to_the_question_and_the_opt() {
        let big = block(1300, 0);
        let out = dressed(true, &big, Age::Seconds(0), Transport::Udp);
        assert_eq!(out.len(), END + OPT);
        assert_eq!(out[2] & flag::TC, flag::TC);
        assert_eq!(out[4..12], [0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(dressed(true, &big, Age::Seconds(0), Transport::Tcp).len(), END + 1312 + OPT + 6);
        assert_eq!(dressed(false, &block(500, 0), Age::Seconds(0), Transport::Udp).len(), END);
    }
}
