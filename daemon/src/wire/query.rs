//! The plain query: one ordinary question with at most an OPT behind it, which is what nearly every packet is.
//!
//! Written by hand because it runs for each packet; it allocates nothing and reads no byte twice. Whatever is not plain
//! ([`NotPlain`]) goes to `admit::triage`, which knows the rest of the protocol; the two are held against each other by
//! tests.

use std::sync::Arc;

use smallvec::SmallVec;

use super::name::NAME_MAX;
use super::{HEADER, flag, rtype, u16_at};

/// DO and CD, then name, type and class.
pub(crate) const KEY_MAX: usize = 1 + NAME_MAX + 4;
/// The four counts of a plain query's header, as one number: one question, and perhaps an OPT.
const ONE_QUESTION: u64 = 1 << 48;
const ONE_QUESTION_AND_ONE_MORE: u64 = ONE_QUESTION | 1;
/// Lower-casing works on whole blocks of the key.
const BLOCK: usize = 32;
/// What a client without EDNS takes (RFC 1035, section 4.2.1), and the least that EDNS may say (RFC 6891, section
/// 6.2.3).
pub const PAYLOAD_MIN: u16 = 512;

/// The packet is not a plain query. It may still be a good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPlain;

/// What two queries must share to share an answer: lower-cased name, type, class, DO and CD.
///
/// One byte with the bits of DO and CD, then the question's wire form, lower-cased.
/// Cheap to clone, since waiters and lookups share it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct QuestionKey(Arc<[u8]>);

/// A plain query as read from a packet. Made once and read into again, so that nothing is allocated for a packet.
#[derive(Debug, Clone)]
pub struct Query {
    key: [u8; KEY_MAX.next_multiple_of(BLOCK)],
    key_length: usize,
    question_end: usize,
    payload: Option<u16>,
    flags: [u8; 2],
    options: (usize, usize),
}

impl Default for Query {
    fn default() -> Self {
        Self {
            key: [0; KEY_MAX.next_multiple_of(BLOCK)],
            key_length: 0,
            question_end: 0,
            payload: None,
            flags: [0; 2],
            options: (0, 0),
        }
    }
}

impl Query {
    /// Reads `packet` into this query.
    ///
    /// # Errors
    /// Where the packet is anything but: QR, opcode, AA, TC and the response code zero; one question of an ordinary
    /// type with an uncompressed name; no other record than one OPT of version 0; nothing behind that.
    #[inline]
    pub fn read(&mut self, packet: &[u8]) -> Result<(), NotPlain> {
        let Some(&[_, _, high, low, counts @ ..]) = packet.first_chunk::<HEADER>() else {
            return Err(NotPlain);
        };
        let has_opt = match u64::from_be_bytes(counts) {
            ONE_QUESTION => false,
            ONE_QUESTION_AND_ONE_MORE => true,
            _ => return Err(NotPlain),
        };
        if high & !flag::RD != 0 || low & (flag::RA | flag::RCODE) != 0 {
            return Err(NotPlain);
        }
        let end = question_end(packet).ok_or(NotPlain)?;
        let mut bits = low & flag::CD;
        self.flags = [high, low];
        if has_opt {
            let dnssec = self.read_opt(packet, end)?;
            bits |= dnssec;
        } else {
            if packet.len() != end {
                return Err(NotPlain);
            }
            self.payload = None;
            self.options = (end, end);
        }
        self.write_key(packet, end, bits)
    }

    /// Reads the OPT (RFC 6891, section 6.1.2) but not what its options say; returns its DO bit.
    #[inline]
    fn read_opt(&mut self, packet: &[u8], at: usize) -> Result<u8, NotPlain> {
        let Some(&[0, 0, 41, size_high, size_low, _, 0, dnssec, _, length_high, length_low]) =
            packet.get(at..).and_then(|rest| rest.first_chunk::<11>())
        else {
            return Err(NotPlain);
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if packet.len() != at + 11 + length {
            return Err(NotPlain);
        }
        let mut option = at + 11;
        while option < packet.len() {
            let length = u16_at(packet, option + 2).ok_or(NotPlain)?;
            option += 4 + usize::from(length);
        }
        if option != packet.len() {
            return Err(NotPlain);
        }
        self.payload = Some(u16::from_be_bytes([size_high, size_low]).max(PAYLOAD_MIN));
        self.options = (at + 11, at + 11 + length);
        Ok(dnssec & flag::DO)
    }

    #[inline(always)]
    fn write_key(&mut self, packet: &[u8], end: usize, bits: u8) -> Result<(), NotPlain> {
        let question = packet.get(HEADER..end).ok_or(NotPlain)?;
        let type_and_class = question.last_chunk::<4>().ok_or(NotPlain)?;
        let length = 1 + question.len();
        let [first, rest @ ..] = &mut self.key;
        *first = bits;
        rest.get_mut(..question.len()).ok_or(NotPlain)?.copy_from_slice(question);
        // The bits and the length bytes of labels are no letters, so all can be lowered at once, in whole blocks, which
        // takes a few instructions for each; type and class are put back.
        let blocks = self.key.as_chunks_mut::<BLOCK>().0.get_mut(..length.div_ceil(BLOCK)).ok_or(NotPlain)?;
        blocks.iter_mut().for_each(|block| block.make_ascii_lowercase());
        *self.key.get_mut(length - 4..).and_then(|end| end.first_chunk_mut()).ok_or(NotPlain)? = *type_and_class;
        self.key_length = length;
        self.question_end = end;
        match u16::from_be_bytes([type_and_class[0], type_and_class[1]]) {
            rtype::OPT | rtype::IXFR | rtype::AXFR => Err(NotPlain),
            _ => Ok(()),
        }
    }

    /// The key's bytes, as [`QuestionKey`] holds them.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.key.get(..self.key_length).unwrap_or_default()
    }

    /// The question's name, lower-cased, as on the wire.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        name_of(self.key())
    }

    /// The question's type.
    #[inline]
    #[must_use]
    pub fn qtype(&self) -> u16 {
        self.key_length.checked_sub(4).and_then(|at| u16_at(&self.key, at)).unwrap_or(0)
    }

    /// Where the question ends in the packet.
    #[inline]
    #[must_use]
    pub fn question_end(&self) -> usize {
        self.question_end
    }

    /// The largest answer that the client takes over UDP, where it sent an OPT; never less than 512 bytes.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> Option<u16> {
        self.payload
    }

    /// Whether the client wants recursion.
    #[inline]
    #[must_use]
    pub fn wants_recursion(&self) -> bool {
        self.flags[0] & flag::RD != 0
    }

    /// Whether the client wants to know if the data is authentic: it set AD (RFC 6840, section 5.7) or DO.
    #[inline]
    #[must_use]
    pub fn wants_authentic(&self) -> bool {
        self.flags[1] & flag::AD != 0 || self.wants_dnssec()
    }

    /// Whether the client set DO.
    #[inline]
    #[must_use]
    pub fn wants_dnssec(&self) -> bool {
        self.key.first().is_some_and(|bits| bits & flag::DO != 0)
    }

    /// Whether DO or CD is set, by which the same question has another key.
    #[inline]
    #[must_use]
    pub fn asks_for_more(&self) -> bool {
        self.key.first().is_some_and(|bits| *bits != 0)
    }

    /// The keys of the same question with DO and CD as here or unset: Unbound and BIND set them on what they forward.
    pub fn keys_that_ask_less(&self) -> impl Iterator<Item = SmallVec<[u8; 64]>> {
        let bits = self.key.first().copied().unwrap_or(0);
        let fewer = [0, flag::CD, flag::DO, flag::DO | flag::CD].into_iter().filter(move |fewer| fewer & !bits == 0);
        fewer.map(|fewer| {
            let mut key = SmallVec::from_slice(self.key());
            key.first_mut().into_iter().for_each(|first| *first = fewer);
            key
        })
    }

    /// The client's EDNS options, unread.
    #[must_use]
    pub fn options<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        packet.get(self.options.0..self.options.1).unwrap_or_default()
    }
}

impl QuestionKey {
    /// Keeps a key's bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// DO and CD, then the question, lower-cased.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The question in its wire form, lower-cased.
    #[must_use]
    pub fn question(&self) -> &[u8] {
        self.0.get(1..).unwrap_or_default()
    }

    /// The name in its wire form, lower-cased.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        name_of(&self.0)
    }

    /// The type.
    #[must_use]
    pub fn qtype(&self) -> u16 {
        self.0.len().checked_sub(4).and_then(|at| u16_at(&self.0, at)).unwrap_or(0)
    }

    /// Whether DO is set.
    #[must_use]
    pub fn wants_dnssec(&self) -> bool {
        self.0.first().is_some_and(|bits| bits & flag::DO != 0)
    }

    /// Whether CD is set.
    #[must_use]
    pub fn checking_disabled(&self) -> bool {
        self.0.first().is_some_and(|bits| bits & flag::CD != 0)
    }
}

impl std::borrow::Borrow<[u8]> for QuestionKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for QuestionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QuestionKey({} type {})", shown(self.name()), self.qtype())
    }
}

/// A wire name as people write it (RFC 4343, section 2.1: what is not printable as `\DDD`).
#[must_use]
pub(crate) fn shown(name: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((&length, after)) = rest.split_first() {
        let Some((label, next)) = after.split_at_checked(usize::from(length)) else { break };
        if length == 0 {
            break;
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
                b'!'..=b'~' => text.push(char::from(byte)),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
        text.push('.');
        rest = next;
    }
    if text.is_empty() { ".".into() } else { text }
}

/// As [`shown`], without the last dot: how domains are written in a configuration. Nothing for the root.
pub(crate) fn shown_as_domain(name: &[u8]) -> String {
    let mut text = shown(name);
    text.pop();
    text
}

/// The name in the bytes of a [`QuestionKey`].
pub(crate) fn name_of(key: &[u8]) -> &[u8] {
    key.get(1..key.len().saturating_sub(4)).unwrap_or_default()
}

/// Where the question ends, where its name is uncompressed and not too long.
#[inline]
fn question_end(packet: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match packet.get(at) {
            Some(0) => break,
            Some(&length) if length < 64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
    let end = at + 5; // the root label, type, class
    (end <= packet.len() && at + 1 - HEADER <= NAME_MAX).then_some(end)
}

#[cfg(test)]
pub(crate) mod packets;
#[cfg(test)]
mod tests;
