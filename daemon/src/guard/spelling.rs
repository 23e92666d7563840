//! The second witness: the spelling of names. Pure.
//!
//! Names are compared without regard to case (RFC 4343), and most servers pass them on and answer them as spelled. So
//! the letters of a name can carry a pattern (as in draft-vixie-dnsext-dns0x20): keyed by name and upstream, which
//! makes it the same for each ask and unknown to others. It is never all lower case, which is how most clients ask, and
//! never the asker's own spelling; where the pattern would be either, a letter of it is turned, and both patterns count
//! as ours.
//!
//! **How many letters make a witness.** A client that spells at random hits one of our two patterns by chance with
//! 2 in 2^n for n letters and each upstream that was asked, three at most. Only a question that is in flight is
//! compared. From [`HINT`] letters on a match lets the lookup go on to its next upstream and asks for a probe: should
//! it be chance (below 3 of 100 such twins with 8 letters, 1 of 700,000 with 22), nobody is refused anything and one
//! limited probe is sent. Only from [`WITNESS`] letters on, where chance is below 1 in 2.7 million twins, may the
//! packet itself be refused when 50 ms bring no answer; together with the twin and the slow lookup that this takes, a
//! million ordinary queries see none. Names with fewer letters still get their pattern, against forged answers, but it
//! tells nothing.

use super::key::MarkKey;
use crate::upstream::UpstreamId;
use crate::wire::name::NAME_MAX;

/// Minimum number of letters in a name for a match to be a hint.
pub(crate) const HINT: u32 = 8;
/// Minimum number of letters in a name for a match to be a witness.
pub(crate) const WITNESS: u32 = 24;

/// How much a spelling that we know again says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// The lookup may go on and a probe may be sent; the packet waits as any other.
    Hint,
    /// The packet is taken for ours.
    Witness,
}

/// Spells `name` (wire form, uncompressed, in lower case) for `upstream`. `asker` is the name as it was asked.
pub(crate) fn spell(name: &mut [u8], upstream: UpstreamId, asker: &[u8], key: &MarkKey) {
    pattern(name, upstream, key);
    if name == asker {
        turn(name);
    }
}

/// Whether `arrived`, a name as it was asked, is spelled as we spell it for `upstream`.
#[must_use]
pub(crate) fn recognise(arrived: &[u8], upstream: UpstreamId, key: &MarkKey) -> Option<Strength> {
    let mut buffer = [0; NAME_MAX];
    let spelled = buffer.get_mut(..arrived.len())?;
    spelled.copy_from_slice(arrived);
    spelled.make_ascii_lowercase();
    // Most clients ask all in lower case, which is never ours: no hash for them.
    if spelled == arrived {
        return None;
    }
    let letters = spelled.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    let strength = match u32::try_from(letters).unwrap_or(u32::MAX) {
        ..HINT => return None,
        HINT..WITNESS => Strength::Hint,
        WITNESS.. => Strength::Witness,
    };
    pattern(spelled, upstream, key);
    let is_ours = spelled == arrived || {
        turn(spelled);
        spelled == arrived
    };
    is_ours.then_some(strength)
}

/// Spells a name in lower case in its pattern: one bit of a keyed hash for each byte, which turns it where it is a
/// letter.
fn pattern(name: &mut [u8], upstream: UpstreamId, key: &MarkKey) {
    let mut words = [0; NAME_MAX.div_ceil(64)];
    for (word, part) in words.iter_mut().zip(0_u8..).take(name.len().div_ceil(64)) {
        *word = key.mac_of_name(upstream, part, name);
    }
    let mut turned = 0;
    // Eight bytes at a time: this runs for each question that is asked.
    for (part, mut bits) in name.chunks_mut(64).zip(words) {
        let (eights, rest) = part.as_chunks_mut::<8>();
        for eight in eights {
            turned |= spell_eight(eight, bits);
            bits >>= 8;
        }
        for byte in rest {
            let turns = if byte.is_ascii_lowercase() && bits & 1 == 1 { CASE } else { 0 };
            *byte ^= turns;
            turned |= u64::from(turns);
            bits >>= 1;
        }
    }
    if turned == 0 {
        turn_letter(name.iter_mut().find(|byte| byte.is_ascii_alphabetic()));
    }
}

/// Makes the other pattern of a name of it: the first letter turned, or the last where that would leave no upper case.
fn turn(name: &mut [u8]) {
    turn_letter(name.iter_mut().find(|byte| byte.is_ascii_alphabetic()));
    if !name.iter().any(u8::is_ascii_uppercase) {
        let count = name.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        if count > 1 {
            turn_letter(name.iter_mut().rfind(|byte| byte.is_ascii_alphabetic()));
        }
    }
}

fn turn_letter(letter: Option<&mut u8>) {
    if let Some(letter) = letter {
        *letter ^= CASE;
    }
}

/// The bit that tells upper case from lower.
const CASE: u8 = 0x20;
const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = EACH * 0x80;

/// Turns those of eight bytes that are letters and whose bit is set; returns which.
fn spell_eight(eight: &mut [u8; 8], bits: u64) -> u64 {
    let lower = u64::from_le_bytes(*eight);
    let turns = letters(lower) & chosen(bits & 0xff);
    *eight = (lower ^ turns).to_le_bytes();
    turns
}

/// [`CASE`] in each of eight bytes that is a letter in lower case.
fn letters(eight: u64) -> u64 {
    let low = eight & !HIGH;
    // The high bit of each byte tells whether what is below it is at least `a`, and whether it is beyond `z`.
    let from_a = low + EACH * u64::from(0x80 - b'a');
    let beyond_z = low + EACH * u64::from(0x7f - b'z');
    (!eight & from_a & !beyond_z & HIGH) >> 2
}

/// [`CASE`] in each of eight bytes whose bit is set.
fn chosen(bits: u64) -> u64 {
    let alone = (bits * EACH) & 0x8040_2010_0804_0201;
    // What is not zero reaches the high bit; none overflows into the next byte.
    ((alone + EACH * 0x7f) & HIGH) >> 2
}

#[cfg(test)]
mod tests;
