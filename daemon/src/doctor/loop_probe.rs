//! Whether a loop would form now, and through whom: what a CoreDNS that is down would ask is asked in its place, from
//! its pod's network, while this process listens on the pod's port 53. A question that comes back there loops.
//!
//! A loop that this begins ends here: what comes back is refused, and passed on by nobody. Each server is sent one
//! datagram. Where a program answers on the pod's port 53 nothing is asked: a question that comes back would go around
//! through it. The name is that of another Onward's probe, which an Onward that runs passes to two servers at most and
//! takes for no witness.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::coredns;
use super::sandbox::Sandbox;
use super::{Diagnosis, File, Finding, Node, Severity};
use crate::clock;
use crate::discovery::Root;
use crate::guard::probe;
use crate::respond::LocalResponse;
use crate::respond::local;
use crate::upstream::server::DNS_PORT;

/// Time until a question that was sent to a server has come back, or has an answer.
const PATIENCE: Duration = Duration::from_millis(700);
/// Time for one look at each of the two sockets.
const LOOK: Duration = Duration::from_millis(5);
/// Maximum number of servers that are asked for one pod.
const SERVERS_MAX: usize = 8;
/// Maximum length of a message that is looked at, in bytes.
const LONGEST: usize = 512;

/// A server that a CoreDNS would ask, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) server: SocketAddr,
    /// The file, its line, and what it says.
    pub(super) evidence: String,
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It came back, from this address.
    Back(SocketAddr),
    /// The server answered by itself, or refused, or nothing came.
    NotBack,
    /// A program has the pod's port 53: nothing was asked.
    Taken,
}

/// Asks for each pod with DNS in its name what its CoreDNS would ask.
pub(super) fn examine(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    for pod in node.around.pods.iter().filter(|pod| pod.name.contains("dns")) {
        let Some(sandbox) = node.sandboxes.iter().find(|sandbox| sandbox.name == pod.name) else { continue };
        let targets = targets(node.root, sandbox);
        let tried = pod.within(|| targets.iter().map(|target| try_one(target.server)).collect::<io::Result<Vec<_>>>());
        match tried.and_then(|tried| tried) {
            Ok(seen) => judge(node, &sandbox.shown(), &targets, &seen, diagnosis),
            Err(error) => {
                diagnosis.unseen.push(format!("whether a loop would form from {}: {error}", sandbox.shown()));
            }
        }
    }
}

/// The servers that a pod's CoreDNS would ask: those of its Corefile, and of its resolv.conf.
pub(super) fn targets(root: &Root, sandbox: &Sandbox) -> Vec<Target> {
    let mut targets = Vec::new();
    for corefile in coredns::corefiles(root).iter().filter(|corefile| corefile.is_of(sandbox)) {
        let text = root.read_text(&corefile.path).ok().flatten().unwrap_or_default();
        for forward in coredns::forwards(&text) {
            if let Some(server) = forward.server() {
                let evidence = format!("{}:{}: forward {}", corefile.path.display(), forward.line, forward.target);
                targets.push(Target { server, evidence });
            }
        }
    }
    let file = File::read(root, &sandbox.resolv_conf).ok().flatten();
    for named in file.iter().flat_map(|file| &file.servers) {
        let ip = named.server.ip();
        let evidence = format!("{}:{}: nameserver {ip}", sandbox.resolv_conf, named.line);
        targets.push(Target { server: SocketAddr::new(ip, DNS_PORT), evidence });
    }
    targets.truncate(SERVERS_MAX);
    targets
}

/// Asks one server, in the network of the calling thread.
///
/// # Errors
/// Where no socket can be opened.
fn try_one(server: SocketAddr) -> io::Result<Seen> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let listener = match UdpSocket::bind((any, DNS_PORT)) {
        Ok(listener) => listener,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Ok(Seen::Taken),
        Err(error) => return Err(error),
    };
    let asker = UdpSocket::bind((any, 0))?;
    listener.set_read_timeout(Some(LOOK))?;
    asker.set_read_timeout(Some(LOOK))?;
    let (name, id) = (name(rand::random()), rand::random());
    // A server without a way to it does not send anything back.
    if asker.connect(server).is_err() || asker.send(&probe::plain(&name, id)).is_err() {
        return Ok(Seen::NotBack);
    }
    let until = clock::now() + PATIENCE;
    wait(&listener, &asker, &name, until)
}

fn wait(listener: &UdpSocket, asker: &UdpSocket, name: &[u8], until: Instant) -> io::Result<Seen> {
    let mut message = [0; LONGEST];
    while clock::now() < until {
        if let Ok((length, from)) = listener.recv_from(&mut message) {
            let query = message.get(..length).unwrap_or_default();
            if is_about(query, name) {
                let mut refusal = Vec::new();
                if local::write(query, &LocalResponse::Refused(None), 0, &mut refusal).is_some() {
                    listener.send_to(&refusal, from)?;
                }
                return Ok(Seen::Back(from));
            }
        }
        // An answer, or word that nothing listens there.
        match asker.recv(&mut message) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Ok(_) | Err(_) => return Ok(Seen::NotBack),
        }
    }
    Ok(Seen::NotBack)
}

/// The name of a probe that no process owns, in wire form.
fn name(random: u128) -> Vec<u8> {
    [b"\x05probe\x20".as_slice(), format!("{random:032x}").as_bytes(), &[0]].concat()
}

/// Whether a message asks for that name, in any spelling.
fn is_about(message: &[u8], name: &[u8]) -> bool {
    let question = message.get(crate::wire::HEADER..).unwrap_or_default();
    question.get(..name.len()).is_some_and(|asked| asked.eq_ignore_ascii_case(name))
}

/// Says which of the servers send back what they are asked.
pub(super) fn judge(node: &Node<'_>, pod: &str, targets: &[Target], seen: &[Seen], diagnosis: &mut Diagnosis) {
    let back = targets.iter().zip(seen).filter_map(|(target, seen)| match seen {
        Seen::Back(from) => Some((target, from.ip().to_canonical())),
        Seen::NotBack | Seen::Taken => None,
    });
    let back: Vec<_> = back.collect();
    let Some((first, from)) = back.first() else {
        if !seen.is_empty() {
            let text = if seen.contains(&Seen::Taken) {
                format!(
                    "{pod} runs: no probe for a loop is sent in its place, its plugin `loop` does that at each start"
                )
            } else {
                format!("no loop would form now from {pod}: what it would ask does not come back")
            };
            diagnosis.well.push(text);
        }
        return;
    };
    let through = if from.is_loopback() {
        "through nobody else: that address is the pod itself".to_owned()
    } else {
        format!("through {from}")
    };
    let evidence = back.iter().map(|(target, from)| {
        format!(
            "{} ({pod}); a probe to {} came back to port {DNS_PORT} of the pod from {from}",
            target.evidence, target.server
        )
    });
    diagnosis.add(Finding {
        severity: Severity::Fault,
        what: format!("a loop would form now: what {pod} asks {} comes back to it, {through}", first.server.ip()),
        evidence: evidence.collect(),
        effect: "CoreDNS asks itself, says \"Loop … detected\" and ends, or goes on until its memory is used up"
            .to_owned(),
        cure: node.cure(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends what it is asked to `back`, if told to, and answers otherwise.
    fn server(back: Option<SocketAddr>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut message = [0; LONGEST];
            while let Ok((length, from)) = socket.recv_from(&mut message) {
                socket.send_to(&message[..length], back.unwrap_or(from)).unwrap();
            }
        });
        address
    }

    /// Asks as [`try_one`] does, with a listener on any port.
    fn tried(is_loop: bool) -> (Seen, SocketAddr) {
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = server(is_loop.then(|| listener.local_addr().unwrap()));
        let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
        for socket in [&listener, &asker] {
            socket.set_read_timeout(Some(LOOK)).unwrap();
        }
        asker.connect(server).unwrap();
        let name = name(7);
        asker.send(&probe::plain(&name, 9)).unwrap();
        (wait(&listener, &asker, &name, clock::now() + PATIENCE).unwrap(), server)
    }

    #[test]
    fn what_comes_back_is_seen_and_an_answer_is_not_it() {
        let (seen, server) = tried(true);
        assert_eq!(seen, Seen::Back(server));
        assert_eq!(tried(false).0, Seen::NotBack);
    }

    #[test]
    fn a_running_onward_takes_the_name_for_another_ones_probe() {
        let name = name(u128::MAX / 3);
        assert!(probe::nonce(&name).is_some());
        assert!(is_about(&probe::plain(&name.to_ascii_uppercase(), 1), &name));
        assert!(!is_about(&probe::plain(&super::name(1), 1), &name) && !is_about(b"x", &name));
    }
}
