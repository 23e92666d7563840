//! What an upstream sends, from its bytes to a client: read, held against hickory's reading, kept, and written again.

use hickory_proto::op::Message;
use onward::internals::cache::{CachedResponse, STALE_TTL, TtlBounds};
use onward::internals::exchange::check::{Match, matches};
use onward::internals::respond::{Age, ResponseParams, write_cached};
use onward::internals::upstream::Transport;
use onward::internals::wire::{self, HEADER, Query, Response, flag, name_end};

/// Time that a cached response has lain in the cache, in seconds.
const AGE: u32 = 100;
/// Longest time that a response is kept, in seconds.
const TTL_MAX: u32 = 86_400;
/// Largest UDP response that Onward sends, in bytes.
const PAYLOAD: u16 = 1232;

/// Reads `message` as the response to the query whose question it repeats.
pub fn check(message: &[u8]) {
    let Some((sent, query)) = query_of(message) else { return };
    let end = query.question_end();
    if matches(&sent, end, message) != Match::Answer {
        return;
    }
    let Some(response) = Response::read(message, end) else { return };
    stays_within_its_bytes(&response);
    agrees_with_hickory(message, &response);
    let Some(cached) = CachedResponse::new(query.key(), &response, TtlBounds::new(0, TTL_MAX)) else { return };
    assert_eq!(cached.key(), query.key());
    let ages = [(Age::Seconds(AGE), Transport::Tcp), (Age::Stale, Transport::Tcp), (Age::Seconds(0), Transport::Udp)];
    for (age, transport) in ages {
        is_written_as_it_was_read(&sent[..end], &query, &response, &cached, (age, transport));
    }
}

/// The query that `message` would be the response to, with an OPT; none where its question is not a plain one.
fn query_of(message: &[u8]) -> Option<(Vec<u8>, Query)> {
    let end = name_end(message, HEADER)? + 4;
    let mut sent = message.get(..2)?.to_vec();
    sent.extend([flag::RD, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    sent.extend(message.get(HEADER..end)?);
    sent.extend([0, 0, 41, 16, 0, 0, 0, flag::DO, 0, 0, 0]);
    let mut query = Query::default();
    query.read(&sent).ok()?;
    Some((sent, query))
}

/// Whatever the bytes, a response that could be read points nowhere but into its own records.
pub(crate) fn stays_within_its_bytes(response: &Response<'_>) {
    let length = response.records().concat().len();
    let counts: usize = response.counts().into_iter().map(usize::from).sum();
    assert_eq!(response.ttls().len(), counts, "one TTL for each record");
    assert!(response.ttls().is_sorted());
    assert!(response.ttls().iter().all(|at| usize::from(*at) + 4 <= length));
    assert!(response.spelled().all(|name| name.start < name.end && name.end <= length));
    assert!(response.extended_error_options().all(|option| option.len() >= 6));
}

/// What both can read has the same number of records in the answer and authority sections, and an OPT for both or for
/// neither. Without an OPT and a signature it also has the same number of additional records and the same response
/// code.
fn agrees_with_hickory(message: &[u8], response: &Response<'_>) {
    let Ok(theirs) = Message::from_vec(message) else { return };
    let sections = [&theirs.answers, &theirs.authorities];
    for (section, count) in sections.iter().zip(response.counts()) {
        assert_eq!(section.len(), usize::from(count), "records of a section");
    }
    // Records behind an OPT, and signatures of the transaction, are not passed on; hickory keeps both elsewhere.
    if theirs.signature.is_none() && theirs.edns.is_none() {
        assert_eq!(theirs.additionals.len(), usize::from(response.counts()[2]));
        assert_eq!(u16::from(theirs.metadata.response_code), response.rcode());
    }
    assert_eq!(theirs.edns.is_some(), response.has_edns());
}

/// The response that a client gets from the cache is read again as the one that was kept, in no more bytes than it
/// takes.
fn is_written_as_it_was_read(
    head: &[u8],
    query: &Query,
    response: &Response<'_>,
    cached: &CachedResponse,
    (age, transport): (Age, Transport),
) {
    let (params, mut out) = (ResponseParams::new(query, PAYLOAD, transport), vec![]);
    write_cached(head, params, cached, age, &mut out);
    assert!(out.len() <= params.room);
    assert_eq!(&out[HEADER..head.len()], &head[HEADER..], "the client's own spelling");
    let written = Response::read(&out, head.len()).expect("what is written is a response");
    assert!(written.has_edns(), "an OPT is answered with an OPT");
    if written.counts() != response.counts() {
        assert_eq!(written.counts(), [0; 3], "cut to nothing");
        assert!(written.is_truncated());
        return;
    }
    assert_eq!(written.flags()[1] & flag::RCODE, response.flags()[1] & flag::RCODE);
    assert_eq!(written.ttls(), response.ttls());
    let (before, after) = (response.records().concat(), written.records().concat());
    assert_eq!(before.len(), after.len());
    for at in response.ttls() {
        let ttl = |records: &[u8]| wire::ttl(records[usize::from(*at)..][..4].try_into().expect("four bytes"));
        let (before, after) = (ttl(&before).min(TTL_MAX), ttl(&after));
        match age {
            Age::Seconds(age) => assert_eq!(after, before.saturating_sub(age)),
            Age::Stale => assert_eq!(after, STALE_TTL),
        }
    }
}
