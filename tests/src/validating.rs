//! Hops that validate, as Debian ships them: Unbound and BIND with a trust anchor for the root, which make NXDOMAIN of
//! cached NSEC records (RFC 8198). The root is made and signed here, by Knot. Turned, a hop keeps what it has cached.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::dns::Client;
use crate::hops::{home, port, ready, write};
use crate::host::Host;
use crate::process::Process;
use crate::query::{Query, types};
use crate::{servers, wait};

/// The domains below the root, none of them signed: every name in them has the address `192.0.2.2`.
pub const DOMAINS: [&str; 6] = ["corp", "example", "internal", "loop", "shop", "world"];

/// Knot on `address` with a signed root.
#[must_use]
pub fn signed_root(host: &Host, address: &str) -> Process {
    let home = home(host, "root");
    let delegations: String = DOMAINS.iter().map(|domain| format!("{domain}. NS ns.example.\n")).collect();
    let soa = "300 SOA ns.example. hostmaster.example. 1 3600 600 86400 300";
    write(&home, "root.zone", &format!(". {soa}\n. 300 NS ns.example.\n{delegations}ns.example. A {address}\n"));
    let domain = |domain: &&str| {
        let glue = if *domain == "example" { format!("ns.example. 300 A {address}\n") } else { String::new() };
        write(
            &home,
            &format!("{domain}.zone"),
            &format!("{domain}. {soa}\n{domain}. 300 NS ns.example.\n*.{domain}. 60 A 192.0.2.2\n{glue}"),
        );
        format!("  - domain: {domain}\n    file: {domain}.zone\n")
    };
    let zones: String = DOMAINS.iter().map(domain).collect();
    let server = servers::knot_server(address, &home);
    let text = format!(
        "{server}policy:
  - id: once
    algorithm: ecdsap256sha256
template:
  - id: default
    storage: {home}
    semantic-checks: off
zone:
  - domain: .
    file: root.zone
    dnssec-signing: on
    dnssec-policy: once
{zones}"
    );
    let file = write(&home, "knot.conf", &text);
    let mut process = host.start(&["knotd", "-c", &file]);
    servers::answers(host, address, "www.example", &mut process);
    let signed = || (!keys(host, address).is_empty()).then_some(());
    wait::until(wait::seconds(10), signed).unwrap_or_else(|| panic!("no signed root:\n{}", process.output()));
    process
}

/// The data of the root's keys of which others are signed (RFC 4034, section 2.1.1).
fn keys(host: &Host, root: &str) -> Vec<Vec<u8>> {
    let client = Client::new(host.net(), port(root).ip());
    let answer = client.tcp(&Query::new("", types::DNSKEY));
    let keys = answer.answers().into_iter().filter(|record| record.kind == types::DNSKEY).map(|record| record.data);
    keys.filter(|data| data[1] & 1 == 1).collect()
}

/// A kind of validating hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unbound with `aggressive-nsec`.
    Unbound,
    /// BIND, `forward only`, with `synth-from-dnssec`.
    Bind,
}

/// A running validating hop.
#[derive(Debug)]
pub struct Validating {
    kind: Kind,
    address: &'static str,
    home: String,
    anchors: String,
    process: Process,
}

impl Validating {
    /// Starts it on `address`; it asks `root`, a server of `signed_root`. Its cache knows already that the root has no
    /// other domains.
    #[must_use]
    pub fn start(host: &Host, kind: Kind, address: &'static str, root: &str) -> Self {
        let keys = keys(host, root);
        let (anchors, home): (String, _) = match kind {
            Kind::Unbound => (keys.iter().map(|key| unbound_anchor(key)).collect(), home(host, "unbound")),
            Kind::Bind => (keys.iter().map(|key| bind_anchor(key)).collect(), home(host, "bind")),
        };
        let file = write_configuration(kind, address, &home, &anchors, root);
        let process = match kind {
            Kind::Unbound => host.start(&["unbound", "-d", "-c", &file]),
            Kind::Bind => host.start(&["named", "-g", "-n", "1", "-c", &file]),
        };
        let process = ready(host, address, process);
        let hop = Self { kind, address, home, anchors, process };
        hop.fill_cache(host);
        hop
    }

    /// Asks for names all over the alphabet.
    fn fill_cache(&self, host: &Host) {
        let client = Client::new(host.net(), port(self.address).ip());
        for letter in "0123456789abcdefghijklmnopqrstuvwxyz".chars() {
            let query = Query::new(&format!("probe.{letter}0{letter}"), types::A).dnssec_ok();
            let answer = client.udp(&query);
            assert_eq!(answer.rcode(), crate::dns::rcode::NXDOMAIN, "{letter}: {}", self.process.output());
        }
    }

    /// Makes it ask another server; what it has cached it keeps.
    ///
    /// # Panics
    /// If it does not take that.
    pub fn turn(&self, host: &Host, target: &str) {
        let file = write_configuration(self.kind, self.address, &self.home, &self.anchors, target);
        match self.kind {
            Kind::Unbound => {
                let mut command: Command = host.command(&["unbound-control", "-c", &file, "forward", target]);
                let output = command.output().expect("unbound-control is installed");
                assert!(output.status.success(), "{output:?}");
            }
            Kind::Bind => {
                let before = self.loads();
                self.process.signal(Signal::SIGHUP);
                wait::until(wait::seconds(5), || (self.loads() > before).then_some(()))
                    .unwrap_or_else(|| panic!("named did not reload:\n{}", self.process.output()));
            }
        }
    }

    fn loads(&self) -> usize {
        self.process.output().matches("reloading configuration succeeded").count()
    }

    /// What it said.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }
}

/// Writes the configuration that asks `target`, and gives its path.
fn write_configuration(kind: Kind, address: &str, home: &str, anchors: &str, target: &str) -> String {
    match kind {
        Kind::Unbound => {
            let server = servers::unbound_server(address, home);
            let text = format!(
                "{server}    module-config: \"validator iterator\"
    aggressive-nsec: yes
{anchors}remote-control:
    control-enable: yes
    control-use-cert: no
    control-interface: \"{home}/control\"
forward-zone:
    name: .
    forward-addr: {target}
"
            );
            write(home, "unbound.conf", &text)
        }
        Kind::Bind => {
            let zone = write(home, "localhost.zone", "$TTL 60\n@ SOA @ h. 1 60 60 60 60\n@ NS @\n@ A 127.0.0.1\n");
            let text = format!(
                "options {{
    directory \"{home}\"; managed-keys-directory \"{home}\"; pid-file none; session-keyfile none;
    listen-on {{ {address}; }}; listen-on-v6 {{ none; }}; recursion yes; allow-query {{ any; }};
    forwarders {{ {target}; }}; forward only; dnssec-validation yes; synth-from-dnssec yes;
}};
trust-anchors {{ {anchors} }};
controls {{ }};
zone \"localhost\" {{ type primary; file \"{zone}\"; }};
"
            );
            write(home, "named.conf", &text)
        }
    }
}

/// A DNSKEY of the root as Unbound reads it, in the notation for any type (RFC 3597, section 5).
fn unbound_anchor(data: &[u8]) -> String {
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("    trust-anchor: \". DNSKEY \\# {} {hex}\"\n", data.len())
}

/// The same as BIND reads it.
fn bind_anchor(data: &[u8]) -> String {
    let flags = u16::from_be_bytes([data[0], data[1]]);
    format!(". static-key {flags} {} {} \"{}\";", data[2], data[3], base64(&data[4..]))
}

fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().chain(&[0, 0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let letter = |place: usize| match place <= three.len() {
            true => char::from(LETTERS[bits >> (18 - 6 * place) & 63]),
            false => '=',
        };
        (0..4).map(letter).collect::<String>()
    };
    data.chunks(3).map(group).collect()
}
