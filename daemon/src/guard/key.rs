//! The secret behind the guard's marks, and the clock that lets them grow old. Pure.
//!
//! The secret is drawn from the system's randomness when the process starts and is never stored, so that no two starts
//! and no two machines of one image share it. The key is made of the secret *and* the node's own addresses, and is to
//! be made again whenever those change: a machine that was cloned with its memory shares the secret with its twin, but
//! as soon as it has an address of its own it has a key of its own too. (Twins with the same addresses are not in one
//! network, so no query can walk from one to the other.) A new key makes marks that are on their way unknown, which
//! means no more than that those questions carry none.

use std::hash::Hasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

use crate::upstream::UpstreamId;
use crate::wire::name::NAME_MAX;

/// Marks are valid in the bucket of time that they were made in and in the next one. A question is alive for 6 s at
/// most.
const BUCKET: Duration = Duration::from_secs(16);

/// Whether an address tells a machine from its twin. Loopback is on each; and a node gets a link-local one with every
/// pod that starts, which must not make the marks of all questions on their way unknown.
fn tells_apart(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

/// What is random about a process.
#[derive(Clone)]
pub struct Secret([u8; 16]);

/// A stretch of time, counted from the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket(u32);

/// Makes the marks of one process and knows them again.
#[derive(Clone)]
pub struct MarkKey {
    secret: [u8; 16],
    process: u64,
    born: Instant,
}

/// What a keyed hash is for, so that none can stand for another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Deriving a key.
    Key = 1,
    /// The name of the process in tags.
    Process,
    /// The MAC of a tag's entry.
    Tag,
    /// The spelling of a name.
    Spelling,
    /// The MAC of a probe's nonce.
    Probe,
}

impl Secret {
    /// From 16 random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl MarkKey {
    /// The key of a process with this secret, on a node with these addresses (in any order). `born` is when the process
    /// started, by which buckets are counted.
    #[must_use]
    pub fn new(secret: &Secret, addresses: &[IpAddr], born: Instant) -> Self {
        let mut addresses: Vec<_> =
            addresses.iter().map(|ip| ip.to_canonical()).filter(|ip| tells_apart(*ip)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let half = |which: u8| {
            let mut hasher = hasher(&secret.0, Purpose::Key);
            hasher.write(&[which]);
            for address in &addresses {
                match address {
                    IpAddr::V4(v4) => hasher.write(&v4.to_ipv6_mapped().octets()),
                    IpAddr::V6(v6) => hasher.write(&v6.octets()),
                }
            }
            u128::from(hasher.finish())
        };
        let secret = ((half(0) << 64) | half(1)).to_be_bytes();
        let process = hasher(&secret, Purpose::Process).finish();
        Self { secret, process, born }
    }

    /// The name of this process in tags.
    #[must_use]
    pub fn process(&self) -> u64 {
        self.process
    }

    /// The bucket that `now` is in.
    #[must_use]
    pub fn bucket(&self, now: Instant) -> Bucket {
        let count = now.saturating_duration_since(self.born).as_secs() / BUCKET.as_secs();
        Bucket(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// When the bucket after this one begins.
    pub(super) fn end_of(&self, bucket: Bucket) -> Instant {
        self.born + BUCKET * bucket.0.saturating_add(1)
    }

    /// The hash of a name for the spelling: the same as [`Self::mac`] of these parts one after the other, in one go,
    /// since this runs for each question that is asked. `part` counts the stretches of 64 bits.
    pub(super) fn mac_of_name(&self, upstream: UpstreamId, part: u8, name: &[u8]) -> u64 {
        let mut bytes = [0; 4 + NAME_MAX];
        let length = name.len().min(NAME_MAX);
        let [high, low] = upstream.0.to_be_bytes();
        let (head, rest) = bytes.split_at_mut(4);
        head.copy_from_slice(&[Purpose::Spelling as u8, high, low, part]);
        if let (Some(rest), Some(name)) = (rest.get_mut(..length), name.get(..length)) {
            rest.copy_from_slice(name);
        }
        SipHasher13::new_with_key(&self.secret).hash(bytes.get(..4 + length).unwrap_or_default())
    }

    pub(super) fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> u64 {
        let mut hasher = hasher(&self.secret, purpose);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    }
}

impl Bucket {
    pub(super) fn bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    pub(super) fn previous(self) -> Self {
        Self(self.0.wrapping_sub(1))
    }
}

impl std::fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MarkKey(process {:016x})", self.process)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

fn hasher(secret: &[u8; 16], purpose: Purpose) -> SipHasher13 {
    let mut hasher = SipHasher13::new_with_key(secret);
    hasher.write(&[purpose as u8]);
    hasher
}

/// A key for tests; different seeds, different processes.
#[cfg(test)]
pub(super) fn of(seed: u8) -> MarkKey {
    MarkKey::new(&Secret::new([seed; 16]), &[], crate::clock::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: u8, addresses: &[&str]) -> MarkKey {
        let addresses: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        MarkKey::new(&Secret::new([secret; 16]), &addresses, crate::clock::now())
    }

    #[test]
    fn machines_cloned_with_their_memory_do_not_share_a_key() {
        let one = key(1, &["10.0.0.1", "fd00::1"]);
        let clone = key(1, &["10.0.0.2", "fd00::1"]);
        assert_ne!(one.process(), clone.process());
        assert_ne!(one.mac(Purpose::Tag, &[b"x"]), clone.mac(Purpose::Tag, &[b"x"]));
        assert_eq!(one.process(), key(1, &["fd00::1", "10.0.0.1", "10.0.0.1"]).process());
        assert_ne!(one.process(), key(2, &["10.0.0.1", "fd00::1"]).process());
        let with_a_pod = key(1, &["10.0.0.1", "fd00::1", "fe80::1", "127.0.0.1", "169.254.1.1"]);
        assert_eq!(one.process(), with_a_pod.process(), "a pod's link is no other machine");
    }

    #[test]
    fn a_name_is_hashed_in_one_go_as_in_parts() {
        let key = key(1, &[]);
        for length in [0, 1, 22, 64, 255] {
            let name = vec![b'a'; length];
            let parts = key.mac(Purpose::Spelling, &[&[0, 7], &[1], &name]);
            assert_eq!(key.mac_of_name(UpstreamId(7), 1, &name), parts, "{length} bytes");
        }
    }

    #[test]
    fn one_purpose_cannot_stand_for_another() {
        let key = key(1, &[]);
        assert_ne!(key.mac(Purpose::Tag, &[b"x"]), key.mac(Purpose::Probe, &[b"x"]));
    }
}
