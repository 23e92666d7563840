//! Network namespaces with names of their own, and the cables between them. Removed when dropped, also on a panic.
//!
//! What runs in them, and on which files, is the business of `host.rs`.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

/// A network namespace that `ip netns` knows by name.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace whose loopback is up. `role` is for people who look at `ip netns`.
    ///
    /// # Panics
    /// If `ip` cannot make it: no root, no iproute2.
    #[must_use]
    pub fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("onward-{}-{}-{role}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// The name, as `ip netns exec` takes it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with these words in the namespace.
    ///
    /// # Panics
    /// If `ip` fails.
    pub fn ip(&self, words: &str) {
        let mut arguments = vec!["-n", self.name.as_str()];
        arguments.extend(words.split_whitespace());
        run(&arguments);
    }

    /// Puts an address with its prefix length on a link and takes the link up.
    pub fn address(&self, link: &str, address: &str) {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("address add {address} dev {link} {nodad}"));
        self.ip(&format!("link set {link} up"));
    }

    /// Runs `work` on a thread inside the namespace: sockets that it opens stay there for life.
    ///
    /// # Panics
    /// If the namespace cannot be entered, or `work` panics.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = self.entrance();
        let entered = || {
            enter();
            work()
        };
        std::thread::scope(|scope| scope.spawn(entered).join().expect("work inside the namespace"))
    }

    /// Takes each thread that calls it into the namespace, for good; panics where it cannot be entered.
    pub fn entrance(&self) -> impl Fn() + Clone + Send + Sync + use<> {
        let path = PathBuf::from("/run/netns").join(&self.name);
        move || {
            let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            setns(file, CloneFlags::CLONE_NEWNET).expect("enter the network namespace");
        }
    }

    /// A UDP socket of the namespace.
    ///
    /// # Panics
    /// If `address` cannot be bound there.
    #[must_use]
    pub fn udp(&self, address: SocketAddr) -> UdpSocket {
        self.within(|| UdpSocket::bind(address)).unwrap_or_else(|error| panic!("{}: udp {address}: {error}", self.name))
    }

    /// A TCP listener of the namespace.
    ///
    /// # Panics
    /// If `address` cannot be bound there.
    #[must_use]
    pub fn listener(&self, address: SocketAddr) -> TcpListener {
        self.within(|| TcpListener::bind(address))
            .unwrap_or_else(|error| panic!("{}: tcp {address}: {error}", self.name))
    }

    /// A TCP connection from the namespace, tried for a second.
    ///
    /// # Errors
    /// What `connect` says.
    pub fn connect(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        self.within(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Lays a veth cable between two namespaces; the links are still down, and have these names inside.
///
/// # Panics
/// If `ip` fails.
pub fn cable(left: &Namespace, left_link: &str, right: &Namespace, right_link: &str) {
    left.ip(&format!("link add {left_link} type veth peer name {right_link} netns {}", right.name));
}

fn run(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", arguments.join(" "));
}
