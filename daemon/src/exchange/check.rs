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
    /// A header that belongs to it and no whole question: see [`header_alone`].
    HeaderAlone,
    /// Something else.
    Stranger,
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// It has what was asked for, or is a refusal for good reason: no other upstream need be asked.
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
    let (Some(header), Some(asked)) = (received.get(..HEADER).filter(|_| response), sent.get(HEADER..question_end))
    else {
        return Match::Stranger;
    };
    match (u16_at(header, 4), received.get(HEADER..question_end)) {
        (Some(1), Some(echoed)) if asked == echoed => Match::Answer,
        (Some(1), Some(echoed)) if same_but_spelling(asked, echoed) => Match::OtherSpelling,
        // Cut in the middle of the question.
        (Some(1), None) if received.get(HEADER..).is_some_and(|echoed| asked.starts_with(echoed)) => Match::HeaderAlone,
        (Some(0), _) => Match::HeaderAlone,
        _ => Match::Stranger,
    }
}

/// Makes a response of the header of `received`, which came without the question, and the question that was `sent`.
///
/// The header says that the response was truncated, or which error it is. It is no proof that a name or a record does
/// not exist: NOERROR and NXDOMAIN of a response that was not truncated become SERVFAIL.
#[must_use]
pub(crate) fn header_alone(sent: &[u8], question_end: usize, received: &[u8]) -> Vec<u8> {
    let mut response = received.get(..HEADER).unwrap_or_default().to_vec();
    if let Some([_, _, high, low, counts @ ..]) = response.first_chunk_mut::<HEADER>() {
        *counts = [0, 1, 0, 0, 0, 0, 0, 0];
        if *high & flag::TC == 0 && matches!(*low & flag::RCODE, rcode::NOERROR | rcode::NXDOMAIN) {
            *low = *low & !flag::RCODE | rcode::SERVFAIL;
        }
    }
    response.extend_from_slice(sent.get(HEADER..question_end).unwrap_or_default());
    response
}

/// What `response`, to a query that was sent with an OPT or without, is worth; `None` is one that cannot be walked.
#[must_use]
pub(crate) fn worth(response: Option<&Response<'_>>, with_opt: bool) -> Worth {
    // Who cannot put its response together around an OPT may do better without (RFC 6891, section 7).
    let perhaps_edns = if with_opt { Worth::PerhapsEdns } else { Worth::Failure };
    let Some(response) = response else { return perhaps_edns };
    if response.is_truncated() {
        return Worth::Truncated;
    }
    let Ok(code) = u8::try_from(response.rcode()) else { return perhaps_edns };
    match code {
        rcode::NOERROR if response.is_lame() => Worth::Lame,
        rcode::NOERROR | rcode::NXDOMAIN if response.is_negative() => Worth::Negative,
        rcode::NOERROR => Worth::Good,
        16.. => perhaps_edns, // BADVERS and others that speak of EDNS itself
        _ if response.extended_errors().any(|error| is_final(error, code)) => Worth::Good,
        rcode::FORMERR | rcode::NOTIMP if !response.has_edns() => perhaps_edns,
        _ => Worth::Failure,
    }
}

/// Whether an extended error (RFC 8914) makes a failure an answer: DNSSEC says no, or a policy does. Another server
/// asked after that would undo what the first is there for.
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
        assert_eq!(received(|m| m[5] = 2), Match::Stranger);
        let last = SENT.len() - 3;
        assert_eq!(received(|m| m[last] = 28), Match::Stranger);
        assert_eq!(received(|m| m.truncate(11)), Match::Stranger);
    }

    #[test]
    fn a_header_without_the_whole_question_holds_for_truncation_and_errors_and_never_as_a_no() {
        let alone = |high: u8, low: u8, change: fn(&mut Vec<u8>)| {
            let mut m = SENT.to_vec();
            (m[2], m[3]) = (0x81 | high, 0x80 | low);
            change(&mut m);
            assert_eq!(matches(SENT, SENT.len(), &m), Match::HeaderAlone);
            let made = header_alone(SENT, SENT.len(), &m);
            assert_eq!((&made[..2], &made[4..]), (&SENT[..2], &SENT[4..]));
            worth(Response::read(&made, SENT.len()).as_ref(), true)
        };
        let bare: fn(&mut Vec<u8>) = |m| {
            m.truncate(HEADER);
            m[5] = 0;
        };
        let with_opt: fn(&mut Vec<u8>) = |m| {
            m.truncate(HEADER);
            (m[5], m[11]) = (0, 1);
            m.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        };
        let cut: fn(&mut Vec<u8>) = |m| m.truncate(20);
        for change in [bare, with_opt, cut] {
            assert_eq!(alone(flag::TC, 0, change), Worth::Truncated);
            assert_eq!(alone(0, rcode::FORMERR, change), Worth::PerhapsEdns);
            assert_eq!(alone(0, rcode::NOTIMP, change), Worth::PerhapsEdns);
            for code in [rcode::NOERROR, rcode::SERVFAIL, rcode::NXDOMAIN, rcode::REFUSED] {
                assert_eq!(alone(0, code, change), Worth::Failure, "{code}");
            }
        }
    }

    fn worth_of(code: u8, ede: Option<u16>, with_opt: bool) -> Worth {
        let mut m = SENT.to_vec();
        (m[2], m[3]) = (0x81, 0x80 | code);
        if let Some(ede) = ede {
            m[11] = 1;
            m.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2]);
            m.extend(ede.to_be_bytes());
        }
        worth(Response::read(&m, SENT.len()).as_ref(), with_opt)
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

    #[test]
    fn a_response_that_cannot_be_walked_is_asked_for_once_more_without_edns() {
        assert_eq!([true, false].map(|with_opt| worth(None, with_opt)), [Worth::PerhapsEdns, Worth::Failure]);
    }
}
