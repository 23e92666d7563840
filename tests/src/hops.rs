//! What a loop goes through: the forwarders that people have between Onward and the servers, real ones mostly, on a
//! host where everything has an address on loopback. Turned, a hop asks another server: its programs are started again
//! with that server in their configuration, and a relay is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::host::Host;
use crate::process::Process;
use crate::query::types;
use crate::relay::Relay;
use crate::upstream::{Reply, Scripted, Seen};
use crate::{peers, servers};

/// The node's own address, where Onward listens.
pub const NODE: &str = "10.99.0.1";
/// Where hops listen that are free to choose.
pub const HOPS: [&str; 2] = ["10.99.0.21", "10.99.0.22"];
/// A good server, Onward's second upstream.
pub const GOOD: &str = "10.99.0.53";
/// The server that hops ask while they are in order.
pub const BEYOND: &str = "10.99.0.54";

/// A kind of hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// dnsmasq.
    Dnsmasq,
    /// Unbound with a forward zone.
    Unbound,
    /// BIND, `forward only`.
    Bind,
    /// Knot Resolver with `policy.STUB`.
    KnotResolver,
    /// systemd-resolved's stub.
    Resolved53,
    /// systemd-resolved's stub that passes messages on as they are.
    Resolved54,
    /// CoreDNS with `forward` and `cache`, without `loop`.
    CoreDns,
    /// dnsmasq, which asks Unbound.
    TwoInARow,
    /// A relay that loses every mark.
    Relay,
    /// dnsmasq that asks another server for the names under `loop.example`.
    OneZone,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Dnsmasq,
        Self::Unbound,
        Self::Bind,
        Self::KnotResolver,
        Self::Resolved53,
        Self::Resolved54,
        Self::CoreDns,
        Self::TwoInARow,
        Self::Relay,
        Self::OneZone,
    ];

    /// Where Onward asks it.
    #[must_use]
    pub fn address(self) -> &'static str {
        match self {
            Self::Resolved53 => "127.0.0.53",
            Self::Resolved54 => "127.0.0.54",
            _ => HOPS[0],
        }
    }

    /// Its name in a table.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Dnsmasq => "dnsmasq",
            Self::Unbound => "unbound",
            Self::Bind => "bind",
            Self::KnotResolver => "kresd",
            Self::Resolved53 => "resolved .53",
            Self::Resolved54 => "resolved .54",
            Self::CoreDns => "coredns",
            Self::TwoInARow => "dnsmasq>unbound",
            Self::Relay => "relay",
            Self::OneZone => "one zone only",
        }
    }
}

/// A host for Onward, hops and servers. Its addresses are on a link, without which systemd-resolved believes that there
/// is no network; all traffic passes loopback.
#[must_use]
pub fn host(more: &[&str]) -> Host {
    let host = Host::new("loop");
    host.net().ip("link add eth0 type veth peer name eth1");
    host.net().ip("link set eth1 up");
    for address in [NODE, HOPS[0], HOPS[1], GOOD, BEYOND].iter().chain(more) {
        host.net().address("eth0", &format!("{address}/24"));
    }
    host
}

/// A server that has an address for every name, `192.0.2.last`, and answers EDNS with EDNS.
#[must_use]
pub fn server(host: &Host, address: &str, last: u8) -> Scripted {
    Scripted::start(host.net(), port(address), move |seen| Reply::now(answer(seen, last)))
}

/// Such an answer.
#[must_use]
pub fn answer(seen: &Seen, last: u8) -> Vec<u8> {
    let mut message = match seen.query.asked_type() {
        types::A => seen.address([192, 0, 2, last], 60),
        _ => seen.negative(0, 60),
    };
    if seen.has_opt() {
        message[11] = 1;
        message.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    message
}

/// The same of a server that does not keep the spelling of names.
#[must_use]
pub fn answer_in_lower_case(seen: &Seen, last: u8) -> Vec<u8> {
    let mut message = answer(seen, last);
    let end = 12 + seen.query.0[12..].iter().position(|byte| *byte == 0).unwrap();
    message[12..end].make_ascii_lowercase();
    message
}

/// A running hop.
#[derive(Debug)]
pub struct Hop {
    kind: Kind,
    relay: Option<Relay>,
    processes: Vec<Process>,
}

impl Hop {
    /// Starts it, and waits until it answers. It asks the server at `target`.
    #[must_use]
    pub fn start(host: &Host, kind: Kind, target: &str) -> Self {
        let mut hop = Self { kind, relay: None, processes: Vec::new() };
        hop.turn(host, target);
        hop
    }

    /// Makes it ask another server.
    pub fn turn(&mut self, host: &Host, target: &str) {
        self.processes.clear();
        let [first, second] = HOPS;
        match self.kind {
            Kind::Dnsmasq => self.processes.push(dnsmasq(host, first, &[target])),
            Kind::Unbound => self.processes.push(unbound(host, first, &[target])),
            Kind::Bind => self.processes.push(bind(host, first, &[target])),
            Kind::KnotResolver => self.processes.push(knot_resolver(host, first, target)),
            Kind::Resolved53 | Kind::Resolved54 => self.processes.push(resolved(host, target)),
            Kind::CoreDns => self.processes.push(coredns(host, first, &[target], "sequential")),
            Kind::TwoInARow => {
                self.processes.push(unbound(host, second, &[target]));
                self.processes.push(dnsmasq(host, first, &[second]));
            }
            Kind::OneZone => self.processes.push(dnsmasq(host, first, &[BEYOND, &format!("/loop.example/{target}")])),
            Kind::Relay => match &self.relay {
                Some(relay) => relay.turn(port(target)),
                None => self.relay = Some(Relay::start(host.net(), port(first), port(target), 1)),
            },
        }
    }

    /// What it said.
    #[must_use]
    pub fn output(&self) -> String {
        self.processes.iter().map(Process::output).collect()
    }
}

/// Port 53 of an address.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn port(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), 53)
}

/// dnsmasq that asks these servers, without a cache.
#[must_use]
pub fn dnsmasq(host: &Host, address: &str, targets: &[&str]) -> Process {
    let mut words: Vec<String> =
        ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file="]
            .into_iter()
            .chain([
                "--no-hosts",
                "--no-resolv",
                "--bind-interfaces",
                "--cache-size=0",
                "--log-facility=-",
                "--log-queries",
            ])
            .map(str::to_owned)
            .collect();
    // A name that it knows itself, to see that it is there.
    words.push("--address=/localhost/127.0.0.1".to_owned());
    words.push(format!("--listen-address={address}"));
    words.extend(targets.iter().map(|target| match target.starts_with("--") {
        true => (*target).to_owned(),
        false => format!("--server={target}"),
    }));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ready(host, address, host.start(&words))
}

/// Unbound that forwards all to these servers.
#[must_use]
pub fn unbound(host: &Host, address: &str, targets: &[&str]) -> Process {
    let forward: String = targets.iter().map(|target| format!("    forward-addr: {target}\n")).collect();
    unbound_with(host, address, &format!("forward-zone:\n    name: .\n{forward}"))
}

/// Unbound that does not validate; `lines` are the end of its configuration: more about the server, then whom it asks.
#[must_use]
pub fn unbound_with(host: &Host, address: &str, lines: &str) -> Process {
    let home = home(host, "unbound");
    let server = servers::unbound_server(address, &home);
    let file = write(&home, "unbound.conf", &format!("{server}    module-config: \"iterator\"\n{lines}"));
    ready(host, address, host.start(&["unbound", "-d", "-c", &file]))
}

/// BIND that forwards all to these servers.
#[must_use]
pub fn bind(host: &Host, address: &str, targets: &[&str]) -> Process {
    let home = home(host, "bind");
    let forwarders = targets.join("; ");
    // A zone of its own, to see that it is there.
    let zone = write(&home, "localhost.zone", "$TTL 60\n@ SOA @ h. 1 60 60 60 60\n@ NS @\n@ A 127.0.0.1\n");
    let text = format!(
        "options {{
    directory \"{home}\"; managed-keys-directory \"{home}\"; pid-file none; session-keyfile none;
    listen-on {{ {address}; }}; listen-on-v6 {{ none; }}; recursion yes; allow-query {{ any; }};
    forwarders {{ {forwarders}; }}; forward only; dnssec-validation no;
}};
controls {{ }};
zone \"localhost\" {{ type primary; file \"{zone}\"; }};
"
    );
    let file = write(&home, "named.conf", &text);
    ready(host, address, host.start(&["named", "-g", "-n", "1", "-c", &file]))
}

/// Knot Resolver that asks this server.
#[must_use]
pub fn knot_resolver(host: &Host, address: &str, target: &str) -> Process {
    let home = home(host, "kresd");
    let text = format!(
        "net.listen('{address}', 53)
modules.unload('ta_update') modules.unload('ta_signal_query') modules.unload('priming')
trust_anchors.remove('.')
cache.size = 10 * MB
ready = policy.ANSWER({{ [kres.type.A] = {{ rdata = kres.str2ip('127.0.0.1'), ttl = 60 }} }})
policy.add(policy.suffix(ready, {{todname('localhost.')}}))
policy.add(policy.all(policy.STUB('{target}')))
"
    );
    let file = write(&home, "kresd.conf", &text);
    ready(host, address, host.start(&["kresd", "-n", "-c", &file, &home]))
}

/// CoreDNS that forwards to these servers, with a cache and without `loop`.
#[must_use]
pub fn coredns(host: &Host, address: &str, targets: &[&str], policy: &str) -> Process {
    let home = home(host, "coredns");
    let text = format!(
        ".:53 {{
    bind {address}
    errors
    cache 30
    hosts {{
        127.0.0.1 localhost
        fallthrough
    }}
    forward . {} {{
        policy {policy}
    }}
}}
",
        targets.join(" ")
    );
    let file = write(&home, "Corefile", &text);
    ready(host, address, host.start(&[&peers::coredns().display().to_string(), "-conf", &file]))
}

/// systemd-resolved with this server, on 127.0.0.53 and 127.0.0.54.
#[must_use]
pub fn resolved(host: &Host, target: &str) -> Process {
    ready(host, "127.0.0.53", servers::start_resolved(host, target))
}

/// Waits until a server answers for `localhost`.
pub(crate) fn ready(host: &Host, address: &str, mut process: Process) -> Process {
    servers::answers(host, address, "localhost", &mut process);
    process
}

/// A new directory of the host, for one start of a program.
pub(crate) fn home(host: &Host, program: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let path = host.path(&format!("/{program}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&path).expect("make a directory");
    path.display().to_string()
}

/// Writes a file into such a directory, and gives its path on the machine.
pub(crate) fn write(home: &str, file: &str, text: &str) -> String {
    let path = format!("{home}/{file}");
    std::fs::write(&path, text).unwrap_or_else(|error| panic!("write {path}: {error}"));
    path
}
