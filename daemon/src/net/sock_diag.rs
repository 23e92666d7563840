//! Which control group a socket belongs to, by the kernel's socket diagnosis (`sock_diag(7)`): it tells so without
//! privilege, and systemd and container runtimes name control groups after what runs in them.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::netlink;
use super::port_holder::Layer;

/// The netlink protocol (`NETLINK_SOCK_DIAG`), the request (`SOCK_DIAG_BY_FAMILY`), and its size (`struct
/// inet_diag_req_v2`).
const SOCK_DIAG: isize = 4;
const BY_FAMILY: u16 = 20;
const REQUEST: usize = 56;
/// The size of what precedes the attributes of an answer (`struct inet_diag_msg`), and the place of the inode in it.
const ANSWER: usize = 72;
const INODE: usize = 68;
/// The attribute that holds the control group's number (`INET_DIAG_CGROUP_ID`; Linux 5.8).
const CGROUP_ID: u16 = 21;
/// Address families (`AF_INET`, `AF_INET6` of `sys/socket.h`).
const INET: u8 = 2;
const INET6: u8 = 10;
/// All states of a socket.
const ALL_STATES: u32 = u32::MAX;
/// Where the unified hierarchy of control groups is, and where it is beside the older ones.
const HIERARCHIES: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
/// Maximum number of control groups that are looked at.
const MOST: usize = 65_536;

/// Returns the control group of each socket on the port of `address`, by the socket's inode: `/system.slice/x.service`.
/// Empty where the kernel does not tell.
pub(super) fn control_groups(address: SocketAddr, layer: Layer) -> Vec<(u64, String)> {
    // A socket on [::] may take IPv4, too.
    let families = if address.is_ipv4() { &[INET, INET6][..] } else { &[INET6] };
    let mut numbers = Vec::new();
    for family in families {
        let body = request(*family, layer, address.port());
        let found = netlink::open(SOCK_DIAG).and_then(|socket| {
            netlink::dump(&socket, BY_FAMILY, &body, |payload| numbers.extend(of_port(payload, address.port())))
        });
        drop(found); // a kernel without the module does not know, and then neither do we
    }
    numbers.sort_unstable();
    numbers.dedup();
    let named = |(inode, number)| Some((inode, path_of(number)?));
    numbers.into_iter().filter_map(named).collect()
}

fn request(family: u8, layer: Layer, port: u16) -> [u8; REQUEST] {
    let mut body = [0; REQUEST];
    let protocol = match layer {
        Layer::Tcp => 6,
        Layer::Udp => 17,
    };
    let states = ALL_STATES.to_ne_bytes();
    let fields = [family, protocol, 0, 0].into_iter().chain(states).chain(port.to_be_bytes());
    body.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    body
}

/// Returns inode and control group of a socket on that port. The kernel leaves others in where it cannot filter.
fn of_port(payload: &[u8], port: u16) -> Option<(u64, u64)> {
    let local: [u8; 2] = *payload.get(4..)?.first_chunk()?;
    let inode = netlink::u32_at(payload, INODE)?;
    let group = netlink::find(payload.get(ANSWER..)?, CGROUP_ID)?;
    let group = u64::from_ne_bytes(*group.first_chunk()?);
    (u16::from_be_bytes(local) == port).then_some((u64::from(inode), group))
}

/// Returns the path of a control group below its hierarchy. Its number is the inode of its directory.
fn path_of(number: u64) -> Option<String> {
    HIERARCHIES.iter().find_map(|hierarchy| find_directory(Path::new(hierarchy), number))
}

fn find_directory(hierarchy: &Path, inode: u64) -> Option<String> {
    let mut left = VecDeque::from([hierarchy.to_owned()]);
    for _ in 0..MOST {
        let directory = left.pop_front()?;
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if entry.metadata().is_ok_and(|found| found.ino() == inode) {
                let path = entry.path();
                return Some(format!("/{}", path.strip_prefix(hierarchy).ok()?.display()));
            }
            left.push_back(entry.path());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use proptest::prelude::*;

    use super::*;

    /// The numbers that the kernel gives for a port, without their paths.
    fn inodes(address: SocketAddr, layer: Layer) -> Vec<u64> {
        let body = request(if address.is_ipv4() { INET } else { INET6 }, layer, address.port());
        let socket = netlink::open(SOCK_DIAG).unwrap();
        let mut found = Vec::new();
        netlink::dump(&socket, BY_FAMILY, &body, |payload| found.extend(of_port(payload, address.port()))).unwrap();
        found.into_iter().map(|(inode, _)| inode).collect()
    }

    #[test]
    fn the_kernel_tells_the_control_group_of_a_listening_socket() {
        use std::os::fd::AsRawFd;
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let inode = |fd: i32| fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino();
        let of_tcp = inodes(tcp.local_addr().unwrap(), Layer::Tcp);
        assert!(of_tcp.contains(&inode(tcp.as_raw_fd())), "{of_tcp:?}");
        let of_udp = inodes(udp.local_addr().unwrap(), Layer::Udp);
        assert!(of_udp.contains(&inode(udp.as_raw_fd())), "{of_udp:?}");
    }

    #[test]
    fn a_control_group_is_found_by_its_directorys_number() {
        let hierarchy = tempfile::tempdir().unwrap();
        let unit = hierarchy.path().join("system.slice/dnsmasq.service");
        fs::create_dir_all(&unit).unwrap();
        fs::create_dir_all(hierarchy.path().join("user.slice")).unwrap();
        let number = fs::metadata(&unit).unwrap().ino();
        assert_eq!(find_directory(hierarchy.path(), number).as_deref(), Some("/system.slice/dnsmasq.service"));
        assert_eq!(find_directory(hierarchy.path(), 1), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), port: u16) {
            if of_port(&bytes, port).is_some() {
                prop_assert!(bytes.len() > ANSWER);
            }
        }
    }
}
