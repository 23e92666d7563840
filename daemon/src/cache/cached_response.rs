//! One answer as the cache keeps it: a single block of bytes that any client's query can be answered from.
//!
//! The question is not part of it, since each client spells it its own way; names in the records point back into the
//! question, whose length is the same for all. Nor is the OPT, which belongs to one hop only (RFC 6891, section 6.2.1).
//!
//! ```text
//! flags 2 │ counts 6 │ where the key ends, the TTLs' places, the errors: 2 each │ key │ places │ errors │ records
//! ```
//!
//! Where something ends or stands is told in the machine's own byte order, since no one else reads it.

use super::TtlBounds;
use crate::wire::{self, Response, flag, rcode, rtype};

/// RFC 8914: the error is one that the server remembers.
const EDE_CACHED_ERROR: u16 = 13;
const HEAD: usize = 14;

/// An answer without its question, with the key that it answers.
#[derive(Debug, Clone)]
pub struct CachedResponse(Box<[u8]>);

/// A block taken apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct View<'b> {
    /// Third and fourth byte of the header as they came.
    pub flags: [u8; 2],
    /// The numbers of records in the three sections, as in a header.
    pub counts: [u8; 6],
    places: &'b [[u8; 2]],
    /// All that stands behind the question.
    pub records: &'b [u8],
}

impl CachedResponse {
    /// Keeps `answer` under `key`; each TTL is brought into the range of `bounds`, and clients see it so.
    ///
    /// `None` for an answer whose parts before the records take more than 64 KiB, which only errors by the thousand do.
    #[must_use]
    pub fn new(key: &[u8], answer: &Response<'_>, bounds: TtlBounds) -> Option<Self> {
        let errors = answer.extended_error_options().collect::<Vec<_>>().concat();
        let [answers, authority, additional] = answer.counts();
        let counts = [answers, authority, additional].map(u16::to_be_bytes);
        let learnt =
            Learnt { flags: answer.flags(), counts, ttls: answer.ttls(), errors: &errors, records: answer.records() };
        let mut bytes = learnt.written(key)?;
        let records = bytes.len() - answer.records().map(<[u8]>::len).iter().sum::<usize>();
        for name in answer.spelled() {
            bytes.get_mut(records + name.start..records + name.end)?.make_ascii_lowercase();
        }
        for place in answer.ttls() {
            let at = records + usize::from(*place);
            let field = bytes.get_mut(at..at + 4)?.first_chunk_mut::<4>()?;
            *field = bounds.apply(wire::ttl(*field)).to_be_bytes();
        }
        Some(Self(bytes.into_boxed_slice()))
    }

    /// A failure that is remembered (RFC 9520): SERVFAIL with EDE 13.
    #[must_use]
    pub fn failure(key: &[u8]) -> Option<Self> {
        let [high, low] = EDE_CACHED_ERROR.to_be_bytes();
        let errors = [0, 15, 0, 2, high, low];
        let flags = [flag::QR, flag::RA | rcode::SERVFAIL];
        let learnt = Learnt { flags, counts: [[0; 2]; 3], ttls: &[], errors: &errors, records: [&[]; 2] };
        learnt.written(key).map(|bytes| Self(bytes.into_boxed_slice()))
    }

    /// What every answer is made of; all at once, since that takes fewer checks.
    #[inline]
    #[must_use]
    pub fn parts(&self) -> View<'_> {
        let bytes = &self.0[..];
        let Some(&[high, low, counts @ .., k1, k2, p1, p2, e1, e2]) = bytes.first_chunk::<HEAD>() else {
            return View::default();
        };
        let [key_end, places_end, errors_end] = [[k1, k2], [p1, p2], [e1, e2]].map(offset);
        View {
            flags: [high, low],
            counts,
            places: bytes.get(key_end..places_end).unwrap_or_default().as_chunks().0,
            records: bytes.get(errors_end..).unwrap_or_default(),
        }
    }

    /// The EDNS options that tell of errors (RFC 8914), for clients that sent an OPT.
    #[inline]
    #[must_use]
    pub fn errors(&self) -> &[u8] {
        match self.0.first_chunk::<HEAD>() {
            Some(&[.., p1, p2, e1, e2]) => self.0.get(offset([p1, p2])..offset([e1, e2])).unwrap_or_default(),
            None => &[],
        }
    }

    /// What the answer is to: the bytes of a [`crate::wire::QuestionKey`].
    #[inline]
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self.0.first_chunk::<HEAD>() {
            Some(&[.., k1, k2, _, _, _, _]) => self.0.get(HEAD..offset([k1, k2])).unwrap_or_default(),
            None => &[],
        }
    }

    /// The response code, without the upper bits of EDNS.
    #[must_use]
    pub fn rcode(&self) -> u8 {
        self.parts().rcode()
    }

    /// Whether records are missing, since they did not fit into a datagram.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.parts().flags[0] & flag::TC != 0
    }

    /// Whether it says that there is nothing: NXDOMAIN, or NOERROR without a record of the type asked (RFC 2308,
    /// section 2).
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match self.rcode() {
            rcode::NXDOMAIN => true,
            rcode::NOERROR => !self.has_asked_type(),
            _ => false,
        }
    }

    /// Whether the answer section has a record of the type asked.
    fn has_asked_type(&self) -> bool {
        let View { counts: [high, low, ..], records, .. } = self.parts();
        let asked = self.key().len().checked_sub(4).and_then(|at| wire::u16_at(self.key(), at));
        let mut at = 0;
        for _ in 0..u16::from_be_bytes([high, low]) {
            let Some(fixed) = wire::name_end(records, at) else { return false };
            let (rtype, length) = (wire::u16_at(records, fixed), wire::u16_at(records, fixed + 8));
            if rtype == asked || asked == Some(rtype::ANY) {
                return true;
            }
            at = fixed + 10 + usize::from(length.unwrap_or(0));
        }
        false
    }

    /// Takes bytes that were a block before, in a process of the same build.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The block's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The block's size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl View<'_> {
    /// The response code, without the upper bits of EDNS.
    #[inline]
    #[must_use]
    pub fn rcode(&self) -> u8 {
        self.flags[1] & flag::RCODE
    }

    /// Where the TTLs stand in the records.
    #[inline]
    pub fn ttls(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().map(|place| offset(*place))
    }
}

#[inline]
fn offset(at: [u8; 2]) -> usize {
    u16::from_ne_bytes(at).into()
}

/// What a block is written from.
struct Learnt<'a> {
    flags: [u8; 2],
    counts: [[u8; 2]; 3],
    ttls: &'a [u16],
    errors: &'a [u8],
    records: [&'a [u8]; 2],
}

impl Learnt<'_> {
    /// The block's bytes, in room that fits them exactly.
    fn written(&self, key: &[u8]) -> Option<Vec<u8>> {
        let Self { flags, counts, ttls, errors, records } = self;
        let key_end = HEAD + key.len();
        let places_end = key_end + 2 * ttls.len();
        let errors_end = places_end + errors.len();
        let mut bytes = Vec::with_capacity(errors_end + records[0].len() + records[1].len());
        bytes.extend_from_slice(flags);
        bytes.extend_from_slice(counts.as_flattened());
        for end in [key_end, places_end, errors_end] {
            bytes.extend_from_slice(&u16::try_from(end).ok()?.to_ne_bytes());
        }
        bytes.extend_from_slice(key);
        for place in *ttls {
            bytes.extend_from_slice(&place.to_ne_bytes());
        }
        bytes.extend_from_slice(errors);
        records.iter().for_each(|part| bytes.extend_from_slice(part));
        Some(bytes)
    }
}
