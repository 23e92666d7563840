//! One answer as the cache keeps it: a single block of bytes that any client's query can be answered from.
//!
//! The question is not part of it, since each client spells it its own way; names in the records point back into the
//! question, whose length is the same for all. Nor is the OPT, which belongs to one hop only (RFC 6891, section 6.2.1).
//!
//! ```text
//! flags 2 │ counts 6 │ key length │ TTL places n │ errors length │ key │ places 2n │ errors │ records
//! ```

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use crate::wire::{Answer, flag, rcode, u16_at};

/// RFC 8914: the error is one that the server remembers.
const EDE_CACHED_ERROR: u16 = 13;
const HEAD: usize = 14;

/// An answer without its question; hashed and compared by its key, as the cache needs it.
#[derive(Debug, Clone)]
pub struct Block(Box<[u8]>);

/// A block taken apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts<'b> {
    /// Third and fourth byte of the header as they came.
    pub flags: [u8; 2],
    /// The numbers of records in the three sections, as in a header.
    pub counts: [u8; 6],
    places: &'b [[u8; 2]],
    /// The EDNS options that tell of errors (RFC 8914), for clients that sent an OPT.
    pub errors: &'b [u8],
    /// All that stands behind the question.
    pub records: &'b [u8],
}

impl Block {
    /// Keeps `answer` under `key`; each TTL is brought into `ttl`'s range (seconds), which is then what clients see.
    ///
    /// `None` for an answer with more records than a message can hold.
    #[must_use]
    pub fn new(key: &[u8], answer: &Answer<'_>, ttl: std::ops::RangeInclusive<u32>) -> Option<Self> {
        let errors = answer.extended_error_options().collect::<Vec<_>>().concat();
        let [answers, authority, additional] = answer.counts();
        let counts = [answers, authority, additional].map(u16::to_be_bytes);
        let learnt =
            Learnt { flags: answer.flags(), counts, ttls: answer.ttls(), errors: &errors, records: answer.records() };
        let mut bytes = learnt.written(key)?;
        let records = bytes.len() - answer.records().len();
        for name in answer.spelled() {
            bytes.get_mut(records + name.start..records + name.end)?.make_ascii_lowercase();
        }
        for place in answer.ttls() {
            let at = records + usize::from(*place);
            let field = bytes.get_mut(at..at + 4)?.first_chunk_mut::<4>()?;
            *field = u32::from_be_bytes(*field).clamp(*ttl.start(), *ttl.end()).to_be_bytes();
        }
        Some(Self(bytes.into_boxed_slice()))
    }

    /// A failure that is remembered (RFC 9520): SERVFAIL with EDE 13.
    #[must_use]
    pub fn failure(key: &[u8]) -> Option<Self> {
        let [high, low] = EDE_CACHED_ERROR.to_be_bytes();
        let errors = [0, 15, 0, 2, high, low];
        let flags = [flag::QR, flag::RA | rcode::SERVFAIL];
        let learnt = Learnt { flags, counts: [[0; 2]; 3], ttls: &[], errors: &errors, records: &[] };
        learnt.written(key).map(|bytes| Self(bytes.into_boxed_slice()))
    }

    /// What an answer is made of; all at once, since that takes one walk over the lengths.
    #[inline]
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        let Some((head, rest)) = self.0.split_first_chunk::<HEAD>() else { return Parts::default() };
        let &[high, low, counts @ .., key_high, key_low, places_high, places_low, errors_high, errors_low] = head;
        let length = |high, low| usize::from(u16::from_be_bytes([high, low]));
        let (_key, rest) = rest.split_at_checked(length(key_high, key_low)).unwrap_or_default();
        let (places, rest) = rest.split_at_checked(2 * length(places_high, places_low)).unwrap_or_default();
        let (errors, records) = rest.split_at_checked(length(errors_high, errors_low)).unwrap_or_default();
        Parts { flags: [high, low], counts, places: places.as_chunks().0, errors, records }
    }

    /// What the answer is to: the bytes of a [`crate::wire::Key`].
    #[inline]
    #[must_use]
    pub fn key(&self) -> &[u8] {
        let length = u16_at(&self.0, 8).unwrap_or(0);
        self.0.get(HEAD..).and_then(|rest| rest.get(..length.into())).unwrap_or_default()
    }

    /// The response code, without the upper bits of EDNS.
    #[must_use]
    pub fn rcode(&self) -> u8 {
        self.parts().rcode()
    }

    /// The block's size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl Parts<'_> {
    /// The response code, without the upper bits of EDNS.
    #[inline]
    #[must_use]
    pub fn rcode(&self) -> u8 {
        self.flags[1] & flag::RCODE
    }

    /// Where the TTLs stand in the records.
    #[inline]
    pub fn ttls(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().map(|place| u16::from_be_bytes(*place).into())
    }
}

/// What a block is written from.
struct Learnt<'a> {
    flags: [u8; 2],
    counts: [[u8; 2]; 3],
    ttls: &'a [u16],
    errors: &'a [u8],
    records: &'a [u8],
}

impl Learnt<'_> {
    /// The block's bytes, in room that fits them exactly.
    fn written(&self, key: &[u8]) -> Option<Vec<u8>> {
        let Self { flags, counts, ttls, errors, records } = self;
        let size = HEAD + key.len() + 2 * ttls.len() + errors.len() + records.len();
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(flags);
        bytes.extend_from_slice(counts.as_flattened());
        for length in [key.len(), ttls.len(), errors.len()] {
            bytes.extend_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
        }
        bytes.extend_from_slice(key);
        for place in *ttls {
            bytes.extend_from_slice(&place.to_be_bytes());
        }
        bytes.extend_from_slice(errors);
        bytes.extend_from_slice(records);
        Some(bytes)
    }
}

impl Borrow<[u8]> for Block {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl Hash for Block {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialEq for Block {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Block {}
