//! What the guard's marks on a query say: which Onwards it has passed, and whether it is ours come back. Pure.

use crate::guard::{MarkKey, Passed, Strength, Witness, spelling, tag};
use crate::upstream::UpstreamId;
use crate::wire::Query;

/// The marks of one query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReturnedMarks {
    /// The Onwards that it has passed.
    pub passed: Passed,
    /// Whether it is ours come back.
    pub returned: Option<ReturnedThrough>,
}

/// A question of ours has come back, as a witness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnedThrough {
    /// Through this upstream.
    pub through: UpstreamId,
    /// Who says so.
    pub witness: Witness,
    /// Whether it is sure enough to refuse the packet itself.
    pub is_sure: bool,
}

/// Reads the marks; `in_flight` are the upstreams that the question may have been asked of, where it is being asked.
#[must_use]
pub(crate) fn read(
    packet: &[u8],
    query: &Query,
    key: &MarkKey,
    now: std::time::Instant,
    in_flight: &[UpstreamId],
) -> ReturnedMarks {
    let tag = tag::find(query.options(packet)).map(|option| tag::read(option, key, key.bucket(now)));
    let passed = tag.unwrap_or_default();
    if let Some(through) = passed.own {
        return ReturnedMarks {
            passed,
            returned: Some(ReturnedThrough { through, witness: Witness::Tag, is_sure: true }),
        };
    }
    let name = query.question_end().checked_sub(4).and_then(|end| packet.get(crate::wire::HEADER..end));
    let returned = name.and_then(|name| {
        in_flight.iter().find_map(|number| {
            let strength = spelling::recognise(name, *number, key)?;
            Some(ReturnedThrough {
                through: *number,
                witness: Witness::Spelling,
                is_sure: strength == Strength::Witness,
            })
        })
    });
    ReturnedMarks { passed, returned }
}
