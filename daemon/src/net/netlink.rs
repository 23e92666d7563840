//! Netlink: asks the kernel for all of a kind, and walks what it answers (`netlink(7)`).
//!
//! The kernel answers a dump out of its own memory, within the call, so this is synchronous; time and size are bounded
//! all the same. What messages mean is for those who ask.

use std::io;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr};
use socket2::SockRef;

/// Time until the kernel's answer counts as missing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Maximum size of what the kernel sends at once is 32 KiB (`netlink_dump`); this is twice that.
const BUFFER: usize = 64 * 1024;
/// Maximum number of messages of one dump: a node that carries the internet's routes needs its addresses given.
const MOST: usize = 262_144;
/// Size of the header of a message, and of that of an attribute, in bytes (`struct nlmsghdr`, `nlattr`).
const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// The bits of an attribute's kind that are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_FLAGS: u16 = 0xc000;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;

const TOO_MANY: &str = "more than 262144 routes or addresses: this node's address cannot be found among them in reasonable \
                        time; name it with `node_ip` or `--listen`";

/// A message of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message<'m> {
    kind: u16,
    flags: u16,
    payload: &'m [u8],
}

/// Opens a socket that speaks this protocol of netlink.
///
/// # Errors
/// Where the kernel gives none.
pub(crate) fn open(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Asks for all of a kind by a request with this body, and hands each payload to `take`. Returns whether entries
/// changed meanwhile, so that what was told may be torn.
///
/// # Errors
/// Where the kernel refuses, does not answer in time, or tells of more than 262,144 entries.
pub(crate) fn dump(socket: &Socket, request: u16, body: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<bool> {
    socket.send_to(&encode(request, body)?, &SocketAddr::new(0, 0), 0)?;
    let (mut torn, mut count) = (false, 0);
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let message;
            (message, rest) = next_message(rest).ok_or_else(|| invalid("a netlink message was cut short"))?;
            torn |= message.flags & NLM_F_DUMP_INTR != 0;
            count += 1;
            match message.kind {
                NLMSG_DONE => return Ok(torn),
                NLMSG_ERROR => return Err(refusal(message.payload)),
                NLMSG_OVERRUN => return Err(invalid("the kernel lost netlink messages")),
                _ if count > MOST => return Err(invalid(TOO_MANY)),
                _ => take(message.payload),
            }
        }
    }
}

/// Returns the request for a dump.
fn encode(kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    // Sequence and port are 0: one dump at a time, and the kernel knows the socket.
    Ok([&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8], body].concat())
}

/// Takes the first message off; none where its length cannot be.
fn next_message(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let message = Message { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, payload: bytes.get(HEADER..length)? };
    Some((message, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Returns the value of the first attribute of that kind.
#[must_use]
pub(crate) fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(ATTRIBUTE_HEADER..length)?;
        if u16_at(attributes, 2)? & !ATTRIBUTE_FLAGS == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// Returns the number of two bytes at this place, in the machine's byte order.
#[must_use]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

/// Returns the number of four bytes at this place, in the machine's byte order.
#[must_use]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// The kernel's own error: `struct nlmsgerr` begins with the negative error number.
fn refusal(payload: &[u8]) -> io::Error {
    match u32_at(payload, 0).map(u32::cast_signed) {
        Some(code) if code < 0 => io::Error::from_raw_os_error(code.saturating_neg()),
        _ => invalid("the kernel refused a netlink request"),
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes an attribute, as the kernel does.
#[cfg(test)]
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + ATTRIBUTE_HEADER).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernels_refusal_keeps_its_number() {
        assert_eq!(refusal(&(-13_i32).to_ne_bytes()).raw_os_error(), Some(13));
        assert_eq!(refusal(&[]).kind(), io::ErrorKind::InvalidData);
        assert_eq!(refusal(&i32::MIN.to_ne_bytes()).raw_os_error(), Some(i32::MAX));
    }

    #[test]
    fn attributes_are_found_behind_others_and_whatever_their_flags() {
        let attributes = [attribute(1, &[1, 2, 3]), attribute(7 | 0x8000, b"seven"), attribute(7, b"later")].concat();
        assert_eq!(find(&attributes, 7), Some(&b"seven"[..]));
        assert_eq!(find(&attributes, 1), Some(&[1, 2, 3][..]));
        assert_eq!(find(&attributes, 2), None);
        assert_eq!(find(&attributes[..attributes.len() - 20], 7), None, "cut short");
    }

    #[test]
    fn messages_follow_one_another_on_boundaries_of_four_bytes() {
        let mut bytes = encode(18, &[9; 5]).unwrap();
        bytes.resize(24, 0);
        bytes.extend(encode(NLMSG_DONE, &[]).unwrap());
        let (first, rest) = next_message(&bytes).unwrap();
        assert_eq!((first.kind, first.payload), (18, &[9; 5][..]));
        let (second, rest) = next_message(rest).unwrap();
        assert_eq!((second.kind, second.payload, rest), (NLMSG_DONE, &[][..], &[][..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_walked_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind: u16) {
            if let Some(value) = find(&bytes, kind) {
                prop_assert!(value.len() < bytes.len());
            }
            let (mut rest, mut count) = (&bytes[..], 0);
            while let Some((message, left)) = next_message(rest) {
                prop_assert!(message.payload.len() + HEADER <= rest.len() && left.len() < rest.len());
                (rest, count) = (left, count + 1);
            }
            prop_assert!(count * HEADER <= bytes.len());
        }
    }
}
