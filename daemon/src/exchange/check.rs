//! What came back: is it the answer to what was asked, and what is it worth? Pure.
//!
//! An answer belongs to a question where it is a response with the same ID and the same question, letter for letter
//! (RFC 5452, section 9.1; the spelling is part of it). Anything else is ignored, and the right answer still awaited.

use crate::wire::{HEADER, Response, flag, rcode, u16_at};

/// What a datagram is to the question that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Its answer.
    Answer,
    /// Its answer, but for the letters' case.
    OtherSpelling,
    /// Something else.
    Stranger,
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It has what was asked for, or is a refusal for good reason: nothing better is to be had.
    Good,
    /// It says that there is nothing; a more important server that is still due may know better.
    Negative,
    /// It was cut: to be asked again over a stream (RFC 7766, section 5).
    Truncated,
    /// The upstream may not know EDNS: to be asked once more without (RFC 6891, section 7).
    PerhapsEdns,
    /// The upstream is not the one to be asked for this name, as one that does not recurse says it: another may be.
    Lame,
    /// The upstream could not or would not: another may.
    Failure,
}

/// Compares `received` with the query that was `sent` (both whole messages; the IDs are known to be equal).
#[must_use]
pub fn matches(sent: &[u8], question_end: usize, received: &[u8]) -> Match {
    let response = received.get(2).is_some_and(|high| high & (flag::QR | flag::OPCODE) == flag::QR);
    if !response || u16_at(received, 4) != Some(1) {
        return Match::Stranger;
    }
    match (sent.get(HEADER..question_end), received.get(HEADER..question_end)) {
        (Some(asked), Some(echoed)) if asked == echoed => Match::Answer,
        (Some(asked), Some(echoed)) if same_but_spelling(asked, echoed) => Match::OtherSpelling,
        _ => Match::Stranger,
    }
}

/// Whether an upstream that could not read the query sent its error back without the question, as some do.
#[must_use]
pub fn is_bare_error(received: &[u8]) -> bool {
    let response = received.get(2).is_some_and(|high| high & flag::QR != 0);
    let code = received.get(3).map(|low| low & flag::RCODE);
    response
        && received.len() == HEADER
        && u16_at(received, 4) == Some(0)
        && matches!(code, Some(rcode::FORMERR | rcode::NOTIMP))
}

/// What `answer`, to a query that was sent with an OPT or without, is worth.
#[must_use]
pub fn worth(answer: &Response<'_>, with_opt: bool) -> Worth {
    if answer.is_truncated() {
        return Worth::Truncated;
    }
    let Ok(code) = u8::try_from(answer.rcode()) else { return Worth::Failure };
    match code {
        rcode::NOERROR if answer.is_lame() => Worth::Lame,
        rcode::NOERROR | rcode::NXDOMAIN if answer.is_negative() => Worth::Negative,
        rcode::NOERROR => Worth::Good,
        _ if answer.extended_errors().any(|error| is_final(error, code)) => Worth::Good,
        rcode::FORMERR | rcode::NOTIMP if with_opt && !answer.has_edns() => Worth::PerhapsEdns,
        _ => Worth::Failure,
    }
}

/// Whether an extended error (RFC 8914) makes a failure an answer: DNSSEC says no, or a policy does. Another server asked
/// after that would undo what the first is there for.
fn is_final(error: u16, code: u8) -> bool {
    match error {
        1 | 2 | 5..=12 => code == rcode::SERVFAIL,
        15..=18 => true,
        _ => false,
    }
}

fn same_but_spelling(one: &[u8], other: &[u8]) -> bool {
    match (one.split_last_chunk::<4>(), other.split_last_chunk::<4>()) {
        (Some((name, ends)), Some((other_name, other_ends))) => {
            ends == other_ends && name.eq_ignore_ascii_case(other_name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x07eXample\0\0\x01\0\x01";

    fn received(change: impl Fn(&mut Vec<u8>)) -> Match {
        let mut m = SENT.to_vec();
        m[2] |= 0x80;
        change(&mut m);
        matches(SENT, SENT.len(), &m)
    }

    #[test]
    fn only_a_response_to_the_question_as_spelled_is_its_answer() {
        assert_eq!(received(|_| ()), Match::Answer);
        assert_eq!(received(|m| m[16] = b'x'), Match::OtherSpelling);
        assert_eq!(received(|m| m[13] = b'b'), Match::Stranger);
        assert_eq!(received(|m| m[2] = 1), Match::Stranger);
        assert_eq!(received(|m| m[5] = 0), Match::Stranger);
        let last = SENT.len() - 3;
        assert_eq!(received(|m| m[last] = 28), Match::Stranger);
        assert_eq!(received(|m| m.truncate(20)), Match::Stranger);
    }

    fn worth_of(code: u8, ede: Option<u16>, with_opt: bool) -> Worth {
        let mut m = SENT.to_vec();
        (m[2], m[3]) = (0x81, 0x80 | code);
        if let Some(ede) = ede {
            m[11] = 1;
            m.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2]);
            m.extend(ede.to_be_bytes());
        }
        worth(&Response::read(&m, SENT.len()).unwrap(), with_opt)
    }

    #[test]
    fn a_failure_with_a_reason_that_holds_everywhere_is_an_answer() {
        assert_eq!(worth_of(2, None, true), Worth::Failure);
        assert_eq!(worth_of(2, Some(6), true), Worth::Good);
        assert_eq!(worth_of(5, Some(15), true), Worth::Good);
        assert_eq!(worth_of(2, Some(22), true), Worth::Failure);
        assert_eq!(worth_of(5, None, true), Worth::Failure);
        assert_eq!(worth_of(3, None, true), Worth::Negative);
        assert_eq!(worth_of(1, None, true), Worth::PerhapsEdns);
        assert_eq!(worth_of(1, None, false), Worth::Failure);
    }
}
