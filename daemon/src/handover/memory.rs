//! Memory that outlives the process: written once, with a checksum before it, and read once, whole or not at all.

use std::ffi::CStr;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};
use siphasher::sip::SipHasher13;

/// Writes bytes to memory of their own. The kernel knows it by `name`.
///
/// # Errors
/// Where the system has no memory or descriptor to give.
pub(super) fn write(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&checksum(bytes).to_ne_bytes())?;
    file.write_all(bytes)?;
    Ok(file.into())
}

/// Reads what [`write()`] wrote, of at most `most` bytes.
///
/// # Errors
/// Why it is not to be used, for people.
pub(super) fn read(mut file: &File, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // The writer has left the position, which descriptors share, at the end.
    file.rewind().and_then(|()| file.take(most).read_to_end(&mut bytes)).map_err(|error| error.to_string())?;
    let (sum, content) = bytes.split_first_chunk().ok_or("it is cut")?;
    if checksum(content).to_ne_bytes() != *sum {
        return Err("it is cut or damaged".to_owned());
    }
    Ok(content.to_vec())
}

/// Tells bytes from damaged ones; a stranger cannot reach them.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// All that there is, the checksum included.
    pub(in super::super) fn raw(mut file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).unwrap();
        bytes
    }

    /// Memory as it is when it was cut at each place, and when a bit was changed at each.
    pub(in super::super) fn spoilt(whole: &[u8]) -> Vec<File> {
        let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
        let damaged = (0..whole.len()).map(|at| {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1;
            bytes
        });
        let file = |bytes: Vec<u8>| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            file
        };
        cut.chain(damaged).map(file).collect()
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let file = File::from(write(c"test", b"content").unwrap());
        assert_eq!(read(&file, 100), Ok(b"content".to_vec()));
        assert_eq!(read(&file, 100), Ok(b"content".to_vec()), "a second time");
        assert!(read(&file, 12).is_err(), "longer than may be");
        assert!(spoilt(&raw(&file)).iter().all(|file| read(file, 100).is_err()));
    }
}
