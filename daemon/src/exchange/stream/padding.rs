//! Padding of queries that are encrypted, so that their length says little of the name (RFC 7830, RFC 8467). Pure.

use crate::wire::{HEADER, rtype, u16_at};

/// Queries are padded to a multiple of this, in bytes (RFC 8467, section 4.1).
const BLOCK: usize = 128;
/// EDNS option code of padding (RFC 7830, section 3), and the length of its head.
const OPTION: u16 = 12;
const OPTION_HEAD: usize = 4;
/// Length of an OPT record without options, and where in it the length of its options stands.
const OPT: usize = 11;
const OPTIONS_LENGTH: usize = 9;

/// Pads a query whose question ends at `question_end`. A no-op for one that has no OPT as its only record: there is no
/// room for padding then.
pub(super) fn pad(query: &mut Vec<u8>, question_end: usize) {
    if query.get(6..HEADER) != Some(&[0, 0, 0, 0, 0, 1]) || query.get(question_end) != Some(&0) {
        return;
    }
    let length = u16_at(query, question_end + OPTIONS_LENGTH).map_or(0, usize::from);
    let is_opt = u16_at(query, question_end + 1) == Some(rtype::OPT);
    if !is_opt || query.len() != question_end + OPT + length {
        return;
    }
    let padding = (query.len() + OPTION_HEAD).next_multiple_of(BLOCK) - query.len() - OPTION_HEAD;
    let (Ok(padded), Ok(padding)) = (u16::try_from(length + OPTION_HEAD + padding), u16::try_from(padding)) else {
        return;
    };
    let place = question_end + OPTIONS_LENGTH;
    if let Some(place) = query.get_mut(place..place + 2) {
        place.copy_from_slice(&padded.to_be_bytes());
    }
    query.extend(OPTION.to_be_bytes());
    query.extend(padding.to_be_bytes());
    query.resize(query.len() + usize::from(padding), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::query::{self, EdnsParams};
    use crate::wire::{Query, QuestionKey};

    #[test]
    fn queries_are_padded_to_whole_blocks_and_stay_readable() {
        for length in 1..=63 {
            let label = vec![b'a'; length];
            let question = [&[0, u8::try_from(length).unwrap()], &label[..], b"\x07example\0\0\x01\0\x01"].concat();
            let key = QuestionKey::new(&question);
            for options in [&[][..], &[0xfd, 0xe9, 0, 2, 1, 2][..]] {
                let params = EdnsParams { payload: Some(1232), options, without_ad: false };
                let plain = query::build(&key, 7, params);
                let mut padded = plain.clone();
                pad(&mut padded, query::question_end(&key));
                assert_eq!(padded.len() % BLOCK, 0, "{length}");
                assert!(padded.len() < plain.len() + OPTION_HEAD + BLOCK, "{length}");
                let mut read = Query::default();
                assert!(read.read(&padded).is_ok() && read.key() == key.bytes(), "{length}");
            }
        }
    }

    #[test]
    fn what_has_no_opt_at_its_end_is_left_alone() {
        let key = QuestionKey::new(b"\0\x01a\0\0\x01\0\x01");
        let bare = query::build(&key, 7, EdnsParams::default());
        let with = query::build(&key, 7, EdnsParams { payload: Some(1232), ..EdnsParams::default() });
        for message in [bare, with[..with.len() - 1].to_vec(), [&with[..], &[0]].concat(), vec![], vec![0; 12]] {
            let mut padded = message.clone();
            pad(&mut padded, query::question_end(&key));
            assert_eq!(padded, message);
        }
    }
}
