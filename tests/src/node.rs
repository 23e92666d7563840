//! A node whose servers are described one by one: Onward, its upstreams and whoever asks, all on one host, where each
//! has an address of its own and traffic passes loopback.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::dns::{Answer, Client};
use crate::hops::{self, NODE};
use crate::host::Host;
use crate::process::Process;
use crate::query::{Query, types};
use crate::{can_run, onward, wait};

/// A private server, first in most lists.
pub const PRIVATE: &str = "10.99.0.53";
/// Another one.
pub const OTHER: &str = "10.99.0.54";
/// A public server: in a list with a private one, the two are not equivalent.
pub const PUBLIC: &str = "192.0.2.53";

/// A host for servers, and for Onward; nothing where tests cannot run.
#[must_use]
pub fn host() -> Option<Host> {
    can_run().then(|| hops::host(&[PUBLIC]))
}

/// Onward on such a host.
#[derive(Debug)]
pub struct Node<'a> {
    host: &'a Host,
    settings: &'a str,
    /// The program, with the log of all that it does.
    pub onward: Process,
}

impl<'a> Node<'a> {
    /// Starts Onward with these upstreams, in this order, and further lines of its configuration; waits until it
    /// serves.
    #[must_use]
    pub fn start(host: &'a Host, upstreams: &[&str], settings: &'a str) -> Self {
        configure(host, upstreams, settings);
        let onward = onward::start(host, NODE, &["--listen", NODE, "--log-level", "debug"]);
        Self { host, settings, onward }
    }

    /// Writes another list of upstreams and has it read.
    pub fn reload(&self, upstreams: &[&str]) {
        configure(self.host, upstreams, self.settings);
        self.onward.signal(Signal::SIGHUP);
    }

    /// Writes another configuration, whose last section is that of the upstreams, and has it read.
    pub fn reload_with(&self, upstreams: &[&str], settings: &str) {
        configure(self.host, upstreams, settings);
        self.onward.signal(Signal::SIGHUP);
    }

    /// A client on the same host.
    ///
    /// # Panics
    /// Never: the address is one.
    #[must_use]
    pub fn client(&self) -> Client<'a> {
        Client::new(self.host.net(), NODE.parse().expect("an address"))
    }

    /// Asks for an address, over UDP and with EDNS, and waits 4 s at most; how long it took.
    #[must_use]
    pub fn ask(&self, name: &str) -> (Answer, Duration) {
        let begun = Instant::now();
        let answer = self.client().udp(&Query::new(name, types::A).edns(1232));
        (answer, begun.elapsed())
    }

    /// Asks for each of these names at once.
    ///
    /// # Panics
    /// If one is not answered within 4 s.
    #[must_use]
    pub fn ask_together(&self, names: &[String]) -> Vec<(Answer, Duration)> {
        std::thread::scope(|scope| {
            let asking: Vec<_> = names.iter().map(|name| scope.spawn(move || self.ask(name))).collect();
            asking.into_iter().map(|one| one.join().expect("an answer")).collect()
        })
    }

    /// Sends a question and waits for nothing.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn send(&self, name: &str) {
        self.client().socket().send(&Query::new(name, types::A).edns(1232).bytes()).expect("send");
    }

    /// What it told of upstreams that it takes for loops.
    #[must_use]
    pub fn verdicts(&self) -> Vec<String> {
        let output = self.onward.output();
        let told = output.lines().filter(|line| line.contains("back to us over") && !line.contains(" may send "));
        told.map(str::to_owned).collect()
    }

    /// Asks for names that nobody asked for, until one gets this address of the test network, `192.0.2.last`; how long
    /// that took.
    #[must_use]
    pub fn wait_for_address(&self, names: impl Fn(usize) -> String, last: u8, limit: Duration) -> Option<Duration> {
        let (begun, mut number) = (Instant::now(), 0);
        wait::until(limit, || {
            number += 1;
            let (answer, _) = self.ask(&names(number));
            (answer.addresses() == [address(last)]).then_some(())
        })
        .map(|()| begun.elapsed())
    }
}

/// `192.0.2.last`.
#[must_use]
pub const fn address(last: u8) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::new(192, 0, 2, last)
}

fn configure(host: &Host, upstreams: &[&str], settings: &str) {
    host.write(onward::CONFIGURATION, &format!("{settings}\n[upstreams]\nservers = {upstreams:?}\n"));
}
