//! Upstreams that are asked with DNS over TLS: Unbound with a certificate that is right, or wrong in one way; closed,
//! slow, cut, idle. What passes the wire shows that nothing goes in plain text.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use onward_tests::certificates::{Authority, Certificate, NAME};
use onward_tests::dns::{Answer, rcode};
use onward_tests::lab::{Lab, NODE, NODE_IP, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::threads::Threads;
use onward_tests::wire::Wire;
use onward_tests::{onward, servers, wait};

const GOOD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER: &str = UPSTREAMS[0];
/// In this time every client is answered; and a little for the test itself.
const BUDGET: Duration = wait::millis(1_950);
/// A part of every name that is asked here, which must never be seen on the way.
const SECRET: &[u8] = b"payroll";

/// The lab, an issuer that the node trusts, and a tap on the way to the upstreams.
struct World {
    lab: Lab,
    authority: Authority,
    wire: Wire,
}

impl World {
    fn new() -> Option<Self> {
        let (lab, authority) = (Lab::new()?, Authority::default());
        lab.node.write("/etc/onward/ca.pem", authority.pem());
        let wire = Wire::start(lab.upstream.net());
        Some(Self { lab, authority, wire })
    }

    /// Unbound, which answers all names with [`GOOD`]: with TLS at port 853, and wherever else `more` says.
    fn unbound(&self, how: Certificate, more: &str) -> Process {
        let (host, directory) = (&self.lab.upstream, "/dot");
        self.authority.certify(host, directory, SERVER, how);
        let directory = host.path(directory).display().to_string();
        let head = servers::unbound_server(&format!("{SERVER}@853"), &directory);
        let text = format!(
            "{head}    tls-port: 853
    tls-service-key: {directory}/key.pem
    tls-service-pem: {directory}/cert.pem
    local-zone: example. redirect
    local-data: \"example. 60 A {GOOD}\"
    verbosity: 1
{more}"
        );
        host.write("/dot/unbound.conf", &text);
        let process = host.start(&["unbound", "-d", "-c", &format!("{directory}/unbound.conf")]);
        let listens = || host.net().connect(at(853)).ok();
        wait::until(wait::seconds(10), listens).unwrap_or_else(|| panic!("no Unbound:\n{}", process.output()));
        process
    }

    /// Onward, which asks these.
    fn onward(&self, upstreams: &[&str], tls: &str) -> Process {
        let text = format!("[tls]\nca_file = \"/etc/onward/ca.pem\"\n{tls}");
        self.lab.node.write(onward::CONFIGURATION, &text);
        onward::with_upstreams(&self.lab, upstreams)
    }

    /// What a client gets for a name that was not asked yet.
    fn ask(&self, label: &str) -> Answer {
        let begun = Instant::now();
        let answer = self.lab.client().udp(&Query::new(&format!("{label}.payroll.example"), types::A).edns(1232));
        assert!(begun.elapsed() < BUDGET, "{label} took {:?}", begun.elapsed());
        answer
    }

    fn resolves(&self, prefix: &str, onward: &Process) {
        let mut tries = 0;
        let found = wait::until(wait::seconds(8), || {
            tries += 1;
            (self.ask(&format!("{prefix}{tries}")).addresses() == [GOOD]).then_some(())
        });
        assert!(found.is_some(), "{prefix} is not resolved:\n{}", onward.output());
    }

    /// Nothing went in plain text.
    fn assert_secret(&self, label: &str) {
        assert_eq!(self.wire.with_bytes(SECRET), 0, "{label}: frames with a name in plain text");
        assert_eq!(self.wire.with_bytes(b"\x05probe"), 0, "{label}: frames with a probe in plain text");
        assert_eq!(self.wire.to(at(53)), 0, "{label}: frames to port 53");
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER.parse().expect("an address"), port)
}

fn named() -> String {
    format!("tls://{SERVER}#{NAME}")
}

fn told(onward: &Process, what: &str) -> usize {
    onward.output().lines().filter(|line| line.contains(what)).count()
}

#[test]
fn names_and_answers_pass_over_one_connection_and_nobody_reads_them() {
    let Some(w) = World::new() else { return };
    let _unbound = w.unbound(Certificate::Right, "");
    for server in [named(), format!("tls://{SERVER}")] {
        let before = w.wire.connections(at(853));
        let onward = w.onward(&[&server], "");
        let client = w.lab.client();
        let mut stream = client.connect();
        for id in 0..200 {
            let name = format!("n{id}-{}.payroll.example", server.len());
            stream.send(&Query::new(&name, types::A).edns(1232).id(id).bytes());
        }
        let answers: Vec<Answer> = (0..200).map_while(|_| stream.receive()).collect();
        let good = answers.iter().filter(|answer| answer.addresses() == [GOOD]).count();
        assert_eq!(good, 200, "{server}:\n{}", onward.output());
        let connections = w.wire.connections(at(853)) - before;
        assert!((1..=2).contains(&connections), "{connections} connections for 200 names and the guard's probes");
        assert!(w.wire.to(at(853)) > 0);
        w.assert_secret(&server);
        assert!(onward.output().contains(&format!("asking tls://{SERVER}:853")), "{}", onward.output());
    }
}

#[test]
fn a_bad_certificate_is_told_once_and_never_answered_in_plain_text() {
    for (how, why) in [
        (Certificate::OtherName, "it is for another name"),
        (Certificate::Expired, "it has expired"),
        (Certificate::OtherIssuer, "nobody who is trusted has issued it"),
        (Certificate::SelfSigned, "nobody who is trusted has issued it"),
    ] {
        let Some(w) = World::new() else { return };
        // It would answer in plain text, too.
        let mut unbound = w.unbound(how, &format!("    interface: {SERVER}@53\n"));
        let onward = w.onward(&[&named()], "");
        for number in 0..20 {
            let answer = w.ask(&format!("n{number}"));
            let texts = answer.extended_texts();
            assert_eq!(answer.rcode(), rcode::SERVFAIL, "{how:?}:\n{}", onward.output());
            let text = format!("the certificate of tls://{SERVER}:853#{NAME} is refused: {why}");
            assert!(answer.extended_errors().contains(&22) && texts.contains(&text), "{how:?}: {texts:?}");
        }
        assert_eq!(told(&onward, "its certificate is refused"), 1, "{how:?}:\n{}", onward.output());
        assert_eq!(told(&onward, why), 1, "{how:?}:\n{}", onward.output());
        w.assert_secret(&format!("{how:?}"));
        unbound.signal(Signal::SIGTERM);
        unbound.wait(wait::seconds(5));
        let _unbound = w.unbound(Certificate::Right, "");
        w.resolves("again", &onward);
        assert_eq!(told(&onward, "works again"), 1, "{how:?}:\n{}", onward.output());
        w.assert_secret(&format!("{how:?}"));
    }
}

#[test]
fn where_nothing_listens_the_next_server_with_tls_is_asked_and_no_port_53() {
    let Some(w) = World::new() else { return };
    let _unbound = w.unbound(Certificate::Right, &format!("    interface: {SERVER}@53\n"));
    let closed = format!("tls://{}#{NAME}", UPSTREAMS[1]);
    let onward = w.onward(&[&closed, &named()], "");
    for number in 0..20 {
        let answer = w.ask(&format!("n{number}"));
        assert_eq!(answer.addresses(), [GOOD], "{number}:\n{}", onward.output());
    }
    w.assert_secret("closed");
    assert_eq!(w.wire.to(SocketAddr::new(UPSTREAMS[1].parse().unwrap(), 53)), 0);
}

#[test]
fn opportunistic_use_takes_any_certificate_and_plain_text_where_there_is_no_tls() {
    for how in [Certificate::OtherName, Certificate::SelfSigned] {
        let Some(w) = World::new() else { return };
        let _unbound = w.unbound(how, &format!("    interface: {SERVER}@53\n"));
        let onward = w.onward(&[&named()], "mode = \"opportunistic\"\n");
        w.resolves("any", &onward);
        assert_eq!(w.wire.with_bytes(SECRET), 0, "{how:?}: TLS is there, and is used");
    }
    let Some(w) = World::new() else { return };
    let _unbound = w.unbound(Certificate::Right, &format!("    interface: {SERVER}@53\n"));
    let elsewhere = format!("tls://{SERVER}:8853#{NAME}");
    let onward = w.onward(&[&elsewhere], "mode = \"opportunistic\"\n");
    w.resolves("plain", &onward);
    assert!(w.wire.with_bytes(SECRET) > 0);
}

#[test]
fn a_server_that_closes_idle_connections_is_asked_again_without_a_failure() {
    let Some(w) = World::new() else { return };
    let _unbound = w.unbound(Certificate::Right, "    tcp-idle-timeout: 300\n");
    let onward = w.onward(&[&named()], "");
    let before = w.wire.connections(at(853));
    for number in 0..4 {
        assert_eq!(w.ask(&format!("n{number}")).addresses(), [GOOD], "{number}:\n{}", onward.output());
        std::thread::sleep(wait::millis(700));
    }
    assert!(w.wire.connections(at(853)) >= before + 3, "Unbound closed each connection");
    w.assert_secret("idle");
}

/// What stands between the node and Unbound at port 8853.
#[derive(Clone, Copy, Debug)]
enum Between {
    /// Answers pass this much later.
    Slow(Duration),
    /// Every connection ends in the midst of an answer after the handshake and some answers, in bytes.
    Cut(usize),
}

/// Carries bytes between port 8853 and Unbound. Returns the number of connections.
fn stand_between(w: &World, threads: &mut Threads, how: Between) -> Arc<AtomicUsize> {
    let listener = w.lab.upstream.net().listener(at(8853));
    listener.set_nonblocking(true).unwrap();
    let (enter, count) = (w.lab.upstream.net().entrance(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    threads.start(move |stop| {
        enter();
        while !stop.told() {
            let Ok((client, _)) = listener.accept() else {
                std::thread::sleep(wait::millis(2));
                continue;
            };
            counted.fetch_add(1, Ordering::SeqCst);
            client.set_nonblocking(false).unwrap();
            let Ok(server) = TcpStream::connect(at(853)) else { continue };
            let (mut up, mut down) = ((client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut up.0, &mut up.1);
                let _ = up.1.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || {
                pass_answers(&mut down.0, &mut down.1, how);
                let _ = down.1.shutdown(Shutdown::Both);
                let _ = down.0.shutdown(Shutdown::Both);
            });
        }
    });
    count
}

fn pass_answers(from: &mut TcpStream, to: &mut TcpStream, how: Between) {
    let (mut buffer, mut passed) = ([0; 4096], 0);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let left = match how {
            Between::Slow(time) => {
                std::thread::sleep(time);
                length
            }
            Between::Cut(bytes) => length.min(bytes - passed),
        };
        passed += left;
        if to.write_all(&buffer[..left]).is_err() || left < length {
            return;
        }
    }
}

#[test]
fn a_slow_server_is_waited_for_and_one_that_is_cut_off_asked_again() {
    for how in [Between::Slow(wait::millis(150)), Between::Cut(4_000)] {
        let Some(w) = World::new() else { return };
        let _unbound = w.unbound(Certificate::Right, "");
        let mut threads = Threads::default();
        let connections = stand_between(&w, &mut threads, how);
        let onward = w.onward(&[&format!("tls://{SERVER}:8853#{NAME}")], "");
        w.resolves("first", &onward);
        for number in 0..40 {
            let answer = w.ask(&format!("n{number}"));
            assert_eq!(answer.addresses(), [GOOD], "{how:?}, {number}:\n{}", onward.output());
        }
        if let Between::Cut(_) = how {
            assert!(connections.load(Ordering::SeqCst) > 2, "no connection was cut");
        }
        w.assert_secret(&format!("{how:?}"));
    }
}

#[test]
fn what_is_asked_with_tls_is_shown_as_such() {
    let Some(w) = World::new() else { return };
    let _unbound = w.unbound(Certificate::Right, "");
    let onward = w.onward(&[&named()], "");
    w.resolves("shown", &onward);
    let (_, discovered) = onward::run_to_end(&w.lab.node, &["discover"]);
    let (_, explained) = onward::run_to_end(&w.lab.node, &["explain", "a.payroll.example"]);
    let (_, status) = onward::run_to_end(&w.lab.node, &["status"]);
    let server = format!("tls://{SERVER}:853#{NAME}");
    assert!(explained.contains(&server), "{explained}");
    assert!(status.contains(&server), "{status}");
    assert!(!discovered.contains("panicked"), "{discovered}");
    assert!(NODE_IP.to_string() == NODE);
}
