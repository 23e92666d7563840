//! Messages of the model as bytes, which is what an Onward reads and writes, and back.

use super::{Place, Query, SERVFAIL};
use crate::guard::tag;
use crate::wire::{self, HEADER, flag, rcode};

/// The query as it arrives at an Onward: of type A, with an OPT (RFC 6891, section 6.1.2).
pub(super) fn query(query: &Query) -> Vec<u8> {
    let mut options = Vec::new();
    if let Some(data) = &query.tag {
        options.extend(tag::CODE.to_be_bytes());
        options.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        options.extend(data);
    }
    let mut message = vec![0, 0, flag::RD, query.bits & flag::CD, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend(&query.name);
    message.extend([0, 1, 0, 1, 0, 0, 41, 4, 0xd0, 0, 0, query.bits & flag::DO, 0]);
    message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    message.extend(options);
    message
}

/// What an Onward sends to an upstream.
pub(super) fn read(message: &[u8], from: Place, id: u64) -> Query {
    let mut query = wire::Query::default();
    query.read(message).unwrap();
    let name = message[HEADER..query.question_end() - 4].to_vec();
    let bits = query.key()[0];
    Query { from, id, name, bits, tag: tag::find(query.options(message)).map(<[u8]>::to_vec) }
}

/// The answer to what an Onward has sent: an address, or nothing but its code. Names come back as they were spelled.
pub(super) fn answer(asked: &[u8], code: u8) -> Vec<u8> {
    let mut query = wire::Query::default();
    query.read(asked).unwrap();
    let has_answer = u8::from(code == rcode::NOERROR);
    let mut message = asked[..2].to_vec();
    message.extend([flag::QR | flag::RD, flag::RA | code, 0, 1, 0, has_answer, 0, 0, 0, 0]);
    message.extend(&asked[HEADER..query.question_end()]);
    if has_answer > 0 {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    message
}

/// The code of an answer, and whether it says that the question came back.
pub(super) fn code(answer: &[u8]) -> (u8, bool) {
    let code = answer[3] & flag::RCODE;
    let tells = |text: &[u8]| answer.windows(text.len()).any(|part| part == text);
    (code, code == SERVFAIL && tells(b"forwarding loop"))
}
