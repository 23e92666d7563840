//! Finds out who holds a port, for the error that says so: `/proc/self/net/{tcp,udp}*` names the socket, `/proc/*/fd`
//! its process.
//!
//! Best effort: without privilege the processes of other users cannot be looked into. Then the kernel's socket
//! diagnosis (`sock_diag`) tells the control group, which systemd names after the unit; else their user is all that is
//! known.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use super::sock_diag;

/// Entries of `/proc` that are looked at before giving up: processes, and descriptors of one process.
const MOST: usize = 65_536;
/// The state of a listening TCP socket in `/proc/self/net/tcp` (`TCP_LISTEN` of the kernel's `tcp_states.h`).
const LISTENING: &str = "0A";

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Who has a socket open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    /// A process.
    Process {
        /// Its name, as in `/proc/PID/comm`.
        name: String,
        /// Its number.
        pid: u32,
    },
    /// A process that we may not look into, in a unit of systemd or a container.
    Unit {
        /// The last part of its control group's name: `dnsmasq.service`.
        name: String,
    },
    /// A process that we may not look into, and that is in no such unit.
    User {
        /// The number of its user.
        uid: u32,
    },
}

/// A socket of `/proc/self/net/*`.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    uid: u32,
    inode: u64,
}

/// Who is in the way of `address`.
#[must_use]
pub(crate) fn find(address: SocketAddr, layer: Layer) -> Vec<Holder> {
    let files = match layer {
        Layer::Tcp => ["/proc/self/net/tcp", "/proc/self/net/tcp6"],
        Layer::Udp => ["/proc/self/net/udp", "/proc/self/net/udp6"],
    };
    let tables: Vec<String> = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let entries: Vec<Entry> =
        tables.iter().flat_map(|table| table.lines()).filter_map(|line| in_the_way(line, address, layer)).collect();
    let mut holders: BTreeSet<Holder> = BTreeSet::new();
    let mut found: BTreeSet<u64> = BTreeSet::new();
    for (pid, inode) in open_sockets() {
        if entries.iter().any(|entry| entry.inode == inode) {
            found.insert(inode);
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            holders.insert(Holder::Process { name: name.trim_end().to_owned(), pid });
        }
    }
    let hidden: Vec<_> = entries.iter().filter(|entry| !found.contains(&entry.inode)).collect();
    if !hidden.is_empty() {
        let groups = sock_diag::control_groups(address, layer);
        holders.extend(hidden.into_iter().map(|entry| of_group(entry, &groups)));
    }
    holders.into_iter().collect()
}

/// The unit that a socket's control group is named after, or else the socket's user.
fn of_group(entry: &Entry, groups: &[(u64, String)]) -> Holder {
    let path = groups.iter().find(|(inode, _)| *inode == entry.inode).map(|(_, path)| path);
    match path.and_then(|path| path.rsplit('/').find(|part| !part.is_empty())) {
        Some(name) => Holder::Unit { name: name.to_owned() },
        None => Holder::User { uid: entry.uid },
    }
}

/// The socket of one line, if it stands in the way of `address`: same port, and the same address or all of them.
fn in_the_way(line: &str, address: SocketAddr, layer: Layer) -> Option<Entry> {
    let mut fields = line.split_whitespace();
    let local = parse_address(fields.nth(1)?)?;
    let state = fields.nth(1)?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let same = local.ip().to_canonical() == address.ip().to_canonical();
    // A socket on [::] takes IPv4 too, unless told not to; the table does not say which.
    let covers = local.ip().is_unspecified() && (local.is_ipv6() || address.is_ipv4());
    let meets = local.port() == address.port() && (same || covers || address.ip().is_unspecified());
    (meets && (layer == Layer::Udp || state == LISTENING)).then_some(Entry { uid, inode })
}

/// `0100007F:0035`: the address as words of 32 bits in the machine's byte order, the port as a plain number, all in
/// hex.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match ip.len() {
        8 => word(0)?.into(),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            <[u8; 16]>::try_from(bytes).ok()?.into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The sockets of all processes that we may look into: process and inode.
fn open_sockets() -> impl Iterator<Item = (u32, u64)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().take(MOST);
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).flat_map(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().take(MOST);
        descriptors.filter_map(move |descriptor| {
            let target = fs::read_link(descriptor.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            Some((pid, inode))
        })
    })
}

/// Who holds it, in words.
pub(super) fn describe(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "another program holds the port, and which one cannot be seen (`ss -lnptu` as root shows it)"
            .to_owned();
    }
    let each = holders.iter().map(|holder| match holder {
        Holder::Process { name, pid } => format!("{name:?} (process {pid})"),
        Holder::Unit { name } => format!("{name:?} (`systemctl status {name}`)"),
        Holder::User { uid } => format!("a program of user {uid} (as root you can see which)"),
    });
    format!("{} holds the port", each.collect::<Vec<_>>().join(" and "))
}

/// How the program, if well known, is told to leave our address alone.
pub(super) fn advice(holders: &[Holder]) -> &'static str {
    let name = holders.iter().find_map(|holder| match holder {
        Holder::Process { name, .. } => Some(name.as_str()),
        Holder::Unit { name } => Some(name.strip_suffix(".service").unwrap_or(name)),
        Holder::User { .. } => None,
    });
    match name {
        Some("dnsmasq") => " (`bind-interfaces` with `listen-address=127.0.0.1`)",
        Some("named") => " (`listen-on { 127.0.0.1; };`)",
        Some("unbound") => " (`interface: 127.0.0.1`)",
        // The kernel cuts names after 15 characters.
        Some("systemd-resolve" | "systemd-resolved") => " (remove `DNSStubListenerExtra=`)",
        Some("coredns") => " (the plugin `bind`)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str =
        "   0: 0500000A:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4711 1 x";

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel_are_matched_by_address_port_and_state() {
        let at = |text: &str| text.parse().unwrap();
        let held = Some(Entry { uid: 101, inode: 4711 });
        assert_eq!(in_the_way(TCP, at("10.0.0.5:53"), Layer::Tcp), held);
        assert_eq!(in_the_way(TCP, at("0.0.0.0:53"), Layer::Tcp), held);
        assert_eq!(in_the_way(TCP, at("10.0.0.6:53"), Layer::Tcp), None);
        assert_eq!(in_the_way(TCP, at("10.0.0.5:54"), Layer::Tcp), None);
        let connected = TCP.replace(" 0A ", " 01 ");
        assert_eq!(in_the_way(&connected, at("10.0.0.5:53"), Layer::Tcp), None);
        let everywhere = TCP.replace("0500000A:", &format!("{}:", "0".repeat(32)));
        assert_eq!(in_the_way(&everywhere, at("10.0.0.5:53"), Layer::Tcp), held);
        // fd00::5: each word of four bytes is turned around.
        let v6 = TCP.replace("0500000A:", "000000FD000000000000000005000000:");
        assert_eq!(in_the_way(&v6, at("[fd00::5]:53"), Layer::Tcp), held);
        for odd in ["", "sl local_address", "0: 0500000A", "0: 05:zz x 0A"] {
            assert_eq!(in_the_way(odd, at("10.0.0.5:53"), Layer::Tcp), None);
        }
    }

    #[test]
    fn who_cannot_be_looked_into_is_known_by_its_unit() {
        let entry = Entry { uid: 101, inode: 4711 };
        let groups = [(4712, "/a.service".to_owned()), (4711, "/system.slice/named.service".to_owned())];
        assert_eq!(of_group(&entry, &groups), Holder::Unit { name: "named.service".to_owned() });
        assert_eq!(of_group(&entry, &groups[..1]), Holder::User { uid: 101 });
        assert_eq!(of_group(&entry, &[(4711, "/".to_owned())]), Holder::User { uid: 101 });
    }

    #[test]
    fn holders_are_told_in_words() {
        let dnsmasq = Holder::Process { name: "dnsmasq".to_owned(), pid: 612 };
        assert_eq!(describe(std::slice::from_ref(&dnsmasq)), "\"dnsmasq\" (process 612) holds the port");
        assert!(advice(&[dnsmasq]).contains("bind-interfaces"));
        let unit = Holder::Unit { name: "dnsmasq.service".to_owned() };
        assert_eq!(
            describe(std::slice::from_ref(&unit)),
            "\"dnsmasq.service\" (`systemctl status dnsmasq.service`) holds the port"
        );
        assert!(advice(&[unit]).contains("bind-interfaces"));
        assert!(describe(&[Holder::User { uid: 101 }]).contains("user 101"));
        assert!(describe(&[]).contains("ss -lnptu"));
    }
}
