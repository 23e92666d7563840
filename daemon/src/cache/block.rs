//! One answer as the cache keeps it: a single block of bytes that any client's query can be answered from.
//!
//! The question is not part of it, since each client spells it its own way; names in the records point back into the
//! question, whose length is the same for all. Nor is the OPT, which belongs to one hop only (RFC 6891, section 6.2.1).
//!
//! ```text
//! flags 2 │ counts 6 │ TTL places n │ key length │ errors length │ places 2n │ key │ errors │ records
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

impl Block {
    /// Keeps `answer` under `key`; each TTL is brought into `ttl`'s range (seconds), which is then what clients see.
    ///
    /// `None` for an answer with more records than a message can hold.
    #[must_use]
    pub fn new(key: &[u8], answer: &Answer<'_>, ttl: std::ops::RangeInclusive<u32>) -> Option<Self> {
        let errors = answer.extended_error_options().collect::<Vec<_>>().concat();
        let [answers, authority, additional] = answer.counts();
        let counts = [answers, authority, additional].map(u16::to_be_bytes);
        let mut bytes = Self::head(answer.flags(), counts, answer.ttls(), key, &errors)?;
        let records = bytes.len();
        bytes.extend(answer.records());
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
        Self::head(flags, [[0; 2]; 3], &[], key, &errors).map(|bytes| Self(bytes.into_boxed_slice()))
    }

    fn head(flags: [u8; 2], counts: [[u8; 2]; 3], ttls: &[u16], key: &[u8], errors: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(HEAD + 2 * ttls.len() + key.len() + errors.len() + 64);
        bytes.extend(flags);
        bytes.extend(counts.as_flattened());
        for length in [ttls.len(), key.len(), errors.len()] {
            bytes.extend(u16::try_from(length).ok()?.to_be_bytes());
        }
        bytes.extend(ttls.iter().flat_map(|place| place.to_be_bytes()));
        bytes.extend(key);
        bytes.extend(errors);
        Some(bytes)
    }

    /// Third and fourth byte of the header as they came.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> [u8; 2] {
        self.0.first_chunk().copied().unwrap_or_default()
    }

    /// The numbers of records in the three sections, as in a header.
    #[inline]
    #[must_use]
    pub fn counts(&self) -> [u8; 6] {
        self.0.get(2..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
    }

    /// Where the TTLs stand in [`Self::records`].
    #[inline]
    pub fn ttls(&self) -> impl Iterator<Item = usize> + '_ {
        let places = self.0.get(HEAD..self.key_at()).unwrap_or_default();
        places.chunks_exact(2).filter_map(|place| u16_at(place, 0)).map(usize::from)
    }

    /// What the answer is to: the bytes of a [`crate::wire::Key`].
    #[inline]
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.get(self.key_at()..self.errors_at()).unwrap_or_default()
    }

    /// The EDNS options that tell of errors (RFC 8914), for clients that sent an OPT.
    #[inline]
    #[must_use]
    pub fn errors(&self) -> &[u8] {
        self.0.get(self.errors_at()..self.records_at()).unwrap_or_default()
    }

    /// All that stands behind the question.
    #[inline]
    #[must_use]
    pub fn records(&self) -> &[u8] {
        self.0.get(self.records_at()..).unwrap_or_default()
    }

    /// The response code, without the upper bits of EDNS.
    #[must_use]
    pub fn rcode(&self) -> u8 {
        self.flags()[1] & flag::RCODE
    }

    /// The block's size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn length(&self, at: usize) -> usize {
        u16_at(&self.0, at).unwrap_or(0).into()
    }

    #[inline]
    fn key_at(&self) -> usize {
        HEAD + 2 * self.length(8)
    }

    #[inline]
    fn errors_at(&self) -> usize {
        self.key_at() + self.length(10)
    }

    #[inline]
    fn records_at(&self) -> usize {
        self.errors_at() + self.length(12)
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
