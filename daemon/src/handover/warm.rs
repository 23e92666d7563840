//! The cache of the process before, in memory that outlives it.
//!
//! It is written when the process is told to end, and each minute in which something was learnt, so that one that is
//! killed loses what it learnt since. What is cut, damaged, of another build or of other upstreams is put aside with a
//! reason, or counts less ([`Standing`]); it is never half read. Ages go by a clock that runs while the machine is
//! suspended (`CLOCK_BOOTTIME`, clock_gettime(2)).

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::memory;
use crate::cache::{Cache, Seconds, Standing};
use crate::upstream::{UpstreamId, UpstreamSet};

/// The version of the form. Blocks are part of it, so it counts up with any change of theirs.
const FORMAT: u32 = 1;
/// What the kernel calls the memory.
const NAME: &CStr = c"onward-cache";
/// Bytes before the list of upstreams: format, time, and that list's length.
const HEAD: usize = 16;
/// Bytes that are read at most: more than `cache.max_bytes` allows.
const MOST: u64 = 8 << 30;

/// Writes the cache to memory of its own; `at` is the time since the machine was booted.
///
/// # Errors
/// Where the system has no memory or descriptor to give.
pub(crate) fn write(cache: &Cache, set: &UpstreamSet, now: Seconds, at: Duration) -> io::Result<OwnedFd> {
    let upstreams = list(set);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&FORMAT.to_ne_bytes());
    bytes.extend_from_slice(&u64::try_from(at.as_millis()).unwrap_or(u64::MAX).to_ne_bytes());
    bytes.extend_from_slice(&u32::try_from(upstreams.len()).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend_from_slice(upstreams.as_bytes());
    cache.write_to(&mut bytes, now);
    memory::write(NAME, &bytes)
}

/// Fills the cache with what [`write()`] wrote. Returns the number of entries; `set` has the upstreams of now.
///
/// # Errors
/// Why it is not to be used, for people.
pub(crate) fn read(
    file: &File,
    cache: &Cache,
    set: &UpstreamSet,
    (now, at): (Seconds, Duration),
) -> Result<usize, String> {
    let bytes = memory::read(file, MOST)?;
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or("it is cut")?;
    let &[f1, f2, f3, f4, t1, t2, t3, t4, t5, t6, t7, t8, l1, l2, l3, l4] = head;
    match u32::from_ne_bytes([f1, f2, f3, f4]) {
        FORMAT => {}
        other => return Err(format!("its format is {other}, not {FORMAT}")),
    }
    let written = Duration::from_millis(u64::from_ne_bytes([t1, t2, t3, t4, t5, t6, t7, t8]));
    let length = usize::try_from(u32::from_ne_bytes([l1, l2, l3, l4])).unwrap_or(usize::MAX);
    let (upstreams, entries) = rest.split_at_checked(length).ok_or("it is cut")?;
    let upstreams = std::str::from_utf8(upstreams).map_err(|error| error.to_string())?;
    // Rounded up, so that nothing lives longer for it.
    let elapsed = u32::try_from(at.saturating_sub(written).as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    let (numbers, description) = upstreams.split_once('\n').ok_or("it is cut")?;
    let numbers: Vec<UpstreamId> = numbers.split(' ').filter_map(|id| Some(UpstreamId(id.parse().ok()?))).collect();
    let is_same = description == set.describe();
    let Some(any) = set.upstreams.first().map(|upstream| upstream.id) else { return Ok(0) };
    let standing = |written: UpstreamId| {
        let place = numbers.iter().position(|id| *id == written);
        match place.and_then(|place| set.upstreams.get(place)).filter(|_| is_same) {
            Some(upstream) => Standing::Asked(upstream.id),
            None => Standing::Outdated(any),
        }
    };
    cache.read_from(entries, (now, elapsed), standing).ok_or_else(|| "its entries are not understood".to_owned())
}

/// The numbers of the upstreams, in a line, then their description.
fn list(set: &UpstreamSet) -> String {
    let numbers: Vec<String> = set.upstreams.iter().map(|upstream| upstream.id.0.to_string()).collect();
    format!("{}\n{}", numbers.join(" "), set.describe())
}

#[cfg(test)]
mod tests {
    use super::memory::tests::{raw, spoilt};
    use super::*;
    use crate::cache::tests::{LIMITS, learn_from, look, message};
    use crate::cache::{Freshness, Origin};
    use crate::upstream::Endpoint;
    use crate::upstream::set::UpstreamIds;

    const AT: Duration = Duration::from_secs(100);

    /// The same servers have other numbers in each process.
    fn set(servers: &[&str], ids: &mut UpstreamIds) -> UpstreamSet {
        let endpoint = |text: &&str| (Endpoint::from(text.parse::<crate::upstream::Server>().unwrap()), "test".into());
        UpstreamSet::new(servers.iter().map(endpoint).collect(), None, ids)
    }

    fn left(servers: &[&str]) -> File {
        let cache = Cache::new(LIMITS);
        let set = set(servers, &mut UpstreamIds::default());
        let upstream = set.upstreams.last().unwrap().id;
        learn_from(&cache, Origin { upstream, provisional: None }, "a", &message("a", 0, Some(100), 4), 10);
        write(&cache, &set, Seconds(20), AT).unwrap().into()
    }

    fn found(file: &File, servers: &[&str]) -> (Result<usize, String>, Option<(u32, Freshness)>) {
        let mut ids = UpstreamIds::default();
        let _others = set(&["192.0.2.1", "192.0.2.2", "192.0.2.3"], &mut ids);
        let cache = Cache::new(LIMITS);
        let read = read(file, &cache, &set(servers, &mut ids), (Seconds(5_000), AT + Duration::from_millis(4_100)));
        (read, look(&cache, "a", 5_000))
    }

    #[test]
    fn the_next_process_finds_what_was_known_and_its_age() {
        let servers = ["10.0.0.1", "10.0.0.2"];
        assert_eq!(found(&left(&servers), &servers), (Ok(1), Some((15, Freshness::Fresh))));
    }

    #[test]
    fn what_other_servers_said_or_the_same_in_another_order_serves_only_as_a_stale_answer() {
        let file = left(&["10.0.0.1", "10.0.0.2"]);
        for servers in [&["10.0.0.2", "10.0.0.1"][..], &["10.0.0.1"], &["10.0.0.9"]] {
            assert_eq!(found(&file, servers), (Ok(1), Some((15, Freshness::Stale))), "{servers:?}");
        }
    }

    #[test]
    fn what_is_cut_damaged_or_of_another_version_is_put_aside_whole() {
        let servers = ["10.0.0.1"];
        let whole = left(&servers);
        let is_put_aside = |file: &File| matches!(found(file, &servers), (Err(_), None));
        assert!(spoilt(&raw(&whole)).iter().all(is_put_aside));
        let mut other = memory::read(&whole, MOST).unwrap();
        other[..4].copy_from_slice(&(FORMAT + 1).to_ne_bytes());
        assert!(is_put_aside(&memory::write(NAME, &other).unwrap().into()));
    }
}
