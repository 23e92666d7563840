//! The readers of the wire alone, all of them on the same bytes, without anything to hold them against: so fast that
//! there can be thousands of millions of runs.

use onward::internals::guard::tag;
use onward::internals::wire::{HEADER, Query, Response, name_end};

use crate::response::stays_within_its_bytes;

/// Reads `bytes` as a query, as a response, as the options of either, and as a name.
pub fn check(bytes: &[u8]) {
    let mut query = Query::default();
    if query.read(bytes).is_ok() {
        assert!(query.question_end() <= bytes.len());
        assert_eq!(query.key().len(), 1 + query.question_end() - HEADER);
        assert!(!query.name().iter().any(u8::is_ascii_uppercase));
        let _ = tag::find(query.options(bytes));
    }
    let _ = tag::find(bytes);
    crate::tag::read_data(bytes);
    if let Some(end) = name_end(bytes, HEADER).map(|end| end + 4)
        && let Some(response) = Response::read(bytes, end)
    {
        stays_within_its_bytes(&response);
    }
}
