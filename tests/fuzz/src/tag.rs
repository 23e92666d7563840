//! The tag, an EDNS option that strangers can write: whatever it says, what Onward sends on carries Onward's own entry,
//! which it knows again, and never more entries than a list may have.

use std::sync::OnceLock;
use std::time::Instant;

use onward::internals::guard::tag::{Entries, MOST, find, read, write};
use onward::internals::guard::{MarkKey, Secret};
use onward::internals::upstream::UpstreamId;

/// Reads `options`, the data of an OPT record, and passes on the tag in them.
pub fn check(options: &[u8]) {
    let (key, born) = key();
    let now = key.bucket(*born);
    let passed = find(options).map(|data| read(data, key, now)).unwrap_or_default();
    assert!(passed.onwards() <= MOST, "{} entries", passed.onwards());
    assert_eq!(passed.foreign(), passed.onwards() > 0);

    let (upstream, mut sent) = (UpstreamId(7), vec![]);
    write(&passed, upstream, key, now, &mut sent);
    let mut kept = vec![];
    Entries::default().write(&passed, upstream, (key, *born), &mut kept);
    assert_eq!(sent, kept, "an entry that was kept is the one that would be made");

    let back = read(find(&sent).expect("the option is found in what was written"), key, now);
    assert_eq!(back.own, Some(upstream), "our own entry is known when it comes back");
    assert_eq!(back.onwards(), passed.onwards().min(MOST - 1), "the oldest entry makes room in a full list");
}

/// Reads `data` as the data of the option.
pub(crate) fn read_data(data: &[u8]) {
    let (key, born) = key();
    assert!(read(data, key, key.bucket(*born)).onwards() <= MOST);
}

/// One key for all runs: a run tells of its bytes alone. With when it was born.
fn key() -> &'static (MarkKey, Instant) {
    static KEY: OnceLock<(MarkKey, Instant)> = OnceLock::new();
    KEY.get_or_init(|| {
        let born = Instant::now();
        (MarkKey::new(&Secret::new(*b"not any longer 1"), &[], born), born)
    })
}
