//! The servers that surround Onward on a node, each with a configuration made on the spot: Knot as the upstream that
//! knows everything, Unbound as an upstream that validates, dnsmasq and systemd-resolved as stubs on loopback.

use std::net::IpAddr;
use std::os::unix::fs::chown;

use crate::dns::Client;
use crate::host::{Host, RESOLVE_USER};
use crate::process::Process;
use crate::query::{Query, types};
use crate::{peers, wait, zones};

/// How long a server may take until it answers; signing a zone is in it.
const START: std::time::Duration = wait::seconds(20);

/// Knot on `address`, with the zones of `zones.rs`. Each address gets a server and a directory of its own.
#[must_use]
pub fn knot(host: &Host, address: &str) -> Process {
    let home = format!("/knot-{address}");
    host.write(&format!("{home}/root.zone"), zones::ROOT);
    host.write(&format!("{home}/odd.zone"), &(zones::ODD.replace("IDENTITY", address) + &zones::long()));
    host.write(&format!("{home}/signed.zone"), zones::SIGNED);
    let directory = host.path(&home).display().to_string();
    let server = knot_server(address, &directory);
    let text = format!(
        "{server}    udp-max-payload: 1232
acl:
  - id: anyone
    action: transfer
policy:
  - id: once
    algorithm: ecdsap256sha256
template:
  - id: default
    storage: {directory}
    acl: anyone
    semantic-checks: off
zone:
  - domain: .
    file: root.zone
  - domain: odd.example
    file: odd.zone
  - domain: signed.example
    file: signed.zone
    dnssec-signing: on
    dnssec-policy: once
"
    );
    host.write(&format!("{home}/knot.conf"), &text);
    let mut process = host.start(&["knotd", "-c", &host.path(&format!("{home}/knot.conf")).display().to_string()]);
    answers(host, address, "www.signed.example", &mut process);
    process
}

/// The beginning of Knot's configuration that is the same for all of its jobs here; settings of the server may follow.
#[must_use]
pub fn knot_server(address: &str, directory: &str) -> String {
    format!(
        "log:
  - target: stderr
    any: info
database:
    storage: {directory}
server:
    listen: {address}@53
    rundir: {directory}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
"
    )
}

/// A key that nobody has: with it, all of `odd.example` is bogus for Unbound.
const BROKEN: &str = "odd.example. DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000";

/// The beginning of Unbound's configuration that is the same for all of its jobs here.
#[must_use]
pub fn unbound_server(address: &str, directory: &str) -> String {
    format!(
        "server:
    interface: {address}
    access-control: 0.0.0.0/0 allow
    username: \"\"
    chroot: \"\"
    directory: \"{directory}\"
    pidfile: \"\"
    use-syslog: no
    num-threads: 1
    do-not-query-localhost: no
"
    )
}

/// Unbound on `address`, which asks Knot at `upstream` and validates: `signed.example` against the keys found there,
/// `odd.example`, which is not signed, against one that nobody has.
///
/// # Panics
/// If Knot serves no key.
#[must_use]
pub fn unbound(host: &Host, address: &str, upstream: &str) -> Process {
    let knot = Client::new(host.net(), parse(upstream));
    let keys = knot.tcp(&Query::new("signed.example", types::DNSKEY)).answers();
    let anchors: String = keys.iter().map(|key| format!("    trust-anchor: \"{}\"\n", anchor(&key.data))).collect();
    assert!(!anchors.is_empty(), "no DNSKEY of signed.example");
    let server = unbound_server(address, &host.path("/").display().to_string());
    let text = format!(
        "{server}    module-config: \"validator iterator\"
    ede: yes
{anchors}    trust-anchor: \"{BROKEN}\"
forward-zone:
    name: .
    forward-addr: {upstream}
"
    );
    host.write("/unbound.conf", &text);
    let mut process = host.start(&["unbound", "-d", "-c", &host.path("/unbound.conf").display().to_string()]);
    answers(host, address, "www.signed.example", &mut process);
    process
}

/// dnsmasq on `address`, which asks `upstream` without a cache; `more` are further flags.
#[must_use]
pub fn dnsmasq(host: &Host, address: &str, upstream: &str, more: &[&str]) -> Process {
    let listen = format!("--listen-address={address}");
    let server = format!("--server={upstream}");
    let mut words = vec!["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--no-hosts"];
    words.extend(["--no-resolv", "--bind-interfaces", "--cache-size=0", "--log-facility=-", &listen, &server]);
    words.extend(more);
    let mut process = host.start(&words);
    answers(host, address, "www.odd.example", &mut process);
    process
}

/// systemd-resolved, with `upstream` as its only server: its stub on 127.0.0.53, its files in `/run/systemd/resolve`.
///
/// It runs without systemd and without D-Bus, as a user of the host.
///
/// # Panics
/// If the program is not there: the message says how to get it.
#[must_use]
pub fn resolved(host: &Host, upstream: &str) -> Process {
    let mut process = start_resolved(host, upstream);
    answers(host, "127.0.0.53", "www.odd.example", &mut process);
    wait::until(START, || host.path("/run/systemd/resolve/stub-resolv.conf").exists().then_some(()))
        .unwrap_or_else(|| panic!("systemd-resolved wrote no stub-resolv.conf:\n{}", process.output()));
    process
}

/// Starts systemd-resolved and does not wait for it.
///
/// # Panics
/// If the program is not there.
#[must_use]
pub fn start_resolved(host: &Host, upstream: &str) -> Process {
    start_resolved_with(host, &format!("DNS={upstream}\nFallbackDNS=\n"))
}

/// Starts systemd-resolved with these lines of resolved.conf, and does not wait for it.
///
/// # Panics
/// If the program is not there.
#[must_use]
pub fn start_resolved_with(host: &Host, lines: &str) -> Process {
    std::fs::create_dir_all(host.path("/run/dbus")).expect("make the directory of D-Bus");
    let settings = format!("[Resolve]\n{lines}DNSSEC=no\nLLMNR=no\nMulticastDNS=no\n");
    host.write("/run/systemd/resolved.conf.d/test.conf", &settings);
    let files = host.path("/run/systemd/resolve");
    std::fs::create_dir_all(&files).expect("make resolved's directory");
    chown(&files, Some(RESOLVE_USER), Some(RESOLVE_USER)).expect("give it to resolved");
    host.start(&[&peers::resolved().display().to_string()])
}

/// Waits until a server has an address for a name.
///
/// # Panics
/// If it ends, or has none in time.
pub fn answers(host: &Host, address: &str, name: &str, process: &mut Process) {
    let client = Client::new(host.net(), parse(address));
    let query = Query::new(name, types::A);
    let found = wait::until(START, || {
        let ended = process.ended();
        assert!(ended.is_none(), "it ended with {ended:?}:\n{}", process.output());
        client.exchange(&query.bytes(), wait::millis(200)).filter(|answer| !answer.addresses().is_empty())
    });
    assert!(found.is_some(), "{address} does not answer for {name}:\n{}", process.output());
}

fn parse(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// A DNSKEY as Unbound reads it, in the notation for any type (RFC 3597 section 5).
fn anchor(data: &[u8]) -> String {
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("signed.example. DNSKEY \\# {} {hex}", data.len())
}
