//! Reads links, addresses and the main table's routes from the kernel, by netlink dumps (`rtnetlink(7)`).
//!
//! The kernel answers a dump out of its own memory, within the call, so this is synchronous; time and size are bounded all
//! the same. What the bytes mean is for `messages.rs`.

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN, NetlinkBuffer, NetlinkMessage,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::{RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::constants::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use socket2::SockRef;

use super::messages;
use super::table::Tables;

/// How long one answer of the kernel may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel fills at most 32 KiB at once (`netlink_dump`).
const BUFFER: usize = 64 * 1024;
/// The most entries of one kind that are taken: a node that carries the internet's routes needs its addresses given.
const MOST: usize = 262_144;
/// How often a dump that the kernel calls torn (entries changed meanwhile) is asked for again.
const TORN: u32 = 3;

/// Links, addresses and the main table's routes as they are now.
///
/// # Errors
/// Where the kernel gives no netlink socket or no answer, or the tables hold more than 262,144 entries.
pub fn read() -> io::Result<Tables> {
    let mut last = read_once()?;
    for _ in 1..TORN {
        if !last.torn {
            break;
        }
        last = read_once()?;
    }
    Ok(last.tables)
}

struct Reading {
    tables: Tables,
    torn: bool,
}

fn read_once() -> io::Result<Reading> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
    // With strict checking the kernel itself leaves out the other tables (Linux 4.20); without it we do.
    let _ = socket.set_netlink_get_strict_chk(true);

    let mut tables = Tables::default();
    let mut torn = false;
    torn |= dump(&socket, RouteNetlinkMessage::GetLink(LinkMessage::default()), |payload| {
        tables.links.extend(messages::link(payload));
        tables.links.len()
    })?;
    torn |= dump(&socket, RouteNetlinkMessage::GetAddress(AddressMessage::default()), |payload| {
        tables.addresses.extend(messages::address(payload));
        tables.addresses.len()
    })?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        request.header.table = RouteHeader::RT_TABLE_MAIN;
        torn |= dump(&socket, RouteNetlinkMessage::GetRoute(request), |payload| {
            tables.routes.extend(messages::routes(payload));
            tables.routes.len()
        })?;
    }
    Ok(Reading { tables, torn })
}

/// Asks for all of a kind and hands each payload to `take`, which says how many it has by now. Tells whether it was torn.
fn dump(socket: &Socket, request: RouteNetlinkMessage, mut take: impl FnMut(&[u8]) -> usize) -> io::Result<bool> {
    send(socket, request)?;
    let mut torn = false;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(|_| invalid("a netlink message was cut short"))?;
            torn |= message.flags() & NLM_F_DUMP_INTR != 0;
            match message.message_type() {
                NLMSG_DONE => return Ok(torn),
                NLMSG_ERROR => return Err(refusal(message.payload())),
                NLMSG_OVERRUN => return Err(invalid("the kernel lost netlink messages")),
                _ if take(message.payload()) > MOST => return Err(invalid(TOO_MANY)),
                _ => {}
            }
            let length = usize::try_from(message.length()).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

const TOO_MANY: &str = "more than 262144 routes or addresses: this node's address cannot be found among them in reasonable \
                        time; name it with `node_ip` or `--listen`";

fn send(socket: &Socket, request: RouteNetlinkMessage) -> io::Result<()> {
    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    Ok(())
}

/// The kernel's own error: `struct nlmsgerr` begins with the negative error number.
fn refusal(payload: &[u8]) -> io::Error {
    match payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(code) if code < 0 => io::Error::from_raw_os_error(code.saturating_neg()),
        _ => invalid("the kernel refused to list its addresses and routes"),
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_link_and_its_address_are_found() {
        let tables = read().unwrap();
        let lo = tables.links.iter().find(|link| link.loopback).unwrap();
        assert_eq!((lo.name.as_str(), tables.link(lo.index)), ("lo", Some(lo)));
        let of_lo = tables.addresses.iter().find(|address| address.link == lo.index).unwrap();
        assert!(of_lo.ip.is_loopback(), "{of_lo:?}");
        assert!(tables.has(of_lo.ip));
    }

    #[test]
    fn the_kernels_refusal_keeps_its_number() {
        assert_eq!(refusal(&(-13_i32).to_ne_bytes()).raw_os_error(), Some(13));
        assert_eq!(refusal(&[]).kind(), io::ErrorKind::InvalidData);
    }
}
