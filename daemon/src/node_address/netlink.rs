//! Reads links, addresses and the main table's routes from the kernel, by netlink dumps (`rtnetlink(7)`).
//!
//! How messages are asked for is in [`crate::net::netlink`], what they mean in `messages.rs`.

use std::io;

use netlink_sys::constants::NETLINK_ROUTE;

use super::messages;
use super::table::Tables;
use crate::net::netlink;

/// Number of times that a dump is made which the kernel calls torn (entries changed meanwhile).
const TRIES: u32 = 3;

/// Links, addresses and the main table's routes as they are now.
///
/// # Errors
/// Where the kernel gives no netlink socket or no answer, or the tables hold more than 262,144 entries.
pub(crate) fn read() -> io::Result<Tables> {
    let (mut tables, mut is_torn) = read_once()?;
    for _ in 1..TRIES {
        if !is_torn {
            break;
        }
        (tables, is_torn) = read_once()?;
    }
    Ok(tables)
}

fn read_once() -> io::Result<(Tables, bool)> {
    let socket = netlink::open(NETLINK_ROUTE)?;
    // With strict checking the kernel itself leaves out the other tables (Linux 4.20); without it we do.
    let _ = socket.set_netlink_get_strict_chk(true);

    let (mut tables, mut torn) = (Tables::default(), false);
    let (kind, body) = messages::LINKS;
    torn |= netlink::dump(&socket, kind, &body, |payload| tables.links.extend(messages::link(payload)))?;
    let (kind, body) = messages::ADDRESSES;
    torn |= netlink::dump(&socket, kind, &body, |payload| tables.addresses.extend(messages::address(payload)))?;
    for (kind, body) in [messages::ROUTES_V4, messages::ROUTES_V6] {
        torn |= netlink::dump(&socket, kind, &body, |payload| tables.routes.extend(messages::routes(payload)))?;
    }
    Ok((tables, torn))
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
}
