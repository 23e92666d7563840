//! Builds the query that goes to an upstream. Pure.
//!
//! Nothing of the client's packet but its question is passed on: not its ID, not its flags but CD and DO, none of its
//! EDNS options (RFC 6891, section 6.2.6: an OPT belongs to one hop). RD is set, since we ask for recursion; AD too, to
//! be told whether the data is authentic (RFC 6840, section 5.7) for whoever asks later.

use crate::wire::{HEADER, QuestionKey, flag};

/// How a query is dressed for one upstream.
#[derive(Debug, Clone, Copy, Default)]
pub struct EdnsParams<'d> {
    /// What we say that we take over UDP, in an OPT (RFC 6891, section 6.2.3). Without it no OPT is sent.
    pub payload: Option<u16>,
    /// EDNS options to put into that OPT, as on the wire.
    pub options: &'d [u8],
    /// Whether AD is left out, for servers that drop queries with it.
    pub without_ad: bool,
}

/// The query for `key` with `id`. Its name is in lower case, for the loop guard to spell.
#[must_use]
pub fn build(key: &QuestionKey, id: u16, dress: EdnsParams<'_>) -> Vec<u8> {
    let question = key.question();
    let mut message = Vec::with_capacity(HEADER + question.len() + 11 + dress.options.len());
    let checking_disabled = if key.checking_disabled() { flag::CD } else { 0 };
    let [id_high, id_low] = id.to_be_bytes();
    let additional = u8::from(dress.payload.is_some());
    let authentic = if dress.without_ad { 0 } else { flag::AD };
    message.extend([id_high, id_low, flag::RD, authentic | checking_disabled, 0, 1, 0, 0, 0, 0, 0, additional]);
    message.extend(question);
    if let Some(payload) = dress.payload {
        let dnssec = if key.wants_dnssec() { flag::DO } else { 0 };
        let [size_high, size_low] = payload.to_be_bytes();
        let [length_high, length_low] = u16::try_from(dress.options.len()).unwrap_or(0).to_be_bytes();
        message.extend([0, 0, 41, size_high, size_low, 0, 0, dnssec, 0, length_high, length_low]);
        message.extend(dress.options);
    }
    message
}

/// The name in a query for `key`.
pub(super) fn name_mut<'m>(message: &'m mut [u8], key: &QuestionKey) -> &'m mut [u8] {
    message.get_mut(HEADER..HEADER + key.name().len()).unwrap_or_default()
}

/// Where the question of a query that [`build`] made for `key` ends.
#[must_use]
pub fn question_end(key: &QuestionKey) -> usize {
    HEADER + key.question().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_question_do_and_cd_are_passed_on() {
        let key = QuestionKey::new(b"\x90\x01a\0\0\x01\0\x01");
        let dress = EdnsParams { payload: Some(1400), options: &[0xfd, 0xe9, 0, 0], without_ad: false };
        let expected =
            b"\x12\x34\x01\x30\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01\0\0\x29\x05\x78\0\0\x80\0\0\x04\xfd\xe9\0\0";
        assert_eq!(build(&key, 0x1234, dress), expected);
        assert_eq!(question_end(&key), 19);
        let bare = build(&QuestionKey::new(b"\0\x01a\0\0\x01\0\x01"), 1, EdnsParams::default());
        assert_eq!(bare, b"\0\x01\x01\x20\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01");
        let plain = EdnsParams { without_ad: true, ..EdnsParams::default() };
        assert_eq!(build(&QuestionKey::new(b"\0\x01a\0\0\x01\0\x01"), 1, plain)[3], 0);
    }
}
