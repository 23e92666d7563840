//! A hasher for keys that are hashes already.

use std::hash::{BuildHasherDefault, Hasher};

/// For a `HashMap` whose keys are hashes.
pub(crate) type BuildIdentity = BuildHasherDefault<Identity>;

/// Hands a hash on as it is.
#[derive(Debug, Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte); // for completeness: keys are u64
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
