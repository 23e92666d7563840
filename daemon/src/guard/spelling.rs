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
//! compared. From [`HINT`] letters on a match lets the flight go on to its next upstream and asks for a probe: should
//! it be chance (below 3 of 100 such twins with 8 letters, 1 of 700,000 with 22), nobody is refused anything and one
//! limited probe is sent. Only from [`WITNESS`] letters on, where chance is below 1 in 2.7 million twins, may the
//! packet itself be refused when 50 ms bring no answer; together with the twin and the slow flight that this takes, a
//! million ordinary queries see none. Names with fewer letters still get their pattern, against forged answers, but it
//! tells nothing.

use super::key::{Key, Purpose};
use crate::upstream::Number;

/// From as many letters on a match is a hint.
pub const HINT: u32 = 8;
/// From as many letters on a match is a witness.
pub const WITNESS: u32 = 24;
/// The longest name on the wire (RFC 1035, section 2.3.4).
const NAME: usize = 255;

/// How much a spelling that we know again says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// The flight may go on and a probe may be sent; the packet waits as any other.
    Hint,
    /// The packet is taken for ours.
    Witness,
}

/// One bit for each letter, set for upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pattern {
    words: [u64; 4],
    letters: u32,
}

/// Spells `name` (wire form, uncompressed) for `upstream`. `asker` is the name as it was asked.
pub fn spell(name: &mut [u8], upstream: Number, asker: &[u8], key: &Key) {
    name.make_ascii_lowercase();
    let mut pattern = Pattern::keyed(name, upstream, key);
    if pattern.fits(asker) {
        pattern = pattern.turned();
    }
    for (at, letter) in letters_mut(name) {
        if pattern.is_upper(at) {
            letter.make_ascii_uppercase();
        }
    }
}

/// Whether `arrived`, a name as it was asked, is spelled as we spell it for `upstream`.
#[must_use]
pub fn recognise(arrived: &[u8], upstream: Number, key: &Key) -> Option<Strength> {
    let mut lowered = [0; NAME];
    let lowered = lowered.get_mut(..arrived.len())?;
    lowered.copy_from_slice(arrived);
    lowered.make_ascii_lowercase();
    // Most clients ask all in lower case, which is never ours: no hash for them.
    if lowered == arrived {
        return None;
    }
    let strength = match count(arrived) {
        ..HINT => return None,
        HINT..WITNESS => Strength::Hint,
        WITNESS.. => Strength::Witness,
    };
    let pattern = Pattern::keyed(lowered, upstream, key);
    (pattern.fits(arrived) || pattern.turned().fits(arrived)).then_some(strength)
}

impl Pattern {
    /// The pattern of a lower-cased name.
    fn keyed(name: &[u8], upstream: Number, key: &Key) -> Self {
        let letters = count(name);
        let mut pattern = Self { words: [0; 4], letters };
        for (word, index) in pattern.words.iter_mut().zip(0_u8..) {
            let left = letters.saturating_sub(u32::from(index) * 64);
            if left == 0 {
                break;
            }
            let mask = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            *word = mask & key.mac(Purpose::Spelling, &[&upstream.0.to_be_bytes(), &[index], name]);
        }
        if pattern.words == [0; 4] {
            pattern.turn(0);
        }
        pattern
    }

    /// The other pattern: the first letter turned, or the last where that would leave no upper case.
    fn turned(mut self) -> Self {
        self.turn(0);
        if self.words == [0; 4] && self.letters > 1 {
            self.turn(0);
            self.turn(self.letters - 1);
        }
        self
    }

    fn turn(&mut self, letter: u32) {
        if letter < self.letters
            && let Some(word) = self.words.get_mut(letter as usize / 64)
        {
            *word ^= 1 << (letter % 64);
        }
    }

    fn is_upper(&self, letter: u32) -> bool {
        self.words.get(letter as usize / 64).is_some_and(|word| word >> (letter % 64) & 1 == 1)
    }

    /// Whether `name`, the same name in any spelling, is spelled like this.
    fn fits(&self, name: &[u8]) -> bool {
        count(name) == self.letters
            && (0..)
                .zip(name.iter().filter(|byte| byte.is_ascii_alphabetic()))
                .all(|(at, byte)| byte.is_ascii_uppercase() == self.is_upper(at))
    }
}

fn count(name: &[u8]) -> u32 {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    u32::try_from(letters).unwrap_or(u32::MAX)
}

fn letters_mut(name: &mut [u8]) -> impl Iterator<Item = (u32, &mut u8)> {
    (0..).zip(name.iter_mut().filter(|byte| byte.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests;
